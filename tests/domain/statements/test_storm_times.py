"""When a storm had a home's battery: the quarters of an hour that a statement prices."""

import pytest

from schemas.grid import Alert
from schemas.preferences import Preferences
from tests.support.settle_world import DAY, HOUR, MINUTE, START, home, storm
from vpp_streams.domain.statements.storm_times import QUARTER_MS, storm_quarters

HOME = home("home-1")
MONTH = (START - DAY, START + DAY)


def quarters(*alerts: Alert, chosen: Preferences | None = None) -> list[int]:
    return [(at - START) // QUARTER_MS for at in storm_quarters(alerts, HOME, chosen, MONTH)]


def test_storms_that_overlap_count_once() -> None:
    assert quarters(storm(), storm(30 * MINUTE, 75 * MINUTE)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "alert",
    [storm(cancelled=True), storm(regions=("south",)), storm(2 * DAY, 3 * DAY)],
    ids=["cancelled", "elsewhere", "of another month"],
)
def test_other_storms_do_not_count(alert: Alert) -> None:
    assert quarters(alert) == []


def test_a_storm_may_name_the_site() -> None:
    assert quarters(storm(regions=(), site_ids=("home-1",))) == [0, 1, 2, 3]


def test_an_owner_who_wants_no_filling_before_storms_has_no_cost() -> None:
    off = Preferences(site_id="home-1", set_at_ms=START - HOUR, by="owner:1", storm_mode=False)
    later = Preferences(site_id="home-1", set_at_ms=START + DAY, by="owner:1", storm_mode=False)
    assert quarters(storm(), chosen=off) == []
    assert quarters(storm(), chosen=later) == [0, 1, 2, 3]
