"""What is asked of a region by the events that concern it: targets, limits and storm alerts.

A request's id is made of its event and what is asked: an event whose contents change so asks
anew, and a repeated poll asks nothing new, also where the event's time of modification is new.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from openadr3.entities.raw import RawEvent

from schemas.dispatch import Limit, Priority, Target
from schemas.grid import Alert
from vpp_streams.domain.control.requests import LONGEST_MS
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.openadr.asks import Ask, Capacity, Setpoint, Storm
from vpp_streams.domain.openadr.time import Timeline
from vpp_streams.domain.openadr.wire import Remark

AHEAD_MS = 2 * DAY_MS
"""Nothing that begins later is asked yet."""
MOST_REQUESTS = 1000
"""That are asked at a time; the others follow as these end."""
STORM_MS = 7 * DAY_MS
"""A storm alert without an end stands for so long at most, unless it is told again."""
PIECE_MS = 6 * DAY_MS
"""What is longer than a request may be is cut at multiples of this since 1970."""
LEAST_PRIORITY = 2**31
"""Of an event that names none; 0 is OpenADR's highest."""


@dataclass(frozen=True, slots=True)
class Ven:
    """Who we are to the VTN."""

    name: str
    region: str
    targets: frozenset[str] = frozenset()
    """Groups that the VTN, or the operator, says we are in."""

    @property
    def batteries(self) -> str:
        """Name of the resource that is the region's batteries; the other is its connections."""
        return f"{self.region}-batteries"

    @property
    def source(self) -> str:
        """Who our requests come from."""
        return f"market:openadr:{self.name}"[:120]


@dataclass(frozen=True, slots=True)
class Known:
    """An event that concerns us, with its times."""

    event: RawEvent
    event_id: str
    issued_ms: int
    timeline: Timeline
    asks: tuple[Ask, ...]
    begins_ms: int
    """Start that the event itself names, else when it was issued."""

    @property
    def priority(self) -> int:
        """0 = the highest."""
        return LEAST_PRIORITY if self.event.priority is None else self.event.priority


def requests(
    known: Iterable[Known], ven: Ven, now_ms: int
) -> tuple[tuple[Target | Limit, ...], list[Remark]]:
    """The targets and limits that are asked now or soon, and which were cut by a higher event."""
    made: list[Target | Limit] = []
    cut: list[Remark] = []
    taken: list[tuple[int, int, int]] = []
    for event, ask, content in _soon(known, now_ms):
        if len(made) >= MOST_REQUESTS:
            detail = f"more than {MOST_REQUESTS} requests are asked; the others follow later"
            cut.append(Remark(event.event_id, "many_requests", detail))
            break
        parts = [(ask.start_ms, ask.end_ms)]
        if isinstance(content, Setpoint):
            above = [(a, b) for number, a, b in taken if number < event.priority]
            parts = _less(parts, above)
            if parts != [(ask.start_ms, ask.end_ms)]:
                detail = "an event of higher priority sets the batteries in a part of its time"
                cut.append(Remark(event.event_id, "outranked", detail))
            taken.append((event.priority, ask.start_ms, ask.end_ms))
        made += [
            _request(event, content, ven, start_ms=start_ms, end_ms=end_ms, now_ms=now_ms)
            for part in parts
            for start_ms, end_ms in _pieces(*part, now_ms)
        ]
    return tuple({r.request_id: r for r in made}.values()), cut


def _soon(known: Iterable[Known], now_ms: int) -> Iterable[tuple[Known, Ask, Setpoint | Capacity]]:
    """What is asked of batteries or connections now or soon, the higher events first."""
    for event in sorted(known, key=lambda k: (k.priority, -k.issued_ms, k.event_id)):
        for ask in sorted(event.asks, key=lambda a: (a.start_ms, a.end_ms)):
            soon = ask.start_ms < now_ms + AHEAD_MS and ask.end_ms > now_ms
            if soon and isinstance(ask.content, Setpoint | Capacity):
                yield event, ask, ask.content


def _less(parts: list[tuple[int, int]], above: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of these times without those above."""
    for start_ms, end_ms in above:
        left = [(a, min(b, start_ms)) for a, b in parts]
        right = [(max(a, end_ms), b) for a, b in parts]
        parts = sorted({(a, b) for a, b in (*left, *right) if a < b})
    return parts


def _pieces(start_ms: int, end_ms: int, now_ms: int) -> Iterable[tuple[int, int]]:
    """What is now or soon of a time, in pieces that a request may be long."""
    if end_ms - start_ms > LONGEST_MS:
        cuts = range((now_ms // PIECE_MS) * PIECE_MS, now_ms + AHEAD_MS, PIECE_MS)
        pieces = [(max(start_ms, cut), min(end_ms, cut + PIECE_MS)) for cut in cuts]
    else:
        pieces = [(start_ms, end_ms)]
    return [(a, b) for a, b in pieces if a < min(b, now_ms + AHEAD_MS) and b > now_ms]


def _request(
    event: Known, content: Setpoint | Capacity, ven: Ven, *, start_ms: int, end_ms: int, now_ms: int
) -> Target | Limit:
    issued_ms = min(event.issued_ms, now_ms)  # a VTN's fast clock would outrank all that follow
    words = (ven.name, ven.region, event.event_id, start_ms, end_ms)
    made_id = request_id(event.event_id, *words, type(content).__name__, content)
    if isinstance(content, Setpoint):
        priority: Priority = "emergency" if content.urgent else "market"
        return Target(
            request_id=made_id,
            region=ven.region,
            export_w=content.export_w,
            starts_at_ms=start_ms,
            ends_at_ms=end_ms,
            priority=priority,
            source=ven.source,
            issued_at_ms=issued_ms,
            best_effort=True,
        )
    ranks: dict[str, Priority] = {"emergency": "emergency", "scarcity": "market"}
    return Limit(
        request_id=made_id,
        region=ven.region,
        import_limit_w=content.import_w,
        export_limit_w=content.export_w,
        starts_at_ms=start_ms,
        ends_at_ms=end_ms,
        priority=ranks.get(content.why, "grid_limit"),
        source=ven.source,
        issued_at_ms=issued_ms,
    )


def request_id(event_id: str, *words: object) -> str:
    """A name that people know the event by, and that nothing else gets."""
    digest = hashlib.sha256(msgspec.json.encode(words)).hexdigest()[:16]
    return f"oadr-{re.sub(r'[^A-Za-z0-9._:-]', '-', event_id)[:24]}-{digest}"


def alerts(known: Iterable[Known], ven: Ven, now_ms: int) -> Iterable[Alert]:
    """The storms that are told; one without an end is prolonged day by day."""
    longest_ms = now_ms // DAY_MS * DAY_MS + STORM_MS
    for event in known:
        for ask in event.asks:
            end_ms = min(ask.end_ms, max(longest_ms, ask.start_ms + DAY_MS))
            if isinstance(ask.content, Storm) and end_ms > now_ms:
                words = (ven.name, ven.region, event.event_id, ask.interval_id, ask.start_ms)
                yield Alert(
                    alert_id=request_id(event.event_id, *words),
                    kind="storm",
                    regions=(ven.region,),
                    prepare_from_ms=min(event.issued_ms, ask.start_ms),
                    starts_at_ms=ask.start_ms,
                    ends_at_ms=end_ms,
                    source=ven.source,
                )
