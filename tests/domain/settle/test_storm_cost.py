"""What a storm cost an owner, by their own tariff."""

import msgspec
import numpy as np

from schemas.programs import Rate, Tariff
from tests.support.paths import GOLDEN
from tests.support.settle_world import HOUR, START
from vpp_streams.domain.settle.storm_cost import Metered, StormBill, added, storm_bill

GIVEN = msgspec.json.decode((GOLDEN / "tariff.1.json").read_bytes(), type=Tariff)
FLAT = msgspec.structs.replace(
    GIVEN,
    buy=(Rate(from_="00:00", until="24:00", per_kwh_micros=300_000),),
    sell=(Rate(from_="00:00", until="24:00", per_kwh_micros=80_000),),
    fees_per_kwh_micros=0,
    tax=0.0,
)


def billed(*intervals: tuple[float, float], tariff: Tariff = FLAT) -> StormBill:
    return storm_bill(
        tariff,
        [Metered(START + k * HOUR, grid, battery) for k, (grid, battery) in enumerate(intervals)],
    )


def bill(*intervals: tuple[float, float], tariff: Tariff = FLAT) -> tuple[int, int]:
    """The cost, and the number of intervals that are not in it."""
    found = billed(*intervals, tariff=tariff)
    assert found.micros == found.with_micros - found.without_micros
    return found.micros, found.unknown


def test_a_bill_shows_both_sides_of_the_difference() -> None:
    one, other = billed((3_500.0, -3_000.0)), billed((500.0, 500.0), (1.0, np.nan))
    assert added([one, other]) == StormBill(
        micros=900_000 - 150_000,
        unknown=1,
        with_micros=1_050_000 + 150_000,
        without_micros=150_000 + 300_000,
        charged_wh=2_500.0,
    )


def test_a_charge_costs_what_was_bought_for_it() -> None:
    """The home took 500 Wh anyway; its battery took 3 000 Wh more at 0.30."""
    assert bill((3_500.0, -3_000.0)) == (900_000, 0)


def test_a_charge_from_the_panels_costs_what_was_not_sold() -> None:
    assert bill((-1_000.0, -3_000.0)) == (240_000, 0)


def test_a_charge_from_both_is_priced_interval_by_interval() -> None:
    """1 000 Wh would have been exported, 2 000 Wh were imported instead."""
    assert bill((2_000.0, -3_000.0)) == (600_000 + 80_000, 0)


def test_holding_costs_nothing_and_giving_earns() -> None:
    assert bill((500.0, 0.0)) == (0, 0)
    assert bill((0.0, 500.0)) == (-150_000, 0)


def test_what_was_not_measured_or_has_no_price_is_counted_and_not_guessed() -> None:
    assert bill((3_500.0, -3_000.0), (np.nan, -1.0), (1.0, np.nan)) == (900_000, 2)
    linked = msgspec.structs.replace(FLAT, buy="market")
    assert bill((3_500.0, -3_000.0), tariff=linked) == (0, 1)
