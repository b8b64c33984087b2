"""CPU of processes against the readings that they have done, sampled while they run."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.report import progress
from benchmarks.workers import Child

SAMPLE_S = 0.25
START_S = 120.0
"""How long a process may take until its first reading."""
SLOWEST = 3_000
"""Readings per second of the clock below which an engine counts as stuck: the machine is shared."""


@dataclass(slots=True)
class Meter:
    """One process of an engine: its CPU whenever its count of readings has changed."""

    child: Child
    done: Callable[[], int]
    samples: list[tuple[int, float]] = field(default_factory=list)
    """(readings, CPU seconds), the first when the process was started."""

    def sample(self) -> int:
        """Note what has changed, and return the readings done.

        Raises `RuntimeError` if the process has ended.
        """
        done, cpu_s = self.done(), self.child.usage().cpu_s
        if not self.samples or done != self.samples[-1][0]:
            self.samples.append((done, cpu_s))
        return done

    def cpu_s_at(self, readings: float) -> float:
        """CPU seconds when this many readings were done, interpolated."""
        before = self.samples[0]
        for sample in self.samples:
            if sample[0] >= readings:
                break
            before = sample
        span = sample[0] - before[0]
        share = (readings - before[0]) / span if span else 1.0
        return before[1] + share * (sample[1] - before[1])


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds per reading of an engine, all its processes together."""

    warm_s: float
    """Of the last two thirds of the readings."""
    cold_s: float
    """Of all, with the start of the processes."""
    peak_mb: float


async def measure(meters: list[Meter], expected: int, what: str) -> Cost:
    """Sample until each process has done all readings. Raises `RuntimeError` if one stands still.

    A process's start-up, JIT and creation of rows lie in the first third. State is saved every
    five seconds meanwhile; what is saved after the last reading is not counted for anyone.
    """
    began = time.monotonic()
    patience_s = START_S + expected / SLOWEST
    # Every process is sampled each time, not only up to the first that is behind.
    while min(list(map(Meter.sample, meters))) < expected:
        if time.monotonic() - began > patience_s:
            done = ", ".join(f"{meter.child.name} {meter.done():,}" for meter in meters)
            raise RuntimeError(f"{what} is too slow: {done} of {expected:,}")
        await asyncio.sleep(SAMPLE_S)
    warm_s = cold_s = 0.0
    for meter in meters:
        end_s, third = meter.cpu_s_at(expected), expected / 3
        cold_s += end_s / expected
        warm_s += (end_s - meter.cpu_s_at(third)) / (expected - third)
    peak_mb = sum(meter.child.usage().peak_rss_mb for meter in meters)
    progress(f"{what}: warm {warm_s * 1e6:.2f} us a reading, {time.monotonic() - began:.0f} s")
    return Cost(warm_s, cold_s, peak_mb)
