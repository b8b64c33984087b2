"""Batteries keep within their limits and account for every watt-hour."""

import pytest
from hypothesis import given

from edge import battery
from edge.battery import HOUR_S, BatterySpec, BatteryState
from tests.support.battery_models import (
    AMBIENT_C,
    POWERWALL,
    REQUESTS_W,
    SPECS,
    STATES,
    STEPS_S,
    column,
    spec_of,
)


def stepped(
    state: BatteryState, request_w: float, dt_s: float = 1.0, spec: BatterySpec = POWERWALL
) -> battery.BatteryStep:
    return battery.step(spec, state, column(request_w), dt_s, column(20.0))


@given(SPECS, STATES, REQUESTS_W, STEPS_S, AMBIENT_C)
def test_soc_and_power_stay_within_limits(
    spec: BatterySpec, state: BatteryState, request_w: float, dt_s: float, ambient_c: float
) -> None:
    done = battery.step(spec, state, column(request_w), dt_s, column(ambient_c))
    assert 0 <= done.state.soc[0] <= 1
    assert -spec.charge_w[0] <= done.power_w[0] <= spec.discharge_w[0]
    assert abs(done.power_w[0]) <= abs(request_w)
    assert done.power_w[0] * request_w >= 0, "never against the request"


@given(SPECS, STATES, REQUESTS_W, STEPS_S, AMBIENT_C)
def test_energy_is_conserved(
    spec: BatterySpec, state: BatteryState, request_w: float, dt_s: float, ambient_c: float
) -> None:
    done = battery.step(spec, state, column(request_w), dt_s, column(ambient_c))
    stored_wh = (done.state.soc - state.soc) * spec.energy_wh
    taken_wh = -done.power_w * dt_s / HOUR_S
    lost_wh = done.loss_w * dt_s / HOUR_S
    assert taken_wh == pytest.approx(stored_wh + lost_wh, abs=1e-9 * spec.energy_wh[0])
    assert lost_wh[0] >= -1e-9 * spec.energy_wh[0], "no energy from nowhere"


@given(STATES, AMBIENT_C, STEPS_S, STEPS_S)
def test_an_idle_pack_nears_what_surrounds_it_however_time_is_cut(
    state: BatteryState, ambient_c: float, a_s: float, b_s: float
) -> None:
    empty = BatteryState(column(0.0), state.temperature_c)  # no standby: it makes no heat

    def idle(state: BatteryState, dt_s: float) -> BatteryState:
        return battery.step(POWERWALL, state, column(0.0), dt_s, column(ambient_c)).state

    twice, once = idle(idle(empty, a_s), b_s), idle(empty, a_s + b_s)
    assert twice.temperature_c == pytest.approx(once.temperature_c)
    low, high = sorted((ambient_c, state.temperature_c[0]))
    assert low - 1e-9 <= once.temperature_c[0] <= high + 1e-9


def test_round_trip_loses_what_the_efficiencies_say() -> None:
    start = BatteryState(column(0.5), column(20.0))
    charged = stepped(start, -5000, 3600)
    gained_wh = (charged.state.soc - 0.5) * 13_500
    assert gained_wh == pytest.approx(5000 * 0.95 - POWERWALL.standby_w)
    discharged = stepped(start, 5000, 3600)
    assert (0.5 - discharged.state.soc) * 13_500 == pytest.approx(5000 / 0.95 + POWERWALL.standby_w)


def test_standby_empties_a_battery_that_does_nothing_and_then_stops() -> None:
    state = BatteryState(column(0.001), column(20.0))
    hours = 0.001 * 13_500 / POWERWALL.standby_w[0]
    half = stepped(state, 0.0, hours * HOUR_S / 2).state
    assert half.soc[0] == pytest.approx(0.0005)
    assert stepped(half, 0.0, 10 * hours * HOUR_S).state.soc[0] == 0.0


def test_work_warms_it_and_heat_holds_it_back() -> None:
    state = BatteryState(column(0.9), column(20.0))
    for _ in range(30):
        state = stepped(state, 11_500, 60).state
    assert state.temperature_c[0] > 25.0
    for temperature_c, share in ((55.0, 0.1), (47.5, 0.55), (25.0, 1.0), (-15.0, 0.1)):
        there = BatteryState(column(0.5), column(temperature_c))
        assert stepped(there, 20_000).power_w[0] == pytest.approx(share * 11_500)
        assert stepped(there, -20_000).power_w[0] == pytest.approx(-share * 5_000)


def test_a_row_without_a_battery_does_nothing() -> None:
    none = spec_of(0.0, 0.0, 0.0)
    done = stepped(BatteryState(column(0.0), column(20.0)), 3000.0, spec=none)
    assert (done.power_w[0], done.state.soc[0], done.loss_w[0]) == (0.0, 0.0, 0.0)
