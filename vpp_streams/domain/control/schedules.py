"""Schedules: requests that recur by local time, from a YAML file.

::

    schedules:
      - name: evening-peak
        region: north
        days: weekdays            # mon..sun, weekdays, weekends, daily
        from: "17:00"             # local time; a `to` before `from` is on the next day
        to: "20:00"
        timezone: America/Los_Angeles
        export_w: 150000          # or import_limit_w, export_limit_w, self_consumption: true

A time that a change of clocks skips is moved on by the change; of one that occurs twice the first
counts. The same window always gives the same request, on every worker and every time.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import yaml

from schemas.bounds import Id, Positive, Watts
from schemas.dispatch import Limit, Priority, Request, Target

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "weekdays", "weekends", "daily"]
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "weekdays": _WEEK[:5],
    "weekends": _WEEK[5:],
    "daily": _WEEK,
}
Clock = Annotated[str, msgspec.Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)(?!\n)$")]
"""``24:00`` is the end of the day."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a schedule; exactly one of the last four fields states the request."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,40}(?!\n)$")]
    region: Id
    days: Day | tuple[Day, ...] = "daily"
    from_: Clock = msgspec.field(name="from")
    to: Clock
    timezone: str
    priority: Priority | None = None
    """Default: operator; grid_limit for limits."""
    feeder: Id | None = None
    """For limits only."""
    export_w: Watts | None = None
    import_limit_w: Positive | None = None
    export_limit_w: Positive | None = None
    self_consumption: bool = False


def load(text: str) -> list[Entry]:
    """The entries of a schedule file. Raises `ValueError` with one sentence for a person."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not isinstance(document.get("schedules"), list):
        raise ValueError("a schedule file is a mapping with a list `schedules`")
    entries = [_entry(i, raw) for i, raw in enumerate(document["schedules"], 1)]
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two schedules are named {name!r}; requests are known by it")
    return entries


def _entry(number: int, raw: object) -> Entry:
    name = raw.get("name", f"number {number}") if isinstance(raw, dict) else f"number {number}"
    try:
        entry = msgspec.convert(raw, Entry)
        ZoneInfo(entry.timezone)
    except (msgspec.ValidationError, ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"schedule {name}: {error}") from None
    orders = [
        entry.export_w is not None,
        entry.import_limit_w is not None or entry.export_limit_w is not None,
        entry.self_consumption,
    ]
    if sum(orders) != 1:
        raise ValueError(
            f"schedule {name}: it needs one of export_w, import_limit_w and/or export_limit_w,"
            " self_consumption"
        )
    if entry.from_ == entry.to:
        raise ValueError(f"schedule {name}: from and to are the same")
    return entry


def due(entries: Sequence[Entry], from_ms: int, to_ms: int) -> list[Request]:
    """The requests whose windows begin in [from_ms, to_ms), by time."""
    found = [
        _request(entry, start_ms, end_ms)
        for entry in entries
        for start_ms, end_ms in _windows(entry, from_ms, to_ms)
    ]
    return sorted(found, key=lambda r: (r.issued_at_ms, r.request_id))


def _windows(entry: Entry, from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    zone = ZoneInfo(entry.timezone)
    day = datetime.fromtimestamp(from_ms / 1000, zone).date() - timedelta(days=1)
    last = datetime.fromtimestamp(to_ms / 1000, zone).date()
    days = entry.days if isinstance(entry.days, tuple) else (entry.days,)
    on = {name for group in days for name in _GROUPS.get(group, (group,))}
    while day <= last:
        start_ms = _utc_ms(day, entry.from_, zone)
        over = timedelta(days=entry.to <= entry.from_)
        end_ms = _utc_ms(day + over, entry.to, zone)
        if _WEEK[day.weekday()] in on and from_ms <= start_ms < to_ms and end_ms > start_ms:
            yield start_ms, end_ms
        day += timedelta(days=1)


def _utc_ms(day: date, clock: str, zone: ZoneInfo) -> int:
    if clock == "24:00":
        day, clock = day + timedelta(days=1), "00:00"
    local = datetime.combine(day, time.fromisoformat(clock), zone)
    return round(local.astimezone(UTC).timestamp() * 1000)


def _request(entry: Entry, start_ms: int, end_ms: int) -> Request:
    request_id, source = f"{entry.name}-{start_ms}", f"schedule:{entry.name}"
    if entry.import_limit_w is not None or entry.export_limit_w is not None:
        return Limit(
            request_id=request_id,
            region=entry.region,
            feeder=entry.feeder,
            import_limit_w=entry.import_limit_w,
            export_limit_w=entry.export_limit_w,
            starts_at_ms=start_ms,
            ends_at_ms=end_ms,
            priority=entry.priority or "grid_limit",
            source=source,
            issued_at_ms=start_ms,
        )
    return Target(
        request_id=request_id,
        region=entry.region,
        export_w=None if entry.self_consumption else entry.export_w,
        starts_at_ms=start_ms,
        ends_at_ms=end_ms,
        priority=entry.priority or "operator",
        source=source,
        issued_at_ms=start_ms,
        best_effort=True,
    )
