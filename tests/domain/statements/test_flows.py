"""Where the battery's energy went, and whether the reserve was kept."""

from typing import Any

import pytest

from schemas.windows import SiteWindow, SocStats
from tests.support.settle_world import MINUTE, START, site_window
from vpp_streams.domain.statements.flows import event_flows

UNTIL = START + 2 * MINUTE


def window(minute: int, battery_wh: float | None, grid_wh: float | None, **more: Any) -> SiteWindow:
    soc = SocStats(0.5, 0.4, more.pop("lowest", 0.4), 0.5)
    return site_window("a", START + minute * MINUTE, battery_wh, grid_wh, soc=soc, **more)


def test_what_was_exported_went_to_the_grid_and_the_rest_to_the_home() -> None:
    found = event_flows([window(0, 80.0, -50.0), window(1, 30.0, 20.0)], START, UNTIL, 0.2)
    assert found is not None
    assert (found.to_grid_wh, found.to_home_wh, found.charged_wh) == (50, 60, 0)
    assert (found.lowest_soc, found.reserve_kept) == (0.4, True)


def test_solar_power_that_is_exported_is_not_the_batterys() -> None:
    found = event_flows([window(0, -20.0, -90.0), window(1, 10.0, -90.0)], START, UNTIL, None)
    assert found is not None
    assert (found.to_grid_wh, found.to_home_wh, found.charged_wh) == (10, 0, 20)
    assert found.reserve_kept is None, "the reserve of that time is not known"


@pytest.mark.parametrize(("lowest", "kept"), [(0.3, True), (0.298, True), (0.2, False)])
def test_the_reserve_was_kept_or_not(lowest: float, kept: bool) -> None:
    windows = [window(0, 80.0, -50.0), window(1, 80.0, -50.0, lowest=lowest)]
    found = event_flows(windows, START, UNTIL, 0.3)
    assert found is not None
    assert found.reserve_kept is kept


def test_windows_that_are_missing_or_not_measured_give_no_flows() -> None:
    assert event_flows([window(0, 80.0, -50.0)], START, UNTIL, 0.2) is None
    assert event_flows([window(0, 80.0, -50.0), window(1, None, -50.0)], START, UNTIL, 0.2) is None
    assert event_flows([], START, UNTIL, 0.2) is None
