"""What a home pays for a kWh at a moment, from its tariff. Prices in micros per kWh."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.programs import WEEKDAYS, Rate, Rates, Tariff, Weekday

MINUTES_OF_DAY = 24 * 60
_KWH_PER_MWH = 1000


def tariff_fault(tariff: Tariff) -> str | None:
    """What is wrong with a tariff, in one sentence; None = nothing.

    Every minute of every weekday needs exactly one price to buy and one to sell.
    """
    try:
        ZoneInfo(tariff.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"there is no time zone {tariff.time_zone!r}; one is Europe/Berlin"
    for side, rates in (("buy", tariff.buy), ("sell", tariff.sell)):
        fault = None if rates == "market" else _rates_fault(rates)
        if fault:
            return f"{side}: {fault}"
    return None


def _rates_fault(rates: Sequence[Rate]) -> str | None:
    for rate in rates:
        if minutes(rate.from_) >= minutes(rate.until):
            return (
                f"a rate from {rate.from_} until {rate.until} ends before it begins; a rate across"
                " midnight is two rates"
            )
    for day in WEEKDAYS:
        end = "00:00"
        for rate in _of_day(rates, day):
            if minutes(rate.from_) > minutes(end):
                return f"{day} has no price from {end} until {rate.from_}"
            if minutes(rate.from_) < minutes(end):
                return f"{day} has two prices from {rate.from_} on"
            end = rate.until
        if minutes(end) < MINUTES_OF_DAY:
            return f"{day} has no price from {end} until 24:00"
    return None


def _of_day(rates: Sequence[Rate], day: Weekday) -> list[Rate]:
    return sorted((rate for rate in rates if day in rate.days), key=lambda r: minutes(r.from_))


def minutes(time_of_day: str) -> int:
    """Minutes since midnight of ``HH:MM``."""
    hours, rest = time_of_day.split(":")
    return 60 * int(hours) + int(rest)


def buy_price(tariff: Tariff, at_ms: int, market_per_mwh: float | None = None) -> int | None:
    """Price of a kWh from the grid with fees and tax, micros; None = the market's is not known."""
    price = _price(tariff, tariff.buy, at_ms, market_per_mwh)
    if price is None:
        return None
    return round((price + tariff.fees_per_kwh_micros) * (1 + Fraction(tariff.tax)))


def sell_price(tariff: Tariff, at_ms: int, market_per_mwh: float | None = None) -> int | None:
    """Payment for a kWh to the grid, micros; None = the market's price is not known."""
    price = _price(tariff, tariff.sell, at_ms, market_per_mwh)
    return None if price is None else round(price)


def _price(
    tariff: Tariff, rates: str | Rates, at_ms: int, market_per_mwh: float | None
) -> Fraction | None:
    if isinstance(rates, str):
        if market_per_mwh is None:
            return None
        return Fraction(market_per_mwh) * 1_000_000 / _KWH_PER_MWH
    local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(tariff.time_zone))
    minute, day = 60 * local.hour + local.minute, WEEKDAYS[local.weekday()]
    return next(
        Fraction(rate.per_kwh_micros)
        for rate in rates
        if day in rate.days and minutes(rate.from_) <= minute < minutes(rate.until)
    )
