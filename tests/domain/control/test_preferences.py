"""What owners decide is obeyed by the next cycle: reserve, storms, pauses, skipped requests."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import CommandFrame
from schemas.grid import Alert
from schemas.preferences import Preferences
from tests.support.pool_world import T0, OnePartition, home
from vpp_streams.domain.control.lease import CAUSE
from vpp_streams.domain.control.supplies import supplies
from vpp_streams.domain.registry.registry import Registry

SITES = [home(0), home(1)]
FIRST, SECOND = (site.site_id for site in SITES)


@pytest.fixture
def world() -> OnePartition:
    world = OnePartition(SITES)
    world.connect()
    world.measure()
    return world


def prefer(world: OnePartition, site_id: str = FIRST, **choices: Any) -> None:
    record = Preferences(site_id=site_id, set_at_ms=world.now_ms, by="owner:ann", **choices)
    world.registry.prefer(site_id, record)


def setpoints(frames: list[CommandFrame]) -> dict[str, float | None]:
    return {
        row.device_id.removesuffix("-pw"): row.setpoint_w for frame in frames for row in frame.rows
    }


def dispatched(world: OnePartition, export_w: float = 6_000.0) -> dict[str, float | None]:
    frames = world.order(export_w)
    world.answer(frames)
    world.measure()
    return setpoints(frames)


def test_a_raised_reserve_ends_the_discharge_of_a_running_dispatch(world: OnePartition) -> None:
    assert dispatched(world)[FIRST] == pytest.approx(3_000.0)
    prefer(world, backup_reserve=0.9)
    assert dispatched(world) == {FIRST: 0.0, SECOND: pytest.approx(5_000.0)}
    assert world.look().reserve.tolist() == [0.9, 0.2]
    (partial,) = supplies(world.pool, world.look(), {})
    assert partial.deliverable[0].up_w == pytest.approx(5_000.0), "the optimizer plans with this"


def test_a_removed_preference_leaves_the_site_as_registered(world: OnePartition) -> None:
    prefer(world, backup_reserve=0.9)
    world.registry.prefer(FIRST, None)
    assert world.look().reserve.tolist() == [0.2, 0.2]


def test_a_pause_ends_the_lease_and_begins_and_ends_by_the_clock(world: OnePartition) -> None:
    dispatched(world)
    prefer(world, paused_until_ms=world.now_ms + 60_000)
    view = world.look()
    assert view.cause.tolist() == [CAUSE["opted_out"], -1]
    ends = world.orders.release_excluded(view)
    assert setpoints(ends) == {FIRST: None}
    world.answer(ends)
    world.measure()
    assert dispatched(world) == {SECOND: pytest.approx(5_000.0)}
    world.measure(60_000)
    assert world.look().able.tolist() == [True, True]


def test_who_has_left_is_never_commanded(world: OnePartition) -> None:
    prefer(world, left=True)
    assert dispatched(world) == {SECOND: pytest.approx(5_000.0)}
    world.measure(10**10)
    assert world.look().able.tolist() == [False, True]


def test_a_skipped_request_is_never_ordered_and_others_are(world: OnePartition) -> None:
    prefer(world, skips=("r1", "r9"))
    assert dispatched(world) == {SECOND: pytest.approx(5_000.0)}
    world.registry.prefer(FIRST, None)
    prefer(world, skips=("r2",))
    assert dispatched(world)[FIRST] == pytest.approx(1_000.0, abs=2_100.0)


def test_a_request_that_is_skipped_while_it_runs_is_left(world: OnePartition) -> None:
    dispatched(world)
    prefer(world, skips=("r1",))
    assert setpoints(world.orders.release_excluded(world.look())) == {FIRST: None}


def test_once_the_request_is_over_nothing_is_skipped(world: OnePartition) -> None:
    prefer(world, skips=("r1",))
    dispatched(world)
    world.order(None)
    assert world.look().able.tolist() == [True, True]


def test_a_storm_fills_a_paused_battery_unless_its_owner_wants_no_storm_mode(
    world: OnePartition,
) -> None:
    world.alerts = [
        Alert(
            alert_id="gale", kind="storm", regions=("north",), prepare_from_ms=T0,
            starts_at_ms=T0 + 10**6, ends_at_ms=T0 + 10**7,
        )
    ]  # fmt: skip
    prefer(world, paused_until_ms=world.now_ms + 60_000)
    prefer(world, SECOND, storm_mode=False)
    filled = setpoints(world.orders.fill_for_storms(world.look(), world.alerts))
    assert list(filled) == [FIRST]
    assert filled[FIRST] < 0


@given(reserve=st.floats(0, 1), soc=st.floats(0, 1), export_w=st.floats(-20_000, 20_000))
def test_no_setpoint_takes_from_what_an_owner_reserves(
    reserve: float, soc: float, export_w: float
) -> None:
    world = OnePartition(SITES)
    world.soc = {FIRST: soc, SECOND: 0.5}
    world.connect()
    world.measure()
    prefer(world, backup_reserve=reserve)
    frames = world.order(export_w)
    asked = setpoints(frames).get(FIRST)
    if soc <= reserve:
        assert asked is None or asked <= 1e-6
    assert all(
        row.soc_min == reserve
        for frame in frames
        for row in frame.rows
        if row.device_id.startswith(FIRST)
    ), "the device keeps it too"
    assert world.rows.counts["breaches"] == 0


def test_preferences_may_arrive_before_their_site_and_after_others() -> None:
    early, late = Registry(), Registry(SITES)
    record = Preferences(
        site_id=FIRST, set_at_ms=1, by="owner:ann", backup_reserve=0.7, storm_mode=False, left=True
    )
    early.prefer(FIRST, record)
    for site in SITES:
        early.apply(site)
    assert late.columns.sites["backup_reserve"][:2].tolist() == [0.2, 0.2]
    version = late.version
    late.prefer(FIRST, record)
    assert late.version > version
    for name in ("backup_reserve", "storm_mode", "paused_until_ms"):
        assert early.columns.sites[name][:2].tolist() == late.columns.sites[name][:2].tolist()
    assert late.columns.sites["backup_reserve"][0] == 0.7
