"""What a run of `benchmarks.pipeline` came to, and its tables."""

from dataclasses import dataclass, field

from benchmarks.processes import Usage
from benchmarks.report import Table


@dataclass(slots=True)
class Run:
    """What one run came to."""

    devices: int
    sent: int = 0
    counted: dict[str, int] = field(default_factory=dict)
    """Where -> readings; each must be what was sent."""
    duplicates: int = 0
    kept_up: bool = False
    ages_ms: tuple[float | None, float | None] = (None, None)
    """p50, p99."""
    thirds: list[tuple[float | None, float, float]] = field(default_factory=list)
    """Of the steady time: age p50, lag of ingest, lag of fleet."""
    spent: dict[str, Usage] = field(default_factory=dict)
    """By process: CPU from the first frame to the last reading applied; peak memory."""
    decode_s: float = 0.0
    """CPU of only decoding a reading's line."""

    @property
    def lost(self) -> int:
        """The most that is missing, or too much, anywhere."""
        return max(abs(self.sent - n) for n in self.counted.values()) + self.duplicates

    def holds(self, age_goal_ms: float) -> bool:
        """Whether this machine can do it."""
        p99 = self.ages_ms[1]
        return self.kept_up and not self.lost and p99 is not None and p99 <= age_goal_ms


def tables(runs: list[Run], seconds: int, age_goal_ms: float) -> list[Table]:
    """One row per process of the last run, and one per run."""
    last = runs[-1]
    by_process = Table(
        f"CPU and memory by process, {last.devices:,} devices",
        ("process", "x decode", "CPU s", "readings per CPU-s", "peak MB"),
    )
    for name, spent in last.spent.items():
        per_reading = spent.cpu_s / max(last.sent, 1)
        rate = round(last.sent / spent.cpu_s) if spent.cpu_s else None
        by_process.add(name, per_reading / last.decode_s, spent.cpu_s, rate,
                       round(spent.peak_rss_mb) or None)  # fmt: skip
    counts = Table("Nothing lost, nothing twice", ("counted at", "of sent", "readings"))
    for name, n in last.counted.items():
        counts.add(name, f"{n / max(last.sent, 1):.6f}", n)
    counts.add("duplicates", "", last.duplicates)
    each = Table(
        f"Reading to region, 1 Hz for {seconds} s",
        ("devices", "holds", "age p50 ms", "p99 ms", "p50 by thirds", "lag ingest", "lag fleet",
         "lost", "generator"),
    )  # fmt: skip
    for run in runs:
        p50, ingest, fleet = zip(*run.thirds, strict=True)
        each.add(
            f"{run.devices:,}", "yes" if run.holds(age_goal_ms) else "no", *run.ages_ms,
            "/".join("-" if age is None else f"{age:.0f}" for age in p50),
            "/".join(f"{lag:.0f}" for lag in ingest), "/".join(f"{lag:.0f}" for lag in fleet),
            run.lost, "kept up" if run.kept_up else "was late",
        )  # fmt: skip
    each.notes.append("lag: frames not read yet, mean of each third of the time")
    return [each, by_process, counts]
