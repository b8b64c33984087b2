"""Awards and their deliveries, and the events that they call for."""

from collections import defaultdict
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from schemas.market import Award, Delivery
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.settle.attribution import direction
from vpp_streams.domain.settle.events import Event, events_of
from vpp_streams.domain.settle.intervals import MINUTE_S

MINUTE_MS = MINUTE_S * 1000
DELIVERED_MS = HOUR_MS
"""Time after an interval by which its delivery is there; without it, the interval is no event."""
Place = tuple[str, str]
"""A market and a region."""


class AwardBook:
    """The awards of the time that is kept."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.awards: dict[str, Award] = {}
        self.deliveries: dict[str, Delivery] = {}
        self._of_minute: dict[tuple[str, int], set[str]] = defaultdict(set)
        """Awards that include a minute of a region."""
        self._at: dict[Place, dict[int, str]] = defaultdict(dict)
        """Awards of a place, by their starts."""
        self._events: dict[Place, dict[int, Event]] = defaultdict(dict)
        """Events of a place, by their starts, as `refresh` found them."""
        self._event_of: dict[str, Event] = {}
        """The event that an award is part of."""
        self._stale: set[Place] = set()

    def add(self, award: Award) -> bool:
        """Add an award; the first of a bid stands. Returns whether it is new."""
        if award.bid_id in self.awards:
            return False
        self.awards[award.bid_id] = award
        for minute_ms in range(award.start_ms, ends_ms(award), MINUTE_MS):
            self._of_minute[award.region, minute_ms].add(award.bid_id)
        self._at[award.market, award.region][award.start_ms] = award.bid_id
        self._stale.add((award.market, award.region))
        return True

    def deliver(self, delivery: Delivery) -> None:
        """Add a delivery; a later record of it replaces an earlier one."""
        self.deliveries[delivery.bid_id] = delivery
        self._stale.add((delivery.market, delivery.region))

    def complete(self, bid_id: str) -> bool:
        """Whether both the award and its delivery are known."""
        return bid_id in self.awards and bid_id in self.deliveries

    def in_minute(self, region: str, minute_ms: int) -> Iterable[str]:
        """The bids of the awards that include a minute of a region."""
        return self._of_minute.get((region, minute_ms), ())

    def within(self, region: str, from_ms: int, until_ms: float) -> list[str]:
        """The bids of the awards of a region that overlap a stretch of time."""
        return [
            bid_id
            for bid_id, award in self.awards.items()
            if award.region == region and award.start_ms < until_ms and ends_ms(award) > from_ms
        ]

    def refresh(self) -> Iterable[tuple[Place, int]]:
        """Find events again where awards or deliveries changed; returns those that are different.

        Each is named by its place and start. One may be gone: its awards are part of another.
        """
        changed: list[tuple[Place, int]] = []
        for place in sorted(self._stale):
            before, after = self._events[place], self._found(place)
            self._events[place] = after
            starts = before.keys() | after.keys()
            changed += [(place, at) for at in starts if before.get(at) != after.get(at)]
            for event in before.values():
                for bid_id in event.requests:
                    self._event_of.pop(bid_id, None)
            for event in after.values():
                self._event_of |= dict.fromkeys(event.requests, event)
        self._stale.clear()
        return changed

    def event_at(self, market: str, region: str, start_ms: int) -> Event | None:
        """The event that begins at a moment."""
        return self._events[market, region].get(start_ms)

    def event_of(self, bid_id: str) -> Event | None:
        """The event that an award is part of; None = of none."""
        return self._event_of.get(bid_id)

    def is_known(self, market: str, region: str, start_ms: int) -> bool:
        """Whether it is known where the batteries were to go in the interval that begins then."""
        return self._at[market, region].get(start_ms) in self.deliveries

    def over_ms(self, event: Event) -> int:
        """The first moment in which nothing can be added to an event."""
        over_ms = event.span[1]
        for bid_id in self._neighbours(event):
            if bid_id not in self.deliveries:
                over_ms = max(over_ms, ends_ms(self.awards[bid_id]) + DELIVERED_MS)
        return over_ms

    def begins_after_ms(self, event: Event) -> int:
        """The earliest start of an award that could precede the event."""
        first = self.awards.get(event.requests[0])
        return event.span[0] - (first.interval_ms if first else 0)

    def _neighbours(self, event: Event) -> list[str]:
        """The awards right before and after an event."""
        at = self._at[event.market, event.region]
        found = [at[event.span[1]]] if event.span[1] in at else []
        first = self.awards[event.requests[0]]
        before = at.get(event.span[0] - first.interval_ms)
        return found if before is None else [*found, before]

    def _found(self, place: Place) -> dict[int, Event]:
        awards = [self.awards[bid_id] for bid_id in self._at[place].values()]
        towards = {
            award.bid_id: direction(award, self.deliveries[award.bid_id])
            for award in awards
            if award.bid_id in self.deliveries
        }
        return {event.span[0]: event for event in events_of(awards, towards, self._zone)}

    def forget(self, before_ms: int) -> list[str]:
        """Drop what began before a moment; returns the bids."""
        old = [bid_id for bid_id, award in self.awards.items() if award.start_ms < before_ms]
        for bid_id in old:
            award = self.awards.pop(bid_id)
            self._at[award.market, award.region].pop(award.start_ms, None)
            self._stale.add((award.market, award.region))
        self.deliveries = {
            id_: one for id_, one in self.deliveries.items() if one.start_ms >= before_ms
        }
        for key in [key for key in self._of_minute if key[1] < before_ms]:
            del self._of_minute[key]
        return old
