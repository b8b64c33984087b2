"""A site's entries by interval: what stands after corrections, and what it all comes to."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.settlement import EntryKind
from vpp_streams.domain.ledger.site_entries import SiteEntry

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One kind of payment for one interval, with all of its corrections."""

    kind: EntryKind
    market: str
    start_ms: int
    end_ms: int
    standing: SiteEntry | None
    """The newest entry that was not taken back; None = all were."""
    newest: SiteEntry
    micros: int
    """Sum of all entries."""
    first_micros: int
    """What was entered first; the rest are corrections."""

    @property
    def shown(self) -> SiteEntry:
        """The entry whose measured values are shown."""
        return self.standing or self.newest

    @property
    def corrected(self) -> bool:
        """Whether anything was entered after the first settlement."""
        return self.newest.revision > 0 or self.newest.reverses


def by_interval(entries: Iterable[SiteEntry]) -> list[Settled]:
    """Entries of a site, by their intervals in order of time; payouts are left out."""
    groups: dict[tuple[int, str, str, int], list[SiteEntry]] = defaultdict(list)
    for one in entries:
        if one.kind != "payout":
            groups[one.start_ms, one.kind, one.market, one.interval_ms].append(one)
    return [_settled(groups[key]) for key in sorted(groups)]


def _settled(entries: list[SiteEntry]) -> Settled:
    ordered = sorted(entries, key=lambda e: (e.revision, e.reverses))
    taken_back = {(e.program_id, e.revision) for e in ordered if e.reverses}
    stands = [e for e in ordered if not e.reverses and (e.program_id, e.revision) not in taken_back]
    newest = ordered[-1]
    return Settled(
        kind=newest.kind,
        market=newest.market,
        start_ms=newest.start_ms,
        end_ms=newest.start_ms + newest.interval_ms,
        standing=stands[-1] if stands else None,
        newest=newest,
        micros=sum(e.micros for e in ordered),
        first_micros=sum(e.micros for e in ordered if e.revision == 0 and not e.reverses),
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """How much of the settled time was measured."""

    settled_ms: int
    measured_ms: int
    gaps: int
    """Intervals that were not measured completely."""

    @property
    def missing_ms(self) -> int:
        """Time that was not measured, and hence not paid."""
        return self.settled_ms - self.measured_ms


def measured(intervals: Sequence[Settled]) -> Measured:
    """The measured part of the intervals, each moment once; availability is not a measurement.

    Where intervals overlap (a program's event and the market's intervals in it) the shorter ones
    count, because they say more.
    """
    settled = done = gaps = 0
    counted: set[int] = set()
    for one in sorted(intervals, key=lambda i: (i.end_ms - i.start_ms, i.start_ms)):
        if one.kind == "availability":
            continue
        minutes = range(one.start_ms // MINUTE_MS, -(-one.end_ms // MINUTE_MS))
        free = [m for m in minutes if m not in counted]
        if not free:
            continue
        counted.update(free)
        part_ms = min(len(free) * MINUTE_MS, one.end_ms - one.start_ms)
        coverage = min(max(one.shown.coverage, 0.0), 1.0)
        settled += part_ms
        done += round(part_ms * coverage)
        gaps += coverage < 1
    return Measured(settled, done, gaps)
