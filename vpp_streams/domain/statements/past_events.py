"""Past events of a home: what it gave, why, and what it was paid for it.

Intervals that follow each other, of the same market or program, in the same direction and under the
same terms, are one event. Intervals that were measured, and in which the home neither delivered
nor earned, are no event.
"""

import math
from collections.abc import Sequence
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from vpp_streams.domain.ledger.site_entries import SiteEntry
from vpp_streams.domain.settle.periods import local_date
from vpp_streams.domain.statements.arithmetic import KINDS, Formula, Money, Paid, formula, known
from vpp_streams.domain.statements.arithmetic import money as money_of
from vpp_streams.domain.statements.flows import EventFlows
from vpp_streams.domain.statements.intervals import (
    MINUTE_MS,
    Measured,
    Settled,
    by_interval,
    measured,
)

Why = Literal["award", "event", "availability"]
Direction = Literal["gave", "charged", "none"]
NOTHING_WH = 0.5
"""Energy below this is no delivery."""
_WHY: dict[str, Why] = {"share": "award", "energy": "event", "event": "event"}


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of payment for an event."""

    kind: str
    said: str
    """What the kind is, for people."""
    amount: Money
    formula: Formula


class PastEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a home took part in, or could not, and what came of it."""

    event_id: str
    start_ms: int
    end_ms: int
    why: Why
    """``award``: sold to or bought from a market. ``event``: called by the operator's program.
    ``availability``: it stood ready."""
    market: str
    """Empty where a program alone pays."""
    program_id: str
    program_version: int
    direction: Direction
    delivered_wh: float | None
    """Energy that counted, + = export; of availability power times hours; null = not measured."""
    energy_wh: float | None
    """Measured at the connection, + = export."""
    baseline_wh: float | None
    """The same without the event, which the measured energy is compared with."""
    price_per_kwh: float | None
    """Mean price, weighted by energy, in units of the currency; null = none, or no energy."""
    share: float | None
    """The owner's share of the market's money; null = paid by rate."""
    payments: list[Payment]
    amount: Money
    """Sum of the payments, with all corrections."""
    correction: Money | None
    """What corrections changed, in ``amount`` already; null = it was never corrected."""
    settled_min: float
    measured_min: float
    coverage: float
    """Measured part, 0..1."""
    coverage_said: str
    """The same in a sentence; empty = all of it was measured."""
    flows: EventFlows | None = None
    """Where the energy went; null = the windows of that time are not at hand."""


def past_events(entries: Sequence[SiteEntry], zone: ZoneInfo) -> list[PastEvent]:
    """The events of a site, newest first. Availability is one event for each local day."""
    series: dict[tuple[str, str, str], list[list[Settled]]] = {}
    for one in by_interval(entries):
        if not _is_something(one):
            continue
        why = _WHY.get(one.kind, "availability")
        groups = series.setdefault((why, one.market, one.shown.program_id), [])
        if groups and _continues(groups[-1], one, zone):
            groups[-1].append(one)
        else:
            groups.append([one])
    found = [_event(group) for groups in series.values() for group in groups]
    return sorted(found, key=lambda event: (event.start_ms, event.event_id), reverse=True)


def _is_something(one: Settled) -> bool:
    shown = one.shown
    moved = math.isnan(shown.delivered_wh) or abs(shown.delivered_wh) >= NOTHING_WH
    return moved or bool(one.micros) or shown.coverage < 1 or one.corrected


def _continues(group: Sequence[Settled], one: Settled, zone: ZoneInfo) -> bool:
    last = group[-1]
    if (last.start_ms, last.end_ms) == (one.start_ms, one.end_ms):
        return last.shown.program_version == one.shown.program_version  # another kind of payment
    if one.kind == "availability" and local_date(last.start_ms, zone) != local_date(
        one.start_ms, zone
    ):
        return False
    return (
        last.end_ms == one.start_ms
        and _direction([last]) in (_direction([one]), "none")
        and last.shown.program_version == one.shown.program_version
        and last.newest.currency == one.newest.currency
    )


def _direction(group: Sequence[Settled]) -> Direction:
    total = _sum(_distinct(group), "delivered_wh")
    if total is None or abs(total) < NOTHING_WH or group[0].kind == "availability":
        return "none"
    return "gave" if total > 0 else "charged"


