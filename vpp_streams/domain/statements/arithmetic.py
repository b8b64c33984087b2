"""Amounts as text, and the formula behind each one, written out with its numbers.

A formula has as many decimals as it needs, so that whoever multiplies the printed numbers finds
the printed result.
"""

import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec

from schemas.settlement import MICROS, EntryKind
from vpp_streams.domain.ledger.pain001 import amount_text
from vpp_streams.domain.settle.storm_cost import StormBill

WH_PER_KWH = 1000
AMOUNT_DECIMALS = 4
"""Decimals of a formula's result; one more micro than that is nobody's concern."""
_PRECISIONS = tuple((kwh, price) for kwh in (3, 4, 6) for price in range(4, 11))
"""Decimals of an energy and of a price, from the shortest to the most exact."""
MICROS_OF_ROUNDING = 2
"""Micros that division and rounding may move in one interval."""
NO_BASELINE = (
    "Too few similar days without an event were measured before, so there is nothing to compare"
    " with, and nothing was paid."
)
KINDS: dict[EntryKind, str] = {
    "share": "Share of what the market paid",
    "energy": "Energy delivered in events",
    "event": "Events in which energy was delivered",
    "availability": "Availability of the battery",
    "payout": "Payout",
}
"""What a kind of entry of a site is, for its owner."""


class Money(msgspec.Struct, frozen=True):
    """An amount of money: as a decimal number, and exactly in micros (10^-6 of the unit)."""

    amount: str
    """In units of the currency, with all six decimals, for example ``0.041200``."""
    currency: str
    """ISO 4217; empty = nothing was ever booked, and the amount is 0."""
    micros: int


class Formula(msgspec.Struct, frozen=True):
    """How an amount comes about."""

    text: str
    """For example ``0.417 kWh × 0.1234 EUR/kWh × 80 % = 0.0412 EUR``."""
    note: str = ""
    """What the numbers alone do not say, in one sentence."""


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """What a formula is about: one entry, or a sum of entries of one kind and terms."""

    kind: EntryKind
    delivered_wh: float
    """Paid energy, + = export; of availability power times hours; NaN = not measured."""
    price_per_mwh: float | None
    """Price that the entries state, the mean by energy; None or NaN = no single one."""
    share: float | None
    micros: int
    currency: str
    count: int = 1
    """Number of intervals or events in it."""
    without_baseline: bool = False
    """Measured, and not paid: too few similar days were measured to compare it with."""


def money(micros: int, currency: str) -> Money:
    """An amount of micros for the wire."""
    return Money(amount_text(micros, 6), currency, micros)


def amount(micros: int, currency: str, decimals: int = AMOUNT_DECIMALS) -> str:
    """An amount for people, halves to the even digit, for example ``−0.0412 EUR``."""
    return f"{plain(Decimal(micros) / MICROS, decimals)} {currency}"


def plain(value: Decimal | float, decimals: int) -> str:
    """A number for people: a point, no thousands separators, and a real minus sign."""
    rounded = _rounded(Decimal(value), decimals)
    return f"{'−' if rounded < 0 else ''}{abs(rounded):.{decimals}f}"


def percent(share: float) -> str:
    """A share 0..1 in percent, exact to the millionth, for example ``80 %``."""
    return f"{(Decimal(round(share * 1_000_000)) / 10_000).normalize():f} %"


def kwh(energy_wh: float | None) -> str:
    """An energy in kWh with three decimals; ``not measured`` for NaN or None."""
    if energy_wh is None or math.isnan(energy_wh):
        return "not measured"
    return f"{plain(energy_wh / WH_PER_KWH, 3)} kWh"


def known(value: float | None) -> float | None:
    """A number for the wire: NaN becomes null."""
    return None if value is None or math.isnan(value) else value


