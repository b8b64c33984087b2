"""Events ahead of a home: the requests of its region that it may take part in."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from schemas.dispatch import Request, Target

EventKind = Literal["market", "operator", "other"]
Direction = Literal["give", "charge", "rest"]


class EventAhead(msgspec.Struct, frozen=True, kw_only=True):
    """An event that has not ended. The region's power is no home's business, so it is not here."""

    request_id: str
    kind: EventKind
    """``market``: power that was sold; ``operator``: a person's request."""
    direction: Direction
    """What the region's batteries do together."""
    starts_at_ms: int
    ends_at_ms: int
    running: bool
    skipped: bool


def events_ahead(
    requests: Iterable[Request], region: str, skips: Iterable[str], now_ms: int
) -> list[EventAhead]:
    """Events of a region that have not ended, by their start."""
    skipped = set(skips)
    found = [
        EventAhead(
            request_id=request.request_id,
            kind=_kind(request.source),
            direction=_direction(request.export_w),
            starts_at_ms=request.starts_at_ms,
            ends_at_ms=request.ends_at_ms,
            running=request.starts_at_ms <= now_ms,
            skipped=request.request_id in skipped,
        )
        for request in requests
        if isinstance(request, Target)
        and request.region == region
        and request.ends_at_ms > now_ms
        and request.export_w is not None
    ]
    return sorted(found, key=lambda event: (event.starts_at_ms, event.request_id))


def _kind(source: str) -> EventKind:
    match source.partition(":")[0]:
        case "market":
            return "market"
        case "operator":
            return "operator"
    return "other"


def _direction(export_w: float) -> Direction:
    if export_w > 0:
        return "give"
    return "charge" if export_w < 0 else "rest"