def _distinct(group: Sequence[Settled]) -> list[Settled]:
    """One of each interval: kinds of payment for the same interval have the same energy."""
    return list({one.start_ms: one for one in group}.values())


def _sum(group: Sequence[Settled], name: str) -> float | None:
    values = [getattr(one.shown, name) for one in group if one.standing is not None]
    there = [value for value in values if not math.isnan(value)]
    return math.fsum(there) if there else None


def _event(group: list[Settled]) -> PastEvent:
    first, distinct = group[0], _distinct(group)
    shown, why = first.shown, _WHY.get(first.kind, "availability")
    currency = first.newest.currency
    payments = [
        _payment([one for one in group if one.kind == kind])
        for kind in dict.fromkeys(one.kind for one in group)
    ]
    covered = measured(distinct) if why != "availability" else _available(distinct)
    settled_min, measured_min = covered.settled_ms / MINUTE_MS, covered.measured_ms / MINUTE_MS
    corrections = sum(one.micros - one.first_micros for one in group)
    corrected = any(one.corrected for one in group)
    return PastEvent(
        event_id=f"{why}:{first.market or shown.program_id}:{first.start_ms}",
        start_ms=first.start_ms,
        end_ms=max(one.end_ms for one in group),
        why=why,
        market=first.market,
        program_id=shown.program_id,
        program_version=shown.program_version,
        direction=_direction(group),
        delivered_wh=_sum(distinct, "delivered_wh"),
        energy_wh=_sum(distinct, "energy_wh"),
        baseline_wh=_sum(distinct, "baseline_wh"),
        price_per_kwh=_price(distinct),
        share=known(shown.share),
        payments=payments,
        amount=money_of(sum(one.micros for one in group), currency),
        correction=money_of(corrections, currency) if corrected else None,
        settled_min=settled_min,
        measured_min=measured_min,
        coverage=measured_min / settled_min if settled_min else 0.0,
        coverage_said=coverage_said(settled_min, measured_min, why),
    )


def _available(group: Sequence[Settled]) -> Measured:
    settled = sum(one.end_ms - one.start_ms for one in group)
    done = sum(round((one.end_ms - one.start_ms) * one.shown.coverage) for one in group)
    return Measured(settled, done, sum(one.shown.coverage < 1 for one in group))


def coverage_said(settled_min: float, measured_min: float, why: Why = "award") -> str:
    """How much was measured, in a sentence; empty = all of it."""
    if measured_min >= settled_min - 0.005:
        return ""
    if why == "availability":
        return (
            f"The battery was available for {measured_min / 60:.1f} of"
            f" {settled_min / 60:.1f} hours; the rest was not paid."
        )
    if not measured_min:
        return "Nothing was measured, so nothing was paid."
    return (
        f"{_minutes(measured_min)} of {_minutes(settled_min)} minutes were measured;"
        " the rest was not paid."
    )


def _minutes(count: float) -> str:
    return f"{count:.1f}".removesuffix(".0")


def _price(group: Sequence[Settled]) -> float | None:
    """Mean price of the energy that counted, per kWh."""
    rows = [
        (abs(one.shown.delivered_wh), one.shown.price_per_mwh)
        for one in group
        if not math.isnan(one.shown.delivered_wh) and one.micros
    ]
    weight = math.fsum(wh for wh, _ in rows)
    if not weight or any(math.isnan(price) for _, price in rows):
        return None
    return math.fsum(wh * price for wh, price in rows) / weight / 1000


def _payment(group: Sequence[Settled]) -> Payment:
    first = group[0]
    paid = [one for one in group if one.micros and one.standing is not None]
    energy = _sum(paid, "delivered_wh") if paid else _sum(group, "delivered_wh")
    price = _price(paid)
    total, currency = sum(one.micros for one in group), first.newest.currency
    return Payment(
        kind=first.kind,
        said=KINDS[first.kind],
        amount=money_of(total, currency),
        formula=formula(
            Paid(
                kind=first.kind,
                delivered_wh=math.nan if energy is None else energy,
                price_per_mwh=None if price is None else price * 1000,
                share=known(first.shown.share),
                micros=total,
                currency=currency,
                count=max(len(paid), 1) if total else 0,
            )
        ),
    )
