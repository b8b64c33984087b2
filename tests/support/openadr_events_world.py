"""Events as a VTN tells them, and what we make of them."""

from datetime import datetime
from typing import Any

from openadr3.entities.raw import RawProgram

from vpp_streams.domain.openadr.events import Outcome, map_events
from vpp_streams.domain.openadr.requests import Ven
from vpp_streams.domain.openadr.standing import Standing
from vpp_streams.domain.openadr.wire import Remark

VEN = Ven("vpp-north", "north")
MODIFIED = "2024-06-01T00:00:00Z"
NOON = "2024-06-19T12:00:00Z"
DAY_MS, HOUR_MS = 86_400_000, 3_600_000


def ms(text: str) -> int:
    """Return an ISO 8601 time as epoch ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


NOW = ms(NOON)


def event(payloads: list[dict[str, Any]], units: str | None = "KW", **more: Any) -> dict[str, Any]:
    """An event of one hour from noon on, unless told otherwise."""
    names = {payload["type"] for payload in payloads}
    return {
        "id": "e1",
        "objectType": "EVENT",
        "programID": "p1",
        "createdDateTime": MODIFIED,
        "modificationDateTime": MODIFIED,
        "intervalPeriod": {"start": NOON, "duration": "PT1H"},
        "payloadDescriptors": [
            {
                "objectType": "EVENT_PAYLOAD_DESCRIPTOR",
                "payloadType": name,
                "units": "KWH" if name == "PRICE" and units == "KW" else units,
                "currency": "EUR",
            }
            for name in sorted(names)
        ],
        "intervals": [{"id": 0, "payloads": payloads}],
        **more,
    }


def value(name: str, number: Any) -> dict[str, Any]:
    """Return a payload with one value."""
    return {"type": name, "values": [number]}


def mapped(*events: Any, now_ms: int = NOW, ven: Ven = VEN) -> Outcome:
    """Return what these events are mapped to for one VEN."""
    ids = {str(e.get("programID")) for e in events if isinstance(e, dict)}
    programs = {i: RawProgram.model_validate({"id": i, "programName": i}) for i in ids}
    return map_events(events, programs, ven, now_ms)


def reasons(remarks: tuple[Remark, ...]) -> list[str]:
    """Return the reasons of remarks."""
    return [remark.reason for remark in remarks]


def follow(standing: Standing, outcome: Outcome, now_ms: int = NOW) -> list[Any]:
    """Write what an outcome calls for, and return it."""
    written = standing.request_changes(outcome.requests, now_ms)
    for request in written:
        standing.on_request(request.request_id, request)
    return written
