"""Events of requests that are no award: people's orders, schedules, and a utility's events.

A fold of topics ``dispatch.targets`` and ``dispatch.events``. An event has the complete minutes in
which its request applied, because sites are measured by the minute. Two requests apply to a region
one after the other, so no minute is in two events.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from schemas.dispatch import FINAL_STATES, DispatchEvent, DispatchStatus, RequestEvent, Target
from vpp_streams.domain.control.requests import LONGEST_MS
from vpp_streams.domain.settle.events import Event, pieces
from vpp_streams.domain.settle.intervals import Span
from vpp_streams.domain.settle.periods import half_day_end_ms

MINUTE_MS = 60_000
Place = tuple[str, int]
"""A region and a moment."""
MARKET = "market:"
"""Beginning of the source of targets that follow from awards."""


class Called:
    """Requests, and when each applied to its region."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._targets: dict[str, Target] = {}
        self.spans: dict[str, Span] = {}
        """From when to when each target was to apply."""
        self._states: dict[str, list[tuple[int, bool]]] = {}
        """Request -> from when on it applied, or did not."""
        self._running_ms: dict[str, int] = {}
        """Request that applies, and of which nobody knows since when -> a moment from which its
        events are known completely."""
        self._final: set[str] = set()
        self._at: dict[Place, str] = {}
        """The request whose event begins at a moment in a region."""
        self._of_minute: dict[Place, int] = {}
        """Start of the event that a minute of a region is in."""

    def target(self, target: Target) -> None:
        """Apply a record of topic ``dispatch.targets``; regions refuse longer ones."""
        if target.ends_at_ms - target.starts_at_ms <= LONGEST_MS:
            self._targets[target.request_id] = target
            self.spans[target.request_id] = target.starts_at_ms, target.ends_at_ms

    def apply(self, event: DispatchEvent) -> Sequence[Event]:
        """Apply a record of topic ``dispatch.events``; returns the events that it may change."""
        match event:
            case RequestEvent():
                if isinstance(event.request, Target):
                    self.target(event.request)
                self._state(event)
                return self._found(event.request_id)
            case DispatchStatus(mode="target", request_id=id_) if not self._is_known(id_):
                self._running_ms[id_] = half_day_end_ms(event.at_ms, self._zone)
                return self._found(id_)
        return ()

    def _is_known(self, request_id: str) -> bool:
        return request_id in self._states or request_id in self._running_ms

    def _found(self, request_id: str) -> Sequence[Event]:
        found = self._events(request_id)
        for event in found:
            self._at[event.region, event.span[0]] = request_id
            for minute_ms in range(*event.span, MINUTE_MS):
                self._of_minute[event.region, minute_ms] = event.span[0]
        return found

    def _state(self, event: RequestEvent) -> None:
        id_, applies = event.request_id, event.state == "active"
        known = self._states.setdefault(id_, [])
        since_ms = self._running_ms.pop(id_, None)
        if since_ms is not None and not applies and since_ms < event.at_ms:
            known.append((since_ms, True))
        known.append((event.at_ms, applies))
        if event.state in FINAL_STATES:
            self._final.add(id_)

    def event_at(self, region: str, start_ms: int) -> Event | None:
        """The event that begins at a moment."""
        events = self._events(self._at.get((region, start_ms), ""))
        return next((event for event in events if event.span[0] == start_ms), None)

    def in_minute(self, region: str, minute_ms: int) -> int | None:
        """Start of the event that a minute of a region is in."""
        return self._of_minute.get((region, minute_ms))

    def within(self, region: str, from_ms: int, until_ms: float) -> set[int]:
        """Starts of the events of a region that overlap a stretch of time."""
        return {
            start_ms
            for (other, minute_ms), start_ms in self._of_minute.items()
            if other == region and from_ms - MINUTE_MS < minute_ms < until_ms
        }

    def over_ms(self, event: Event) -> int:
        """The first moment in which nothing can be added to an event."""
        request_id = event.requests[0]
        if request_id in self._final:
            return event.span[1]
        ends_at_ms = self._targets[request_id].ends_at_ms
        return min(ends_at_ms, half_day_end_ms(event.span[0], self._zone))

    def _events(self, request_id: str) -> tuple[Event, ...]:
        """The events of a request in order of time; none of an award, or of one without power."""
        target = self._targets.get(request_id)
        if target is None or target.source.startswith(MARKET) or not target.export_w:
            return ()
        by_half_day: dict[int, list[Span]] = defaultdict(list)
        for stretch in self._applied(target):
            for piece in pieces(stretch, self._zone):
                by_half_day[half_day_end_ms(piece[0], self._zone)].append(piece)
        towards = int(np.sign(target.export_w))
        return tuple(
            Event(
                region=target.region,
                span=(found[0][0], found[-1][1]),
                towards=towards,
                requests=(request_id,),
                without=tuple((one[1], other[0]) for one, other in pairwise(found)),
            )
            for found in by_half_day.values()
        )

    def _applied(self, target: Target) -> Iterator[Span]:
        """The complete minutes in which a target applied, in stretches."""
        since_ms: int | None = None
        known = sorted(self._states.get(target.request_id, ()))
        if not known and target.request_id in self._running_ms:
            known = [(self._running_ms[target.request_id], True)]
        for at_ms, applies in [*known, (target.ends_at_ms, False)]:
            if applies and since_ms is None:
                since_ms = max(at_ms, target.starts_at_ms)
            elif not applies and since_ms is not None:
                start_ms = -(-since_ms // MINUTE_MS) * MINUTE_MS
                end_ms = min(at_ms, target.ends_at_ms) // MINUTE_MS * MINUTE_MS
                if end_ms > start_ms:
                    yield start_ms, end_ms
                since_ms = None

    def forget(self, before_ms: int) -> None:
        """Drop requests that ended before a moment."""
        old = [id_ for id_, one in self._targets.items() if one.ends_at_ms < before_ms]
        for id_ in old:
            del self._targets[id_], self.spans[id_]
            self._states.pop(id_, None)
            self._running_ms.pop(id_, None)
            self._final.discard(id_)
        for kept in (self._at, self._of_minute):
            for key in [key for key in kept if key[1] < before_ms]:
                del kept[key]
