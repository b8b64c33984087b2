"""OpenADR 3 events as our records: a region's requests, alerts and prices.

Pure: the same events, programs and time give the same records with the same ids, so a poll can be
repeated. `domain.openadr.standing` withdraws requests that are no longer in the events.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from openadr3.entities.raw import RawEvent, RawProgram

from schemas.bounds import MAX_TIME_MS
from schemas.dispatch import Limit, Target
from schemas.grid import Alert, PriceSeries
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.openadr.orders import Order, Price, Reader, Setpoint
from vpp_streams.domain.openadr.price_events import Priced, price_series
from vpp_streams.domain.openadr.requests import Known, Ven, alerts, requests
from vpp_streams.domain.openadr.time import length_of, moment_ms, timeline
from vpp_streams.domain.openadr.wire import FINDINGS, Remark, read_event

AHEAD_MS = 7 * DAY_MS
"""How far ahead events are read; later intervals are read later."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The present result of the events."""

    requests: tuple[Target | Limit, ...]
    alerts: tuple[Alert, ...]
    prices: PriceSeries | None
    known: tuple[Known, ...]
    """The events for us that can be read; they also say which reports are due."""
    refused: tuple[Remark, ...]
    """Parts of events that cannot be followed, with the reason."""
    found: tuple[Remark, ...]
    """Faults in events that were corrected, and how."""


def map_events(
    raw_events: Iterable[object], programs: Mapping[str, RawProgram], ven: Ven, now_ms: int
) -> Outcome:
    """Our records for a VTN's events. ``programs`` by id; events of other programs are left out."""
    known, remarks = _read_all(raw_events, programs, ven, now_ms)
    wanted, cut = requests(known, ven, now_ms)
    priced = [
        Priced(a.start_ms, a.end_ms, a.content, k.event.program_id, (k.priority, -k.issued_ms))
        for k in known
        for a in k.orders
        if isinstance(a.content, Price)
    ]
    prices, price_remarks = price_series(priced, ven.region, now_ms)
    every_remark = dict.fromkeys((*remarks, *cut, *price_remarks))
    return Outcome(
        wanted,
        tuple(alerts(known, ven, now_ms)),
        prices,
        tuple(known),
        tuple(remark for remark in every_remark if remark.reason not in FINDINGS),
        tuple(remark for remark in every_remark if remark.reason in FINDINGS),
    )


def _read_all(
    raw_events: Iterable[object], programs: Mapping[str, RawProgram], ven: Ven, now_ms: int
) -> tuple[list[Known], list[Remark]]:
    """The events for the VEN, and remarks on the faults of any event."""
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
    """Whether an event is for us: it has no targets, or one of them is ours."""
    ours = {ven.name, ven.region, ven.batteries} | ven.targets
    return not event.targets or bool(ours & set(event.targets))


def _known(
    event: RawEvent, event_id: str, program: RawProgram, now_ms: int
) -> tuple[Known, list[Remark]]:
    stamp = event.modification_date_time or event.created_date_time
    if stamp is None:
        raise ValueError("it has neither a creation nor a modification time")
    issued_ms = moment_ms(stamp, now_ms)
    times = timeline(event, issued_ms)
    reader = Reader(event, event_id, program)
    orders = [
        _spread(order, event, event_id)
        for span in times.within(now_ms - DAY_MS, now_ms + AHEAD_MS)
        for order in reader.orders(span)
    ]
    period = event.interval_period
    begins_ms = moment_ms(period.start, issued_ms) if period and period.start else issued_ms
    return Known(event, event_id, issued_ms, times, tuple(orders), begins_ms), reader.remarks


def _spread(order: Order, event: RawEvent, event_id: str) -> Order:
    """Move a setpoint by this event's share of ``randomizeStart``, always the same.

    Limits, alerts and prices are not moved: they must not be late.
    """
    period = event.interval_period
    if not isinstance(order.content, Setpoint) or period is None or not period.randomize_start:
        return order
    length = length_of(period.randomize_start)
    if length is None or length.months:
        return order
    share = int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:4], "big") / 2**32
    moved_ms = round(length.rest_ms * share)
    return replace(
        order,
        start_ms=min(order.start_ms + moved_ms, MAX_TIME_MS),
        end_ms=min(order.end_ms + moved_ms, MAX_TIME_MS),
    )
