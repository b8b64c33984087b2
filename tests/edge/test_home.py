"""One home's decisions: who decides, and the limits that hold whoever does."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edge.home import HOLD_MS, Power
from edge.planning.tariff import Rate, Terms
from schemas.grid import Droop
from schemas.protocol import Prices
from tests.support.edge_home import AtHome
from tests.support.plant_world import T0

LOAD_W = pytest.approx(577, abs=1)


async def test_without_a_lease_the_inverter_is_in_its_own_mode() -> None:
    at = AtHome()
    assert await at.seconds() == LOAD_W
    assert at.power is None


async def test_a_lease_is_followed_reported_and_ended_by_itself() -> None:
    at = AtHome()
    await at.seconds()
    assert at.offer(3000.0) == "accepted"
    assert await at.seconds() == 3000
    assert at.power == Power(3000.0, 31_000)
    await at.seconds()
    assert at.outcomes() == [("c1", "applied", "")]
    assert await at.seconds(27) == 3000
    assert await at.seconds() == LOAD_W
    assert at.outcomes() == [("c1", "completed", "")]
    assert at.power is None


async def test_the_inverter_ends_a_lease_by_its_own_timer_when_the_agent_is_dead() -> None:
    at = AtHome()
    at.offer(3000.0)
    await at.seconds(5)
    at.deaf = True
    assert await at.seconds(24) == 3000
    assert await at.seconds(4) == LOAD_W


async def test_the_way_back_from_a_lease_keeps_its_ramp() -> None:
    at = AtHome()
    await at.seconds()
    at.offer(3000.0, ramp_w_s=500.0, valid_until=T0 + at.now_ms + 30_000)
    assert await at.seconds(29) == 3000
    powers = [await at.seconds() for _ in range(8)]
    assert [before - after for before, after in pairwise(powers)][:3] == pytest.approx([500] * 3)
    assert powers[-1] == LOAD_W
    assert at.power is None


async def test_a_long_lease_is_not_held_long_without_the_agent() -> None:
    at = AtHome()
    at.offer(3000.0, valid_until=T0 + 3_600_000)
    await at.seconds(100)
    at.deaf = True
    await at.seconds(HOLD_MS // 1000)
    assert await at.seconds(2) == LOAD_W


async def test_a_dead_agent_does_not_sell_the_reserve() -> None:
    at = AtHome(soc=0.204, load_w=0.0)
    at.offer(5000.0, valid_until=T0 + 3_600_000)
    await at.seconds(5)
    at.deaf = True
    await at.seconds(600)
    assert at.inverter.soc == pytest.approx(0.2, abs=0.001)
    assert at.inverter.soc >= 0.2 - 2e-4, "standby alone goes below it"


async def test_an_agent_that_dies_beside_the_reserve_does_not_sell_it() -> None:
    at = AtHome(soc=0.2003, load_w=0.0)
    at.offer(5000.0)
    assert 0 < await at.seconds() < 5000
    at.deaf = True
    await at.seconds(30)
    assert at.inverter.soc >= 0.2 - 1e-5


async def test_a_setpoint_does_not_go_below_the_owners_reserve() -> None:
    at = AtHome(soc=0.21, load_w=0.0)
    at.offer(5000.0, valid_until=T0 + 3_600_000)
    await at.seconds(600)
    assert at.inverter.soc == pytest.approx(0.2, abs=0.001)
    assert at.inverter.battery_w <= 0
    assert at.outcomes()[0][1] == "applied", "it is as near as the reserve allows"


async def test_a_lease_may_keep_more_than_the_owner_does() -> None:
    at = AtHome(soc=0.31, load_w=0.0)
    at.offer(5000.0, valid_until=T0 + 3_600_000, soc_min=0.3)
    await at.seconds(600)
    assert at.inverter.soc == pytest.approx(0.3, abs=0.002)


async def test_the_inverters_own_mode_does_not_sell_the_reserve_either() -> None:
    at = AtHome(soc=0.205, load_w=3000.0)
    await at.seconds(700)
    assert at.inverter.soc == pytest.approx(0.2, abs=0.001)
    assert at.inverter.battery_w == pytest.approx(0, abs=50)


async def test_a_battery_at_its_reserve_is_still_charged_by_the_sun() -> None:
    at = AtHome(soc=0.2, load_w=0.0, solar_w=2000.0)
    at.day_ms = 43_200_000  # noon
    await at.seconds(2)
    assert await at.seconds() == pytest.approx(-2000)
    await at.seconds(400)
    assert at.power is None, "far enough above it, the inverter decides again"
    assert at.inverter.battery_w == pytest.approx(-2000)


async def test_what_is_not_measured_is_not_commanded() -> None:
    at = AtHome()
    at.offer(3000.0)
    await at.seconds(3)
    at.hidden = frozenset({"soc"})
    assert await at.seconds(2) == LOAD_W
    assert at.outcomes()[-1] == ("c1", "failed", "unmeasured")
    assert at.offer(1000.0) == "rejected unmeasured"
    at.hidden = frozenset()
    await at.seconds()
    assert at.offer(1000.0) == "accepted"


async def test_a_home_without_a_commandable_battery_takes_no_commands() -> None:
    at = AtHome({"rated_energy_wh": 0.0})
    assert at.offer(1000.0) == "rejected no_battery"
    assert at.home.leases.of(0).measures_only


async def test_a_setpoint_keeps_the_limits_of_the_connection() -> None:
    at = AtHome({"export_limit_w": 1000.0, "import_limit_w": 2000.0})
    await at.seconds()
    at.offer(5000.0)
    assert await at.seconds(2) == pytest.approx(1577, abs=1)
    at.offer(-5000.0)
    assert await at.seconds(2) == pytest.approx(-1423, abs=1)


async def test_a_limit_that_cannot_be_checked_leaves_no_power_in_its_direction() -> None:
    at = AtHome({"export_limit_w": 1000.0})
    at.hidden = frozenset({"grid_w", "load_w"})
    await at.seconds()
    at.offer(5000.0)
    assert await at.seconds(2) == 0
    at.offer(-5000.0)
    assert await at.seconds(2) == -5000


async def test_a_ramp_goes_on_from_what_was_commanded_however_late_the_inverter_is() -> None:
    at = AtHome()
    await at.seconds()
    at.offer(4000.0, ramp_w_s=500.0)
    powers = [await at.seconds() for _ in range(8)]
    rises = [after - before for before, after in pairwise(powers)]
    assert powers[-1] == 4000
    assert max(rises) <= 501
    measured_late = at.home.step(T0 + at.now_ms, {**at.measured, "battery_w": 3000.0}, 1.0)
    assert measured_late is not None
    assert measured_late.power_w == 4000


async def test_a_released_ramp_falls_back_to_the_household() -> None:
    at = AtHome()
    at.offer(4000.0, ramp_w_s=500.0)
    await at.seconds(10)
    at.offer(None)
    powers = [await at.seconds() for _ in range(9)]
    assert powers[0] == pytest.approx(3500, abs=1)
    assert powers[-1] == LOAD_W
    assert at.power is None


async def test_a_power_that_the_inverter_does_not_follow_is_not_reported_as_applied() -> None:
    at = AtHome()
    await at.seconds()
    at.offer(4000.0)
    for _ in range(30):
        at.now_ms += 1000
        readings = {"battery_w": 577.0, "soc": 0.6, "grid_w": 0.0}
        at.home.step(T0 + at.now_ms, readings, 1.0)  # type: ignore[arg-type]  # known quantities
    assert at.outcomes() == [("c1", "failed", "setpoint not reached")]


async def test_nor_is_one_that_a_limit_makes_smaller() -> None:
    at = AtHome({"export_limit_w": 2000.0})
    at.offer(4000.0)
    for power_w in (0.0, 0.0, 2000.0):
        assert at.outcomes() == []
        at.now_ms += 1000
        readings = {"battery_w": power_w, "soc": 0.6, "grid_w": -power_w}
        at.home.step(T0 + at.now_ms, readings, 1.0)  # type: ignore[arg-type]  # known quantities
    assert at.outcomes() == [("c1", "applied", "")]


async def test_frequency_response_acts_while_it_is_armed() -> None:
    at = AtHome()
    await at.seconds()
    at.offer(1000.0, droop=Droop(nominal_hz=50.0, dead_band_hz=0.0, droop=0.04))
    await at.seconds(2)
    measured = {**at.measured, "frequency_hz": 49.5}
    power = at.home.step(T0 + at.now_ms + 1000, measured, 1.0)
    assert power is not None
    assert power.power_w == pytest.approx(2250)


QUARTER_MS = 900_000


async def test_prices_decide_after_a_lease_that_says_so() -> None:
    at = AtHome()
    at.learn(500.0)
    await at.seconds()
    begins = T0 // QUARTER_MS * QUARTER_MS
    at.home.leases.of(0).take_prices(
        Prices(from_=begins, interval_ms=QUARTER_MS, per_mwh=(90.0, 900.0, 90.0, 90.0))
    )
    at.offer(1000.0, fallback="prices")
    assert await at.seconds(2) == 1000
    at.now_ms = begins + QUARTER_MS - T0
    assert await at.seconds(60) == 5000, "the second quarter of an hour is the dearest"
    at.offer(1000.0)
    await at.seconds(28)
    assert await at.seconds(60) == LOAD_W, "the newest lease said nothing of prices"


OFFERS = st.tuples(
    st.integers(0, 30),
    st.sampled_from((None, -5000.0, -800.0, 0.0, 2000.0, 9000.0)),
    st.sampled_from((50.0, 1e6)),
    st.sampled_from((5, 40, 300)),
)


HOMES = st.fixed_dictionaries(
    {
        "soc": st.sampled_from((0.195, 0.2, 0.203, 0.21, 0.6, 0.999)),
        "load_w": st.sampled_from((0.0, 500.0, 7000.0)),
        "own_reserve": st.just(0.2),
    }
)
LIMITS = st.sampled_from(((1000.0, 4000.0), (float("inf"), float("inf")), (0.0, 0.0)))
SELLS_ALL = Terms(time_zone="UTC", buy=(Rate(from_="00:00", per_kwh=0.1),), sell=9.0)
HIDDEN = st.sampled_from((frozenset(), frozenset({"grid_w", "load_w"}), frozenset({"soc"})))


@hypothesis_settings(max_examples=30)
@given(st.data())
def test_no_command_and_no_plan_breaks_the_owners_limits(data: st.DataObject) -> None:
    """Whatever is commanded, planned or measured, and if the agent dies: each limit holds."""
    export_w, import_w = data.draw(LIMITS)
    home: dict[str, Any] = data.draw(HOMES)
    limits = {"export_limit_w": export_w, "import_limit_w": import_w}
    at = AtHome(limits, tariff=data.draw(st.sampled_from((None, SELLS_ALL))), **home)
    at.learn(home["load_w"])
    at.hidden = data.draw(HIDDEN)
    dies_ms = data.draw(st.sampled_from((20_000, 60_000, 10**9)))

    async def one_second() -> None:
        before = at.inverter.soc
        power_w = await at.seconds()
        if at.inverter.soc < 0.2 - 1e-4:
            assert at.inverter.soc > before - 2e-6, "below the reserve it only stands by"
        values = {reading.quantity: reading.value for reading in at.readings}
        if at.power is not None and not at.deaf:
            assert abs(at.power.power_w) <= 5000
            net_w = values["load_w"] - values["solar_w"]
            assert power_w <= min(5000.0, max(net_w + export_w, 0)) + 1
            assert power_w >= max(-5000.0, min(net_w - import_w, 0)) - 1

    async def play() -> None:
        for wait_s, p, ramp_w_s, lasts_s in data.draw(st.lists(OFFERS, max_size=5)):
            at.offer(p, ramp_w_s=ramp_w_s, valid_until=T0 + at.now_ms + 1000 * lasts_s)
            at.deaf = at.now_ms >= dies_ms
            for _ in range(wait_s):
                await one_second()

    asyncio.run(play())
