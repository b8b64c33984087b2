"""Events: stretches of time in which a region's batteries were called in one direction.

Those of a market follow from awards, all others from requests. A longer event is cut at noon and
midnight, so that each one is settled on the day on which it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from schemas.market import Award
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.settle.intervals import Span
from vpp_streams.domain.settle.periods import half_day_end_ms


@dataclass(frozen=True, slots=True)
class Event:
    """A stretch of time in which a region's batteries were called in one direction."""

    region: str
    span: Span
    towards: int
    """1 = discharge, -1 = charge."""
    market: str = ""
    """Market of its awards; "" = a request that is not of a market."""
    requests: tuple[str, ...] = ()
    """Ids of the requests, or the bids of the awards, that called for it."""
    without: tuple[Span, ...] = ()
    """Stretches of it that are not part of it: another request applied."""


def events_of(
    awards: Iterable[Award], towards: Mapping[str, int], zone: ZoneInfo
) -> tuple[Event, ...]:
    """The events that awards call for: intervals that follow each other in one direction are one.

    ``towards`` is the direction of each award by its bid id (see `attribution.direction`).
    """
    events: list[Event] = []
    for award in sorted(awards, key=lambda award: (award.market, award.region, award.start_ms)):
        way = towards.get(award.bid_id, 0)
        if not way:
            continue
        if events and _continues(events[-1], award, way, zone):
            last = events[-1]
            events[-1] = replace(
                last,
                span=(last.span[0], ends_ms(award)),
                requests=(*last.requests, award.bid_id),
            )
            continue
        span = award.start_ms, ends_ms(award)
        events.append(Event(award.region, span, way, award.market, (award.bid_id,)))
    return tuple(events)


def _continues(event: Event, award: Award, way: int, zone: ZoneInfo) -> bool:
    same = (event.market, event.region, event.span[1], event.towards)
    if same != (award.market, award.region, award.start_ms, way):
        return False
    return award.start_ms < half_day_end_ms(event.span[0], zone)


def pieces(stretch: Span, zone: ZoneInfo) -> Iterable[Span]:
    """A stretch of time cut at noon and midnight."""
    start_ms, end_ms = stretch
    while start_ms < end_ms:
        cut_ms = min(half_day_end_ms(start_ms, zone), end_ms)
        yield start_ms, cut_ms
        start_ms = cut_ms
