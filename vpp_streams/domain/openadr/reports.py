"""Reports: which ones are due by an event's reportDescriptors, and their bodies.

Signs. OpenADR's USAGE and DEMAND count what a resource takes and are never negative, so they state
import and charge only; READING is the mean net power, + = taken, and may be negative.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from openadr3.entities.raw import RawReport, RawReportDescriptor

from schemas.bounds import MAX_TIME_MS
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.openadr.measured import Drawn, Measured, Powers, Quality, Stored
from vpp_streams.domain.openadr.requests import Known, Ven
from vpp_streams.domain.openadr.time import MAX_SPANS
from vpp_streams.domain.openadr.wire import Remark

SETTLE_MS = 90_000
"""A minute's window is normally published within this time after its end, ms."""
LATEST_MS = DAY_MS
"""A report that was due longer ago than this, ms, is not sent any more."""
_POWER = {"W": 1.0, "KW": 1e-3, "MW": 1e-6}
_ENERGY = {"WH": 1.0, "KWH": 1e-3, "MWH": 1e-6}
_SHARE = {"PERCENT": 1.0}
# 3.1.1, schema units: PERCENT is a fraction, 0.42 means 42 %.
Stores = Callable[[Stored], float | None]
Draws = Callable[[Powers, float], float]
_STORED: dict[str, tuple[dict[str, float], str, Stores]] = {
    "STORAGE_USABLE_CAPACITY": (_ENERGY, "KWH", lambda s: s.usable_wh),
    "STORAGE_CHARGE_LEVEL": (_SHARE, "PERCENT", lambda s: s.soc),
    "STORAGE_MAX_DISCHARGE_POWER": (_POWER, "KW", lambda s: s.discharge_w),
    "STORAGE_MAX_CHARGE_POWER": (_POWER, "KW", lambda s: s.charge_w),
    "UP_REGULATION_AVAILABLE": (_POWER, "KW", lambda s: s.up_w),
    "DOWN_REGULATION_AVAILABLE": (_POWER, "KW", lambda s: s.down_w),
}
_DRAWN: dict[str, tuple[dict[str, float], str, Draws]] = {
    "USAGE": (_ENERGY, "KWH", lambda taken_given, hours: taken_given[0] * hours),
    "DEMAND": (_POWER, "KW", lambda taken_given, _: taken_given[0]),
    "READING": (_POWER, "KW", lambda taken_given, _: taken_given[0] - taken_given[1]),
}
TYPES = frozenset(_STORED) | frozenset(_DRAWN)


@dataclass(frozen=True, slots=True)
class Due:
    """A report that has to be sent."""

    event_id: str
    name: str
    """Its identity: the same report has the same name, whichever process makes it and when."""
    descriptor: RawReportDescriptor
    units: str
    intervals: tuple[tuple[int, int], ...]
    """(start, end) in ms; one without length is the state at that time."""

    @property
    def is_now(self) -> bool:
        """Whether it reports the present state, not that of an interval."""
        return all(start_ms == end_ms for start_ms, end_ms in self.intervals)


def due_reports(known: Known, ven: Ven, now_ms: int) -> tuple[list[Due], list[Remark]]:
    """The reports of an event that are due now, and remarks on those that cannot be made."""
    found: list[Due] = []
    remarks: list[Remark] = []
    ours = {ven.name, ven.region, ven.batteries} | ven.targets
    for place, descriptor in enumerate(known.event.report_descriptors or ()):
        if descriptor.targets and not ours & set(descriptor.targets):
            continue
        problem = _problem(descriptor, bool(known.timeline.spans))
        if problem is not None:
            remarks.append(Remark(known.event_id, "report_refused", problem))
            continue
        if not known.timeline.spans:
            at_ms = known.begins_ms
            if at_ms <= now_ms:
                found.append(_due(known, place, descriptor, at_ms, ((now_ms, now_ms),)))
            continue
        for at_ms, intervals in _times(known, descriptor, now_ms):
            settled_ms = at_ms + (SETTLE_MS if descriptor.payload_type in _DRAWN else 0)
            if settled_ms <= now_ms < at_ms + LATEST_MS:
                found.append(_due(known, place, descriptor, at_ms, intervals))
    return found, remarks


def _due(
    known: Known,
    place: int,
    descriptor: RawReportDescriptor,
    at_ms: int,
    intervals: tuple[tuple[int, int], ...],
) -> Due:
    name = f"{known.event_id}:{known.issued_ms}:{place}:{descriptor.payload_type}:{at_ms}"
    units = (descriptor.units or _table(descriptor)[1]).upper()
    return Due(known.event_id, name, descriptor, units, intervals)


def body(due: Due, ven: Ven, measured: Measured) -> dict[str, Any]:
    """The body for POST /reports; every interval states its data quality."""
    names = (
        [ven.batteries] if due.descriptor.payload_type in _STORED else [ven.region, ven.batteries]
    )
    if due.descriptor.targets:
        # A target that names one resource selects it alone; a group selects all.
        names = [n for n in names if n in due.descriptor.targets] or names
    report = RawReport.model_validate(
        {
            "eventID": due.event_id,
            "clientName": ven.name,
            "reportName": due.name,
            "payloadDescriptors": [_payload_descriptor(due)],
            "resources": [_resource(name, due, name == ven.batteries, measured) for name in names],
        }
    )
    return report.model_dump(by_alias=True, exclude_none=True)


