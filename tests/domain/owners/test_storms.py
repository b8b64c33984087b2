"""What a storm means for one home."""

from decimal import Decimal

import pytest

from schemas.dispatch import StormCost
from vpp_streams.domain.owners.storms import lacking_wh, share_of_cost


@pytest.mark.parametrize(
    ("soc", "lacking"), [(0.25, 10_000.0), (0.75, 0.0), (1.0, 0.0), (None, None)]
)
def test_a_battery_lacks_what_is_below_the_reserve(
    soc: float | None, lacking: float | None
) -> None:
    assert lacking_wh(0.75, soc, 20_000.0) == lacking


@pytest.mark.parametrize(
    ("charge_wh", "money", "region_wh", "cost"),
    [
        (10_000.0, "30.00", 60_000.0, "5.00"),
        (0.0, "30.00", 60_000.0, "0.00"),
        (10_000.0, "-1.00", 30_000.0, "-0.33"),
        (None, "30.00", 60_000.0, None),
        (10_000.0, "", 60_000.0, None),
        (10_000.0, "a lot", 60_000.0, None),
        (10_000.0, "NaN", 60_000.0, None),
        (10_000.0, "30.00", 0.0, None),
    ],
)
def test_a_home_has_its_part_of_its_regions_cost(
    charge_wh: float | None, money: str, region_wh: float, cost: str | None
) -> None:
    region = StormCost(devices=9, withheld_w=1.0, charge_wh=region_wh, money=money, currency="EUR")
    expected = None if cost is None else Decimal(cost)
    assert share_of_cost(charge_wh, region) == expected


def test_without_a_word_of_its_region_a_homes_cost_is_not_known() -> None:
    assert share_of_cost(10_000.0, None) is None
