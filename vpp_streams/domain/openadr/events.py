"""OpenADR 3 events as our records: what is asked of a region, its alerts and its prices.

Pure: the same events, programs and time give the same records under the same ids, so a poll can
be repeated. `domain.openadr.standing` withdraws what is no longer asked.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from openadr3.entities.raw import RawEvent, RawProgram

from schemas.bounds import MAX_TIME_MS
from schemas.dispatch import Limit, Target
from schemas.grid import Alert, PriceSeries
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.openadr.asks import Ask, Price, Reader, Setpoint
from vpp_streams.domain.openadr.price_events import Priced, price_series
from vpp_streams.domain.openadr.requests import Known, Ven, alerts, requests
from vpp_streams.domain.openadr.time import length_of, moment_ms, timeline
from vpp_streams.domain.openadr.wire import FINDINGS, Remark, read_event

AHEAD_MS = 7 * DAY_MS
"""Events are looked at so far ahead; what begins later is looked at then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the events say now."""

    requests: tuple[Target | Limit, ...]
    alerts: tuple[Alert, ...]
    prices: PriceSeries | None
    known: tuple[Known, ...]
    """The events that concern us and can be read; reports are asked for by them."""
    refused: tuple[Remark, ...]
    """What cannot be followed, and why."""
    found: tuple[Remark, ...]
    """Dirt, and what was made of it."""


def map_events(
    raw_events: Iterable[object], programs: Mapping[str, RawProgram], ven: Ven, now_ms: int
) -> Outcome:
    """Make our records of a VTN's events. ``programs`` by id; events of others are left out."""
    known, remarks = _read_all(raw_events, programs, ven, now_ms)
    asked, cut = requests(known, ven, now_ms)
    priced = [
        Priced(a.start_ms, a.end_ms, a.content, k.event.program_id, (k.priority, -k.issued_ms))
        for k in known
        for a in k.asks
        if isinstance(a.content, Price)
    ]
    prices, price_remarks = price_series(priced, ven.region, now_ms)
    said = dict.fromkeys((*remarks, *cut, *price_remarks))
    return Outcome(
        asked,
        tuple(alerts(known, ven, now_ms)),
        prices,
        tuple(known),
        tuple(remark for remark in said if remark.reason not in FINDINGS),
        tuple(remark for remark in said if remark.reason in FINDINGS),
    )


def _read_all(
    raw_events: Iterable[object], programs: Mapping[str, RawProgram], ven: Ven, now_ms: int
) -> tuple[list[Known], list[Remark]]:
    """The events that concern the VEN, and what is wrong with any."""
    known: list[Known] = []
    remarks: list[Remark] = []
    for raw in raw_events:
        read = read_event(raw)
        if isinstance(read, Remark):
            remarks.append(read)
            continue
        if read.event.program_id not in programs or not concerns(read.event, ven):
            continue
        remarks += read.found
        try:
            event = _known(read.event, read.event_id, programs[read.event.program_id], now_ms)
        except (ValueError, OverflowError) as error:
            remarks.append(Remark(read.event_id, "bad_time", str(error)))
            continue
        known.append(event[0])
        remarks += event[1]
    return known, remarks


def concerns(event: RawEvent, ven: Ven) -> bool:
    """Whether an event is for us: it has no targets, or one of them names us."""
    ours = {ven.name, ven.region, ven.batteries} | ven.targets
    return not event.targets or bool(ours & set(event.targets))


def _known(
    event: RawEvent, event_id: str, program: RawProgram, now_ms: int
) -> tuple[Known, list[Remark]]:
    told = event.modification_date_time or event.created_date_time
    if told is None:
        raise ValueError("it says neither when it was created nor when it was modified")
    issued_ms = moment_ms(told, now_ms)
    times = timeline(event, issued_ms)
    reader = Reader(event, event_id, program)
    asks = [
        _spread(ask, event, event_id)
        for span in times.within(now_ms - DAY_MS, now_ms + AHEAD_MS)
        for ask in reader.asks(span)
    ]
    period = event.interval_period
    begins_ms = moment_ms(period.start, issued_ms) if period and period.start else issued_ms
    return Known(event, event_id, issued_ms, times, tuple(asks), begins_ms), reader.remarks


def _spread(ask: Ask, event: RawEvent, event_id: str) -> Ask:
    """Move a setpoint by this event's share of ``randomizeStart``, always the same.

    Limits, alerts and prices are not moved: they must not come late.
    """
    period = event.interval_period
    if not isinstance(ask.content, Setpoint) or period is None or not period.randomize_start:
        return ask
    length = length_of(period.randomize_start)
    if length is None or length.months:
        return ask
    share = int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:4], "big") / 2**32
    moved_ms = round(length.rest_ms * share)
    return replace(
        ask,
        start_ms=min(ask.start_ms + moved_ms, MAX_TIME_MS),
        end_ms=min(ask.end_ms + moved_ms, MAX_TIME_MS),
    )
