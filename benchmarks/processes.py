"""CPU seconds and memory of other processes, by the kernel's counts (Linux's /proc)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of a process since its start."""

    cpu_s: float
    peak_rss_mb: float
    rss_mb: float = 0.0
    """Resident memory now, MB; 0 where it was not measured."""


def usage(pid: int) -> Usage | None:
    """Usage of a process with all its threads; None if it has ended (or this is not Linux)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    # The name in brackets may contain anything; utime and stime are fields 14 and 15.
    fields = stat.rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    kb = {name: int(value.split()[0]) for name, value in _sizes(status)}
    return Usage(cpu_s, kb.get("VmHWM", 0) / 1024, kb.get("VmRSS", 0) / 1024)


def _sizes(status: str) -> Iterator[tuple[str, str]]:
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            yield name, value


def busy_s() -> float:
    """CPU seconds of all processes of the machine since its start, including stolen time."""
    fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / _TICKS_PER_S
