"""What programs pay by rate: per kWh and per event, and for availability. The operator pays it."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pyarrow as pa

from schemas.programs import Program
from schemas.settlement import MICROS, OPERATOR, EntryKind
from vpp_streams.domain.arrays import Floats, Ints, Mask
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.settle.agreements import Enrolled
from vpp_streams.domain.settle.attribution import Delivered, energy_weights
from vpp_streams.domain.settle.events import Event
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.intervals import Span
from vpp_streams.domain.settle.lines import Interval, Lines, repeated, taken
from vpp_streams.domain.settle.money import MILLI_WH_PER_KWH, milli_wh, paid_for

_KWH_PER_MWH = 1000


def event_lines(
    event: Event, fleet: Fleet, delivered: Delivered, enrolled: Enrolled, *, takes_part: Mask
) -> tuple[Lines, ...]:
    """Payments per kWh and per event to the sites that delivered in the event's direction.

    A site of a program that pays so has a line, of 0 if it delivered nothing. ``delivered`` is what
    sites gave while they took part; the payment per event is for those that took part to its end.
    """
    given = energy_weights(delivered.delivered_wh, event.towards, np.ones(len(fleet), bool))
    interval = partial(Interval, fleet.region, event.market, event.span)
    lines = []
    for code, program in enumerate(enrolled.programs):
        rows = np.flatnonzero(enrolled.code == code)
        own = taken(delivered, rows)
        if program.per_kwh_micros and len(rows):
            amounts = paid_for(given[rows], program.per_kwh_micros)
            price = program.per_kwh_micros * _KWH_PER_MWH / MICROS
            priced = interval(program.currency, price)
            lines.append(_lines("energy", priced, fleet, program, rows, amounts, own))
        if program.per_event_micros and len(rows):
            earned = (given[rows] > 0) & takes_part[rows]
            amounts = np.where(earned, program.per_event_micros, 0)
            unpriced = interval(program.currency, math.nan)
            lines.append(_lines("event", unpriced, fleet, program, rows, amounts, own))
    return tuple(lines)


def pays_for_events(program: Program) -> bool:
    """Whether a program pays by rate for events."""
    return bool(program.per_kwh_micros or program.per_event_micros)


def pays_for_availability(program: Program) -> bool:
    """Whether a program pays for standing ready."""
    return bool(program.per_kw_hour_micros or program.per_kw_month_micros)


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
        # Most batteries are of few kinds: each energy is paid once, exactly.
        held, of_row = np.unique(milli_wh(held_wh[rows]), return_inverse=True)
        paid = [round(Fraction(energy, MILLI_WH_PER_KWH) * rate) for energy in held.tolist()]
        unknown = np.full(len(rows), np.nan)
        own = Delivered(
            energy_wh=unknown,
            baseline_wh=unknown,
            delivered_wh=held_wh[rows],
            coverage=np.clip(available_hours[rows] / hours, 0.0, 1.0),
            revision=np.full(len(rows), -1, np.int64),
        )
        price = float(rate) * _KWH_PER_MWH / MICROS
        found = np.array(paid, np.int64)[of_row]
        interval = Interval(fleet.region, "", span, program.currency, price)
        lines.append(_lines("availability", interval, fleet, program, rows, found, own))
    return tuple(lines)


def _lines(  # noqa: PLR0917  # the columns of a line, in their order
    kind: EntryKind,
    interval: Interval,
    fleet: Fleet,
    program: Program,
    rows: Ints,
    amounts: Ints,
    delivered: Delivered,
) -> Lines:
    return Lines(
        kind=kind,
        interval=interval,
        program=program,
        site_ids=fleet.site_ids.take(pa.array(rows)),
        giver=repeated(OPERATOR, len(rows)),
        taker=fleet.accounts.take(pa.array(rows)),
        amounts=amounts,
        delivered=delivered,
    )