def formula(paid: Paid) -> Formula:
    """The formula of an amount."""
    if paid.without_baseline and not paid.micros:
        return Formula("no baseline = 0 " + paid.currency, NO_BASELINE)
    if math.isnan(paid.delivered_wh) and not paid.micros:
        return Formula("not measured = 0 " + paid.currency, "What is not measured is not paid.")
    match paid.kind:
        case "payout":
            return Formula(amount(paid.micros, paid.currency))
        case "event":
            return _per_event(paid)
        case "availability":
            return _product(paid, abs(paid.delivered_wh), "kW·h", "Kilowatts times hours.")
        case "energy":
            return _product(paid, abs(paid.delivered_wh), "kWh")
        case _:
            return _share(paid)


def storm_formula(bill: StormBill, currency: str) -> Formula:
    """How the cost of storms comes about."""
    with_battery, without, cost = (
        amount(micros, currency) for micros in (bill.with_micros, bill.without_micros, bill.micros)
    )
    return Formula(
        f"{with_battery} with the battery − {without} without it = {cost}",
        "What the connection cost in the quarter-hours of storms, by your tariff, and what it would"
        f" have cost without the battery, which took {kwh(bill.charged_wh)} more than it gave.",
    )


def _per_event(paid: Paid) -> Formula:
    if not paid.micros or not paid.count:
        return Formula(f"0 events = {amount(paid.micros, paid.currency)}")
    rate = Decimal(paid.micros) / MICROS / paid.count
    word = "event" if abs(paid.count) == 1 else "events"
    each = plain(rate, _decimals(rate))
    return Formula(
        f"{plain(paid.count, 0)} {word} × {each} {paid.currency}"
        f" = {amount(paid.micros, paid.currency)}"
    )


def _share(paid: Paid) -> Formula:
    found = _product(paid, paid.delivered_wh, "kWh")
    clearing = known(paid.price_per_mwh)
    if clearing is None or not paid.micros or not paid.share or not paid.delivered_wh:
        return found
    expected = paid.delivered_wh / WH_PER_KWH * clearing / WH_PER_KWH * paid.share * MICROS
    if abs(expected - paid.micros) <= MICROS_OF_ROUNDING * max(abs(paid.count), 1):
        return found
    return Formula(
        found.text,
        f"The market's price was {plain(clearing / WH_PER_KWH, 4)} {paid.currency}/kWh. What it"
        " paid the region is divided among the homes that delivered, and may contain capacity, and"
        " energy that was missing or too much; the price in the formula is what came to each kWh.",
    )


def _product(paid: Paid, quantity_wh: float, unit: str, note: str = "") -> Formula:
    """Energy times price, times the owner's share where there is one."""
    share = paid.share if paid.share is not None and not math.isnan(paid.share) else None
    factor = Decimal(1) if share is None else Decimal(round(share * 1_000_000)) / 1_000_000
    total = Decimal(paid.micros) / MICROS
    energy = Decimal(quantity_wh) / WH_PER_KWH
    result = amount(paid.micros, paid.currency)
    shared = "" if share is None else f" × {percent(share)}"
    per = "kWh" if unit == "kWh" else f"({unit})"
    if not energy or not factor or not paid.micros:
        return Formula(f"{plain(energy, 3)} {unit} = {result}", _why_nothing(paid, energy))
    price = total / (energy * factor)
    digits = next(
        (
            (a, b)
            for a, b in _PRECISIONS
            if _rounded(_rounded(energy, a) * _rounded(price, b) * factor, AMOUNT_DECIMALS)
            == _rounded(total, AMOUNT_DECIMALS)
            and _rounded(price, b)
        ),
        _PRECISIONS[-1],
    )
    return Formula(
        f"{plain(energy, digits[0])} {unit} × {plain(price, digits[1])} {paid.currency}/{per}"
        f"{shared} = {result}",
        note,
    )


def _why_nothing(paid: Paid, energy: Decimal) -> str:
    if paid.micros:
        return "Not for energy: for capacity that was held ready, or corrections that cancel out."
    if not energy:
        return "No energy was delivered."
    return (
        "It was not paid: the home did not take part, or its energy went the other way than the"
        " region was called."
    )


def _rounded(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)


def _decimals(value: Decimal) -> int:
    exponent: Any = value.normalize().as_tuple().exponent
    return min(max(-int(exponent), 2), 6)
