"""The result of a run of `benchmarks.pipeline`, and its tables."""

from dataclasses import dataclass, field

from benchmarks.processes import Usage
from benchmarks.report import Table


@dataclass(slots=True)
class Run:
    """The result of one run."""

    devices: int
    sent: int = 0
    counted: dict[str, int] = field(default_factory=dict)
    """Station -> readings, each counted once; each must equal the number sent."""
    repeats: int = 0
    """Readings that reached the fleet role again and were dropped: part of a log was read again."""
    kept_up: bool = False
    ages_ms: tuple[float | None, float | None] = (None, None)
    """(p50, p99) of the age, ms."""
    thirds: list[tuple[float | None, float, float]] = field(default_factory=list)
    """Over the steady time: age p50, lag of ingest, lag of fleet."""
    spent: dict[str, Usage] = field(default_factory=dict)
    """By process: CPU from the first frame to the last applied reading; peak memory."""
    decode_s: float = 0.0
    """CPU seconds of only decoding a reading's line."""
    wall_s: float = 0.0
    others: float = 0.0
    """Share of the machine's CPU time used by other processes during the run."""

    @property
    def lost(self) -> int:
        """The largest difference from the number sent, anywhere."""
        return max(abs(self.sent - n) for n in self.counted.values())

    def holds(self, age_goal_ms: float) -> bool:
        """Whether this machine sustains the load."""
        p99 = self.ages_ms[1]
        return self.kept_up and not self.lost and p99 is not None and p99 <= age_goal_ms


def tables(runs: list[Run], seconds: int, age_goal_ms: float) -> list[Table]:
    """One row per run, and of the last one by process and by station."""
    each = Table(
        f"Reading to region, 1 Hz for {seconds} s",
        ("devices", "x decode", "holds", "age p50 ms", "p99 ms", "p50 by thirds", "lag ingest",
         "lag fleet", "lost", "repeats", "generator", "others' CPU"),
    )  # fmt: skip
    for run in runs:
        p50, ingest, fleet = zip(*run.thirds, strict=True)
        each.add(
            f"{run.devices:,}", _workers_s(run) / max(run.sent, 1) / run.decode_s,
            "yes" if run.holds(age_goal_ms) else "no", *run.ages_ms,
            "/".join("-" if age is None else f"{age:.0f}" for age in p50),
            "/".join(f"{lag:.0f}" for lag in ingest), "/".join(f"{lag:.0f}" for lag in fleet),
            run.lost, run.repeats, "kept up" if run.kept_up else "was late", f"{run.others:.0%}",
        )  # fmt: skip
    each.notes += [
        f"holds: nothing lost, generator on time, age p99 within {age_goal_ms:.0f} ms;"
        " x decode: CPU of all workers per reading to that of only decoding it",
        "lag: frames not read yet, mean of each third of the time; others' CPU: of the machine, by"
        " processes that are not ours: where it is much, a run that does not hold says little",
    ]
    return [each, _by_process(runs[-1]), _counts(runs[-1])]


def _workers_s(run: Run) -> float:
    return sum(u.cpu_s for name, u in run.spent.items() if name not in ("generator", "broker"))


def _by_process(run: Run) -> Table:
    table = Table(
        f"CPU and memory by process, {run.devices:,} devices",
        ("process", "x decode", "CPU s", "of a core", "readings per CPU-s", "peak MB"),
    )
    spent = run.spent | {"workers together": Usage(_workers_s(run), 0.0)}
    for name, one in spent.items():
        ratio = one.cpu_s / max(run.sent, 1) / run.decode_s
        rate = round(run.sent / one.cpu_s) if one.cpu_s else None
        table.add(name, ratio, one.cpu_s, one.cpu_s / max(run.wall_s, 1e-9), rate,
                  round(one.peak_rss_mb) or None)  # fmt: skip
    return table


def _counts(run: Run) -> Table:
    table = Table("Nothing lost, nothing counted twice", ("counted at", "x sent", "readings"))
    for name, n in {"sent": run.sent, **run.counted}.items():
        table.add(name, f"{n / max(run.sent, 1):.6f}", n)
    return table
