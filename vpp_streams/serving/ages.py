"""Ages of readings in a weighted histogram of bounded size: percentiles of a run and a minute."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping

FINE_MS, COARSE_MS = 10, 1000
_COARSE_FROM_MS = 10_000
_LONGEST_MS = 3_600_000
_SLICE_MS = 5_000
_MOST = 2**53
"""Largest number of readings counted for one age: a JSON number beyond is not exact."""


def percentile(histogram: Mapping[int, int], fraction: float) -> float | None:
    """The smallest value that ``fraction`` of the weight does not exceed; None without weight."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, seen = fraction * total, 0
    for value in sorted(histogram):
        seen += histogram[value]
        if seen >= wanted:
            return float(value)
    raise AssertionError("the weights add up to the total")


def _bin(age_ms: int) -> int:
    """The age rounded up, so that a percentile never flatters: to 10 ms, above 10 s to 1 s."""
    width = FINE_MS if age_ms <= _COARSE_FROM_MS else COARSE_MS
    return min(-(-max(age_ms, 0) // width) * width, _LONGEST_MS)


class Ages:
    """Reading-to-region ages since the start, and over the last minute."""

    def __init__(self, last_ms: int = 60_000) -> None:
        self._last_ms = last_ms
        self._run: Counter[int] = Counter()
        self._slices: deque[tuple[int, Counter[int]]] = deque()

    def add(self, ages_ms: Iterable[tuple[int, int]], now_ms: int) -> None:
        """Count (age in ms, number of readings) pairs as seen at ``now_ms``."""
        start = now_ms - now_ms % _SLICE_MS
        if not self._slices or self._slices[-1][0] < start:
            self._slices.append((start, Counter()))
            self._drop_old(now_ms)
        newest = self._slices[-1][1]
        for age_ms, count in ages_ms:
            if count > 0:
                newest[_bin(age_ms)] += min(count, _MOST)
                self._run[_bin(age_ms)] += min(count, _MOST)

    def over_run(self, fraction: float) -> float | None:
        """Percentile in ms over everything counted; None while nothing is."""
        return percentile(self._run, fraction)

    def over_last_minute(self, fraction: float, now_ms: int) -> float | None:
        """Percentile in ms of what was counted in the last minute (to 5 s); None if nothing."""
        self._drop_old(now_ms)
        together: Counter[int] = Counter()
        for _, counts in self._slices:
            together.update(counts)
        return percentile(together, fraction)

    @property
    def readings(self) -> int:
        """Readings counted since the start."""
        return self._run.total()

    def _drop_old(self, now_ms: int) -> None:
        while self._slices and self._slices[0][0] + _SLICE_MS <= now_ms - self._last_ms:
            self._slices.popleft()
