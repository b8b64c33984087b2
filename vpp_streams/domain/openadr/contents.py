"""Changes of events by their contents: some VTNs change the modification time at each poll.

An event with unchanged contents keeps the times from when the contents were new.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

_TIMES = ("createdDateTime", "modificationDateTime")


class Contents(NamedTuple):
    """An event's digest and times from when its contents were new."""

    digest: str
    times: Mapping[str, Any]
    """Its fields of `_TIMES`, as they were sent."""


def unchanged_times(
    raw_events: Iterable[object], before: Mapping[str, Contents]
) -> tuple[list[object], dict[str, Contents]]:
    """The events with the times from when their contents were new, and the contents by event id.

    ``before`` are the contents of the last poll. Objects without an id are left unchanged.
    """
    events: list[object] = []
    known: dict[str, Contents] = {}
    for raw in raw_events:
        if not isinstance(raw, dict) or not raw.get("id"):
            events.append(raw)
            continue
        id_ = str(raw["id"])
        rest = {name: value for name, value in raw.items() if name not in _TIMES}
        times = {name: raw[name] for name in _TIMES if name in raw}
        now = Contents(_digest(rest), times)
        then = before.get(id_)
        known[id_] = then if then is not None and then.digest == now.digest else now
        events.append({**rest, **known[id_].times})
    return events, known


def _digest(raw: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(raw, order="deterministic")).hexdigest()
