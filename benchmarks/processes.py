"""CPU seconds and memory of other processes, by the kernel's counts (Linux's /proc)."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of a process since its start."""

    cpu_s: float
    peak_rss_mb: float


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
    peak_kb = next(
        (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0
    )
    return Usage(cpu_s, peak_kb / 1024)


def busy_s() -> float:
    """CPU seconds of all processes of the machine since its start, including stolen time."""
    fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / _TICKS_PER_S
