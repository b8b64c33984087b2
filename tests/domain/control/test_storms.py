"""Storms: whose reserve is raised when, and what that costs."""

import msgspec
import numpy as np
import pytest

from schemas.grid import Alert, PriceSeries
from vpp_streams.domain.control.storms import cost, reserves, sentence

GALE = Alert(
    alert_id="gale",
    kind="storm",
    regions=("north",),
    site_ids=("c",),
    prepare_from_ms=1_000,
    starts_at_ms=5_000,
    ends_at_ms=9_000,
)
SITES, REGIONS = ("a", "b", "c", "d"), ("north", "north", "coast", "coast")
OWN = np.array([0.2, 0.5, 0.1, 0.3])
WILLING = np.ones(4, np.bool_)


def at(now_ms: int, *alerts: Alert) -> list[float]:
    reserve, concerned = reserves(alerts, now_ms, SITES, REGIONS, owners=(OWN, WILLING))
    assert (reserve[~concerned] == OWN[~concerned]).all()
    assert (reserve >= OWN).all(), "no alert lowers an owner's reserve"
    return reserve.tolist()


@pytest.mark.parametrize(
    ("now_ms", "raised"), [(999, False), (1_000, True), (8_999, True), (9_000, False)]
)
def test_from_the_preparation_to_the_end(now_ms: int, raised: bool) -> None:
    assert at(now_ms, GALE) == ([1.0, 1.0, 1.0, 0.3] if raised else OWN.tolist())


def test_the_highest_reserve_counts_and_a_cancelled_storm_does_not() -> None:
    mild = msgspec.structs.replace(GALE, alert_id="breeze", reserve=0.4)
    assert at(2_000, mild) == [0.4, 0.5, 0.4, 0.3]
    assert at(2_000, mild, GALE) == [1.0, 1.0, 1.0, 0.3]
    assert at(2_000, msgspec.structs.replace(GALE, cancelled=True)) == OWN.tolist()
    assert at(2_000) == OWN.tolist()


def test_an_owner_without_storm_mode_keeps_the_reserve() -> None:
    willing = np.array([True, False, True, True])
    reserve, concerned = reserves([GALE], 2_000, SITES, REGIONS, owners=(OWN, willing))
    assert reserve.tolist() == [1.0, 0.5, 1.0, 0.3]
    assert concerned.tolist() == [True, False, True, False]


def test_the_cost_is_stated_in_power_energy_and_where_known_money() -> None:
    prices = PriceSeries(region="north", from_ms=0, interval_ms=3_600_000, per_mwh=(50.0, 81.5))
    told = cost(3, 15_000.0, 12_345.6, prices, 3_700_000)
    assert (told.money, told.currency) == ("1.01", "USD")
    assert sentence(told) == (
        "3 batteries are kept for their owners: 15.0 kW are withheld, 12.3 kWh still to be charged"
        " for 1.01 USD"
    )
    for unknown in (None, prices):
        assert cost(3, 15_000.0, 12_345.6, unknown, 7_200_000).money == ""
    assert "USD" not in sentence(cost(3, 15_000.0, 12_345.6, None, 0))
