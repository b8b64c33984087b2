"""What hinders batteries, and what is measured."""

from collections.abc import Callable
from math import isnan, nan
from typing import Any

import pytest

from schemas.grid import Alert
from tests.support.explorer_world import NOW_MS, ExplorerWorld, home, working
from vpp_streams.domain.explorer.site_values import LEVELS
from vpp_streams.domain.registry.states import in_state


def test_a_connected_battery_that_reports_is_commandable() -> None:
    world = working(1)
    assert (world.why("home-1"), world.of("home-1", "commandable")) == (None, 1)
    assert LEVELS[world.of("home-1", "level")] == "good"
    assert world.of("home-1", "battery_w") == 800.0


def disconnect(world: ExplorerWorld) -> None:
    world.live.apply_connection("pw-1-0", connected=False, measures_only=False)


def storm(**changes: Any) -> Alert:
    times: dict[str, Any] = {
        "prepare_from_ms": 0,
        "starts_at_ms": NOW_MS,
        "ends_at_ms": NOW_MS + 1000,
    }
    return Alert(alert_id="storm-1", kind="storm", **times, **changes)


@pytest.mark.parametrize(
    ("spoil", "why", "level"),
    [
        (disconnect, "not_connected", "bad"),
        (lambda w: w.read("pw-1-0", soc=nan), "unmeasured", "warn"),
        (lambda w: w.read("pw-1-0", soc=0.5, quality=3), "unmeasured", "warn"),
        (lambda w: w.read("pw-1-0", soc=0.5, islanded=1), "islanded", "warn"),
        (lambda w: w.connect("pw-1-0", measures_only=True), "measures_only", "warn"),
        (lambda w: w.barred.update({"pw-1-0": "refused"}), "refused", "warn"),
        (lambda w: w.alerts.append(storm(regions=("north",))), "storm", "warn"),
        (lambda w: w.alerts.append(storm(site_ids=("home-1", "home-9"))), "storm", "warn"),
        (lambda w: w.alerts.append(storm(regions=("south",))), None, "good"),
        (lambda w: w.alarmed.append("home-1"), None, "bad"),
        (lambda w: w.barred.update({"pw-9-9": "refused"}), None, "good"),
    ],
)
def test_each_hindrance_is_named(
    spoil: Callable[[ExplorerWorld], None], why: str | None, level: str
) -> None:
    world = working(1)
    spoil(world)
    assert (world.why("home-1"), LEVELS[world.of("home-1", "level")]) == (why, level)
    assert world.of("home-1", "commandable") == (1 if why is None else 0)


def test_a_site_without_a_late_reading_is_silent_and_measures_nothing() -> None:
    world = ExplorerWorld(home(1))
    world.connect("pw-1-0")
    world.read("pw-1-0", NOW_MS - 10_001, soc=0.5, battery_w=800.0)
    assert world.why("home-1") == "silent"
    assert LEVELS[world.of("home-1", "level")] == "bad"
    assert isnan(world.of("home-1", "soc"))
    assert isnan(world.of("home-1", "battery_w"))
    assert world.find(silent=True) == ["home-1"]


def test_of_several_hindrances_the_first_in_their_order_is_named() -> None:
    world = ExplorerWorld(home(1, devices=2))
    world.barred["pw-1-0"] = "refused"
    world.connect("pw-1-0")
    world.read("pw-1-0", soc=0.5)
    assert world.why("home-1") == "not_connected", "that of its second battery"
    assert (world.of("home-1", "connected"), world.of("home-1", "batteries")) == (1, 2)


def test_a_site_that_is_not_active_is_quiet_and_hinders_nothing() -> None:
    world = ExplorerWorld(in_state(home(1), "suspended", NOW_MS))
    assert (world.why("home-1"), LEVELS[world.of("home-1", "level")]) == (None, "quiet")
    assert world.find(commandable=False) == []
    assert world.find(state="suspended") == ["home-1"]
