"""CPU seconds and memory of other processes, as the kernel counts them (Linux's /proc)."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it began."""

    cpu_s: float
    peak_rss_mb: float


def usage(pid: int) -> Usage | None:
    """Usage of a process with all its threads; None where it is gone (or this is no Linux)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    # The name in brackets may hold anything; utime and stime are fields 14 and 15.
    fields = stat.rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    peak_kb = next(
        (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0
    )
    return Usage(cpu_s, peak_kb / 1024)


def busy_s() -> float:
    """CPU seconds that all processes of the machine have used since it started, stolen ones too."""
    fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / _TICKS_PER_S