def _payload_descriptor(due: Due) -> dict[str, Any]:
    return {
        "objectType": "REPORT_PAYLOAD_DESCRIPTOR",
        "payloadType": due.descriptor.payload_type,
        "readingType": "MEAN" if due.descriptor.payload_type in _DRAWN else "SUMMED",
        "units": due.units,
    }


def _resource(name: str, due: Due, batteries: bool, measured: Measured) -> dict[str, Any]:
    return {
        "resourceName": name,
        "intervals": [
            {
                "id": number,
                "intervalPeriod": {"start": _text(a), "duration": _duration(b - a)},
                "payloads": _payloads(due, batteries, a, b, measured),
            }
            for number, (a, b) in enumerate(due.intervals)
        ],
    }


def has_value(report: dict[str, Any]) -> bool:
    """Whether a report's body contains any value, and not only qualities."""
    payloads = (p for r in report["resources"] for i in r["intervals"] for p in i["payloads"])
    return any(payload["type"] != "DATA_QUALITY" for payload in payloads)


def _payloads(
    due: Due, batteries: bool, start_ms: int, end_ms: int, measured: Measured
) -> list[dict[str, Any]]:
    value, quality = _value(due, batteries, start_ms, end_ms, measured)
    quality_payload = {"type": "DATA_QUALITY", "values": [quality]}
    if value is None:
        return [quality_payload]
    name = due.descriptor.payload_type
    return [{"type": name, "values": [round(value, 6)]}, quality_payload]


def _value(
    due: Due, batteries: bool, start_ms: int, end_ms: int, measured: Measured
) -> tuple[float | None, Quality]:
    name = due.descriptor.payload_type
    factor = _table(due.descriptor)[0][due.units]
    if name in _STORED:
        stored, quality = measured.stored(end_ms)
        value = None if stored is None else _STORED[name][2](stored)
        return (None, "MISSING") if value is None else (value * factor, quality)
    drawn, quality = measured.drawn(start_ms, end_ms)
    if drawn is None:
        return None, quality
    powers = _of(drawn, batteries)
    return _DRAWN[name][2](powers, drawn.hours) * factor, quality


def _of(drawn: Drawn, batteries: bool) -> Powers:
    return drawn.batteries_w if batteries else drawn.connections_w


def _table(descriptor: RawReportDescriptor) -> tuple[dict[str, float], str]:
    name = descriptor.payload_type
    table, usual = _STORED[name][:2] if name in _STORED else _DRAWN[name][:2]
    return table, usual


def _problem(descriptor: RawReportDescriptor, has_intervals: bool) -> str | None:
    """Why a report cannot be made; None if it can."""
    name = descriptor.payload_type
    if name not in TYPES:
        return f"{name[:40]} is not measured here"
    if descriptor.units and descriptor.units.upper() not in _table(descriptor)[0]:
        return f"{name} cannot be reported in {descriptor.units[:40]}"
    if not descriptor.historical:
        return f"a forecast of {name} is requested; only measured values are reported"
    if descriptor.reading_type not in (None, "DIRECT_READ", "MEAN", "AVERAGE", "SUMMED"):
        return f"{name} as {descriptor.reading_type[:40]} is not measured here"
    if descriptor.report_intervals not in (None, "INTERVALS"):
        intervals = descriptor.report_intervals[:40]
        return f"reports follow the event's intervals, not {intervals}"
    if name in _DRAWN and not has_intervals:
        return f"{name} needs intervals, and the event has none"
    if has_intervals and descriptor.start_interval == 0 and descriptor.num_intervals < 1:
        return "intervals before the first one are requested, and there are none"
    numbers = (descriptor.start_interval, descriptor.num_intervals, descriptor.frequency)
    if min(*numbers, descriptor.repeat) < -1:
        return "a number of intervals below -1 has no meaning"
    return None


def _times(
    known: Known, descriptor: RawReportDescriptor, now_ms: int
) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    """(due time, intervals) of each report of a descriptor whose intervals have ended."""
    times = known.timeline
    start, count = descriptor.start_interval, len(times.spans)
    if start < 0 and times.round_ms is not None:
        return  # repeated: it has no last interval
    start = count if start < 0 else start
    covers = descriptor.num_intervals if descriptor.num_intervals > 0 else start
    step = descriptor.frequency if descriptor.frequency > 0 else covers
    first = 0
    if times.round_ms is not None:  # turns that are too old are skipped
        rounds = (now_ms - LATEST_MS - times.spans[0].start_ms) // times.round_ms
        first = max((rounds * count - start) // step, 0)
    turns = (
        first + MAX_SPANS if descriptor.repeat < 0 else min(descriptor.repeat, first + MAX_SPANS)
    )
    for stop in range(start + first * step, start + turns * step, step):
        spans = [times.at(number) for number in range(max(stop - covers, 0), stop)]
        ends = [(s.start_ms, s.end_ms) for s in spans if s is not None]
        covered = tuple((a, b) for a, b in ends if b is not None and b < MAX_TIME_MS)
        if len(covered) < len(spans) or (covered and covered[-1][1] > now_ms):
            return
        if covered:
            yield covered[-1][1], covered


def _text(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _duration(ms: int) -> str:
    return f"PT{ms / 1000:g}S" if ms % 1000 else f"PT{ms // 1000}S"
