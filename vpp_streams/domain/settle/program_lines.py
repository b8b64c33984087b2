"""What programs pay by rate: per kWh and per event, and for availability. The operator pays it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from schemas.market import Award
from schemas.programs import Program
from schemas.settlement import MICROS, OPERATOR, EntryKind
from vpp_streams.domain.arrays import Floats, Ints, Mask
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.settle.agreements import Enrolled
from vpp_streams.domain.settle.attribution import Delivered, energy_weights
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import Span
from vpp_streams.domain.settle.lines import Interval, Lines, repeated, taken
from vpp_streams.domain.settle.money import MILLI_WH_PER_KWH, milli_wh, paid_for

_KWH_PER_MWH = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """A stretch of time in which a region's batteries were called in one direction."""

    region: str
    span: Span
    towards: int
    """1 = discharge, -1 = charge."""


def events_of(awards: Iterable[Award], towards: Mapping[str, int]) -> tuple[Event, ...]:
    """The events that awards call for: intervals that follow each other in one direction are one.

    ``towards`` is the direction of each award by its bid id (see `attribution.direction`).
    """
    events: list[Event] = []
    for award in sorted(awards, key=lambda award: (award.region, award.start_ms)):
        way = towards.get(award.bid_id, 0)
        last = events[-1] if events else None
        if not way:
            continue
        if last and (last.region, last.span[1], last.towards) == (
            award.region,
            award.start_ms,
            way,
        ):
            events[-1] = Event(award.region, (last.span[0], ends_ms(award)), way)
        else:
            events.append(Event(award.region, (award.start_ms, ends_ms(award)), way))
    return tuple(events)


def event_lines(
    event: Event, fleet: Fleet, delivered: Delivered, enrolled: Enrolled, *, takes_part: Mask
) -> tuple[Lines, ...]:
    """Payments per kWh and per event to the sites that delivered in the event's direction.

    A site of a program that pays so has a line, of 0 if it delivered nothing.
    """
    given = energy_weights(delivered.delivered_wh, event.towards, takes_part)
    lines = []
    for code, program in enumerate(enrolled.programs):
        rows = np.flatnonzero(enrolled.code == code)
        own = taken(delivered, rows)
        if program.per_kwh_micros and len(rows):
            amounts = paid_for(given[rows], program.per_kwh_micros)
            price = program.per_kwh_micros * _KWH_PER_MWH / MICROS
            lines.append(_lines("energy", event.span, fleet, program, rows, amounts, own, price))
        if program.per_event_micros and len(rows):
            amounts = np.where(given[rows] > 0, program.per_event_micros, 0)
            lines.append(_lines("event", event.span, fleet, program, rows, amounts, own, math.nan))
    return tuple(lines)


def availability_lines(
    span: Span, month_ms: int, fleet: Fleet, available_hours: Floats, enrolled: Enrolled
) -> tuple[Lines, ...]:
    """Payments for availability in a month, or in a part of it in which the terms were the same.

    ``available_hours`` are those in which a site was measured and took part, shape (sites,);
    ``month_ms`` is the length of the complete month.
    """
    hours = (span[1] - span[0]) / HOUR_MS
    held_wh = fleet.discharge_w * available_hours
    lines = []
    for code, program in enumerate(enrolled.programs):
        rows = np.flatnonzero(enrolled.code == code)
        rate = program.per_kw_hour_micros + Fraction(
            program.per_kw_month_micros * HOUR_MS, month_ms
        )
        if not rate or not len(rows):
            continue
        amounts = [
            round(Fraction(energy, MILLI_WH_PER_KWH) * rate)
            for energy in milli_wh(held_wh[rows]).tolist()
        ]
        unknown = np.full(len(rows), np.nan)
        own = Delivered(
            energy_wh=unknown,
            baseline_wh=unknown,
            delivered_wh=held_wh[rows],
            coverage=np.clip(available_hours[rows] / hours, 0.0, 1.0),
            revision=np.full(len(rows), -1, np.int64),
        )
        price = float(rate) * _KWH_PER_MWH / MICROS
        found = np.array(amounts, np.int64)
        lines.append(_lines("availability", span, fleet, program, rows, found, own, price))
    return tuple(lines)


def _lines(  # noqa: PLR0917  # the columns of a line, in their order
    kind: EntryKind,
    span: Span,
    fleet: Fleet,
    program: Program,
    rows: Ints,
    amounts: Ints,
    delivered: Delivered,
    price_per_mwh: float,
) -> Lines:
    return Lines(
        kind=kind,
        interval=Interval(fleet.region, "", span, program.currency, price_per_mwh),
        program=program,
        site_ids=fleet.site_ids.take(pa.array(rows)),
        giver=repeated(OPERATOR, len(rows)),
        taker=fleet.accounts.take(pa.array(rows)),
        amounts=amounts,
        delivered=delivered,
    )
