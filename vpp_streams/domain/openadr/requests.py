"""The requests of events for a region: targets, limits and storm alerts.

A request's id is a digest of its event and the request's content: an event whose contents change
gives a new request, and a repeated poll gives the same one, also where the VTN changed the event's
modification time.
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
from vpp_streams.domain.openadr.orders import Capacity, Order, Setpoint, Storm
from vpp_streams.domain.openadr.time import Timeline
from vpp_streams.domain.openadr.wire import Remark

AHEAD_MS = 2 * DAY_MS
"""Requests that begin later than this ahead are not made yet."""
MOST_REQUESTS = 1000
"""Largest number of requests at a time; others follow as these end."""
STORM_MS = 7 * DAY_MS
"""A storm alert without an end lasts for this long at most, unless it is published again."""
PIECE_MS = 6 * DAY_MS
"""Longer times than a request may last are cut at multiples of this since 1970."""
LEAST_PRIORITY = 2**31
"""Priority of an event without one; 0 is OpenADR's highest."""

_LIMIT_PRIORITIES: dict[str, Priority] = {"emergency": "emergency", "scarcity": "market"}
"""Priority of a limit by the reason of its event; of other reasons it is that of a grid limit."""


@dataclass(frozen=True, slots=True)
class Ven:
    """Our identity at the VTN."""

    name: str
    region: str
    targets: frozenset[str] = frozenset()
    """Groups that we belong to, by the VTN or the operator."""

    @property
    def batteries(self) -> str:
        """Name of the resource for the region's batteries; the other one is its connections."""
        return f"{self.region}-batteries"

    @property
    def source(self) -> str:
        """Source of our requests."""
        return f"market:openadr:{self.name}"[:120]


@dataclass(frozen=True, slots=True)
class Known:
    """An event for us, with its times."""

    event: RawEvent
    event_id: str
    issued_ms: int
    timeline: Timeline
    orders: tuple[Order, ...]
    begins_ms: int
    """The start in the event itself, else its issue time, ms."""

    @property
    def priority(self) -> int:
        """The event's priority; 0 = the highest."""
        return LEAST_PRIORITY if self.event.priority is None else self.event.priority


def requests(
    known: Iterable[Known], ven: Ven, now_ms: int
) -> tuple[tuple[Target | Limit, ...], list[Remark]]:
    """Targets and limits for now or soon, and remarks on those cut by a higher event."""
    made: list[Target | Limit] = []
    cut: list[Remark] = []
    taken: list[tuple[int, int, int]] = []
    for event, order, content in _soon(known, now_ms):
        if len(made) >= MOST_REQUESTS:
            detail = f"more than {MOST_REQUESTS} requests at a time; the others follow later"
            cut.append(Remark(event.event_id, "many_requests", detail))
            break
        parts = [(order.start_ms, order.end_ms)]
        if isinstance(content, Setpoint):
            above = [(a, b) for number, a, b in taken if number < event.priority]
            parts = _without(parts, above)
            if parts != [(order.start_ms, order.end_ms)]:
                detail = "an event of higher priority sets the batteries in a part of its time"
                cut.append(Remark(event.event_id, "outranked", detail))
            taken.append((event.priority, order.start_ms, order.end_ms))
        made += [
            _request(event, content, ven, start_ms=start_ms, end_ms=end_ms, now_ms=now_ms)
            for part in parts
            for start_ms, end_ms in _pieces(*part, now_ms)
        ]
    return tuple({r.request_id: r for r in made}.values()), cut


def _soon(
    known: Iterable[Known], now_ms: int
) -> Iterable[tuple[Known, Order, Setpoint | Capacity]]:
    """Orders to batteries or connections for now or soon, those of higher events first."""
    for event in sorted(known, key=lambda k: (k.priority, -k.issued_ms, k.event_id)):
        for order in sorted(event.orders, key=lambda a: (a.start_ms, a.end_ms)):
            soon = order.start_ms < now_ms + AHEAD_MS and order.end_ms > now_ms
            if soon and isinstance(order.content, Setpoint | Capacity):
                yield event, order, order.content


def _without(parts: list[tuple[int, int]], above: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of these times outside of the times ``above``."""
    for start_ms, end_ms in above:
        left = [(a, min(b, start_ms)) for a, b in parts]
        right = [(max(a, end_ms), b) for a, b in parts]
        parts = sorted({(a, b) for a, b in (*left, *right) if a < b})
    return parts


def _pieces(start_ms: int, end_ms: int, now_ms: int) -> Iterable[tuple[int, int]]:
    """The parts of a time that are now or soon, in pieces no longer than a request may last."""
    if end_ms - start_ms > LONGEST_MS:
        cuts = range((now_ms // PIECE_MS) * PIECE_MS, now_ms + AHEAD_MS, PIECE_MS)
        pieces = [(max(start_ms, cut), min(end_ms, cut + PIECE_MS)) for cut in cuts]
    else:
        pieces = [(start_ms, end_ms)]
    return [(a, b) for a, b in pieces if a < min(b, now_ms + AHEAD_MS) and b > now_ms]


def _request(
    event: Known, content: Setpoint | Capacity, ven: Ven, *, start_ms: int, end_ms: int, now_ms: int
) -> Target | Limit:
    issued_ms = min(event.issued_ms, now_ms)  # a VTN's fast clock would outrank later requests
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
    return Limit(
        request_id=made_id,
        region=ven.region,
        import_limit_w=content.import_w,
        export_limit_w=content.export_w,
        starts_at_ms=start_ms,
        ends_at_ms=end_ms,
        priority=_LIMIT_PRIORITIES.get(content.why, "grid_limit"),
        source=ven.source,
        issued_at_ms=issued_ms,
    )


def request_id(event_id: str, *words: object) -> str:
    """A unique id in which people recognize the event."""
    digest = hashlib.sha256(msgspec.json.encode(words)).hexdigest()[:16]
    return f"oadr-{re.sub(r'[^A-Za-z0-9._:-]', '-', event_id)[:24]}-{digest}"


def alerts(known: Iterable[Known], ven: Ven, now_ms: int) -> Iterable[Alert]:
    """The alerts for storms; one without an end is extended day by day."""
    longest_ms = now_ms // DAY_MS * DAY_MS + STORM_MS
    for event in known:
        for order in event.orders:
            end_ms = min(order.end_ms, max(longest_ms, order.start_ms + DAY_MS))
            if isinstance(order.content, Storm) and end_ms > now_ms:
                words = (ven.name, ven.region, event.event_id, order.interval_id, order.start_ms)
                yield Alert(
                    alert_id=request_id(event.event_id, *words),
                    kind="storm",
                    regions=(ven.region,),
                    prepare_from_ms=min(event.issued_ms, order.start_ms),
                    starts_at_ms=order.start_ms,
                    ends_at_ms=end_ms,
                    source=ven.source,
                )
