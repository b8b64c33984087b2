"""A tariff has exactly one price for every minute, and one that has not is refused."""

from datetime import UTC, datetime

import msgspec
import pytest

from schemas.programs import Rate, Tariff, Weekday
from tests.support.paths import GOLDEN
from vpp_streams.domain.settle.tariffs import buy_price, sell_price, tariff_fault

DAY_AND_NIGHT = msgspec.json.decode((GOLDEN / "tariff.1.json").read_bytes(), type=Tariff)
WORKING: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")


def rate(from_: str, until: str, micros: int = 1, days: tuple[Weekday, ...] | None = None) -> Rate:
    made = Rate(from_=from_, until=until, per_kwh_micros=micros)
    return msgspec.structs.replace(made, days=days) if days else made


def tariff(*buy: Rate, **changes: object) -> Tariff:
    return msgspec.structs.replace(DAY_AND_NIGHT, buy=buy, **changes)


def ms(*when: int) -> int:
    return round(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]  # date and time


def test_a_tariff_that_covers_every_minute_once_is_sound() -> None:
    assert tariff_fault(DAY_AND_NIGHT) is None
    assert tariff_fault(tariff(rate("00:00", "24:00"))) is None


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        ([rate("00:00", "23:00")], "buy: mon has no price from 23:00 until 24:00"),
        ([rate("01:00", "24:00")], "buy: mon has no price from 00:00 until 01:00"),
        (
            [rate("00:00", "06:00"), rate("07:00", "24:00")],
            "buy: mon has no price from 06:00 until 07:00",
        ),
        (
            [rate("00:00", "08:00"), rate("07:00", "24:00")],
            "buy: mon has two prices from 07:00 on",
        ),
        ([rate("00:00", "24:00", days=WORKING)], "buy: sat has no price from 00:00 until 24:00"),
        (
            [rate("00:00", "24:00"), rate("06:00", "22:00", days=("sun",))],
            "buy: sun has two prices from 06:00 on",
        ),
        (
            [rate("00:00", "22:00"), rate("22:00", "06:00")],
            "buy: a rate from 22:00 until 06:00 ends before it begins; a rate across midnight is"
            " two rates",
        ),
    ],
)
def test_gaps_and_overlaps_are_named(rates: list[Rate], sentence: str) -> None:
    assert tariff_fault(tariff(*rates)) == sentence


def test_the_other_side_and_the_time_zone_are_checked_too() -> None:
    fault = tariff_fault(tariff(rate("00:00", "24:00"), sell=(rate("00:00", "12:00"),)))
    assert fault == "sell: mon has no price from 12:00 until 24:00"
    fault = tariff_fault(tariff(rate("00:00", "24:00"), time_zone="Mars/Olympus"))
    assert fault == "there is no time zone 'Mars/Olympus'; one is Europe/Berlin"


def test_a_price_has_fees_and_tax() -> None:
    monday_noon, sunday_noon = ms(2025, 11, 24, 11), ms(2025, 11, 23, 11)
    assert buy_price(DAY_AND_NIGHT, monday_noon) == round((320_000 + 12_000) * 1.19)
    assert buy_price(DAY_AND_NIGHT, sunday_noon) == round((260_000 + 12_000) * 1.19)


def test_the_clock_of_the_tariff_decides() -> None:
    """Clocks go forward on 29 March 2026: 22:00 is then 20:00 UTC instead of 21:00."""
    night, day = round(192_000 * 1.19), round(272_000 * 1.19)
    assert buy_price(DAY_AND_NIGHT, ms(2026, 3, 28, 20, 59)) == day
    assert buy_price(DAY_AND_NIGHT, ms(2026, 3, 28, 21)) == night
    assert buy_price(DAY_AND_NIGHT, ms(2026, 3, 29, 19, 59)) == day
    assert buy_price(DAY_AND_NIGHT, ms(2026, 3, 29, 20)) == night


def test_a_tariff_can_follow_the_market() -> None:
    assert sell_price(DAY_AND_NIGHT, ms(2025, 11, 24, 11), 94.7) == 94_700
    assert sell_price(DAY_AND_NIGHT, ms(2025, 11, 24, 11), -12.5) == -12_500
    assert sell_price(DAY_AND_NIGHT, ms(2025, 11, 24, 11)) is None
    linked = msgspec.structs.replace(DAY_AND_NIGHT, buy="market")
    assert buy_price(linked, 0, 100.0) == round((100_000 + 12_000) * 1.19)
    assert buy_price(linked, 0) is None
