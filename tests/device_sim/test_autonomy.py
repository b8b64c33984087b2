"""The ladder of a device that is left alone, and the limits that hold on every rung."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from device_sim import audit, home
from device_sim.fleet import demo_sites
from device_sim.home import Surroundings
from device_sim.plant import Plant
from device_sim.prices import BUY, NEITHER, SELL, KnownPrices, actions
from device_sim.world import World
from edge import battery
from edge.battery import BatteryState
from edge.connection import Connection
from edge.leases import FALL_BACK_MS
from schemas.grid import Droop
from schemas.protocol import Prices
from tests.support.plant_world import EPOCH, T0, Homes, as_leases, setpoint

HOUR_MS = 3_600_000


def test_after_a_lease_a_device_serves_its_home_again() -> None:
    homes = Homes(load_w=800)
    homes.lease(-3000, valid_until=T0 + 5000)
    assert homes.step(times=4) == -3000
    assert homes.step() == 800


def test_the_way_back_is_as_slow_as_the_way_there() -> None:
    homes = Homes(load_w=800)
    homes.lease(3000, ramp_w_s=200, valid_until=T0 + 20_000)
    homes.step(times=20)
    powers = [float(homes.step()[0]) for _ in range(14)]
    assert powers[:3] == pytest.approx([2600, 2400, 2200])
    assert powers[-1] == 800
    homes.load_w[:] = 4000
    assert homes.step() == 4000, "once back, it follows its home at once"


def test_a_ramp_of_nothing_does_not_hold_a_setpoint_for_ever() -> None:
    homes = Homes(load_w=800)
    homes.lease(3000, ramp_w_s=1e5, valid_until=T0 + 10_000)
    homes.step(times=5)
    homes.lease(3000, ramp_w_s=0, valid_until=T0 + 10_000)
    homes.step(times=5)
    assert homes.step() == 3000
    homes.step(times=FALL_BACK_MS // 1000 - 2)
    assert homes.step() == 800
    assert not homes.plant.counters


def test_the_owners_reserve_wins_over_setpoint_and_ramp() -> None:
    homes = Homes(soc=0.2005, reserve=0.2)
    homes.lease(5000, ramp_w_s=100, valid_until=T0 + 600_000)
    homes.step(times=120)
    assert homes.plant.battery.soc[0] >= 0.2 - 1e-9
    assert homes.step()[0] < 10
    assert not homes.plant.counters


def test_a_leases_higher_reserve_counts_too_and_buys_nothing() -> None:
    homes = Homes(soc=0.5, reserve=0.2)
    homes.lease(5000, soc_min=0.6)
    assert homes.step() == 0


def test_a_storm_lease_fills_the_battery_and_holds_it_full() -> None:
    homes = Homes(soc=0.97)
    homes.lease(-5000, soc_min=1.0, valid_until=T0 + 3 * HOUR_MS)
    homes.step(times=1200)
    assert homes.plant.battery.soc[0] > 0.9999
    homes.step(dt_s=10, times=360)
    assert homes.plant.battery.soc[0] > 0.9999
    assert not homes.plant.counters


def test_dear_quarters_sell_and_cheap_ones_buy() -> None:
    day = Prices(from_=0, interval_ms=HOUR_MS, per_mwh=tuple(float(h) for h in range(24)))
    assert actions(day).tolist() == [BUY] * 6 + [NEITHER] * 12 + [SELL] * 6
    flat = Prices(from_=0, interval_ms=HOUR_MS, per_mwh=(50.0,) * 24)
    assert not actions(flat).any()
    two_days = Prices(from_=0, interval_ms=HOUR_MS, per_mwh=(*day.per_mwh, *(999.0,) * 23, 1.0))
    assert actions(two_days)[:24].tolist() == actions(day).tolist(), "each day by itself"
    assert actions(two_days)[24:].tolist() == [NEITHER] * 23 + [BUY]


def test_prices_are_known_where_they_cover_now_only() -> None:
    known, everyone = KnownPrices(3), np.ones(3, bool)
    known.take(0, Prices(from_=1000, interval_ms=10, per_mwh=(1.0, 5.0, 9.0, 9.0)))
    known.take(1, Prices(from_=1000, interval_ms=10, per_mwh=(9.0, 1.0)))
    seen = [
        known.action(np.array([t, t, t]), everyone).tolist()
        for t in (999, 1000, 1019, 1020, 1039, 1040)
    ]
    assert seen == [[0, 0, 0], [-1, 1, 0], [0, -1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_after_a_lease_prices_count_only_if_it_said_so() -> None:
    homes = Homes(rows=2, load_w=800)
    dear = Prices(from_=T0, interval_ms=60_000, per_mwh=(1.0, 9.0, 1.0, 1.0, 1.0))
    for row in (0, 1):
        homes.leases.of(row).take_prices(dear)
    assert homes.step().tolist() == [800, 800], "nobody has said so yet"
    homes.lease(0, row=0, fallback="prices")
    homes.lease(0, row=1)
    homes.step(times=58)
    assert homes.step(times=1).tolist() == [5000, 800]
    homes.step(times=60)
    assert homes.step().tolist()[1] == 800
    homes.step(dt_s=60, times=4)
    assert homes.step().tolist() == [800, 800], "beyond the last price"
    assert not homes.plant.counters


def random_plant(rng: np.random.Generator, rows: int) -> Plant:
    energy = rng.choice((0.0, 5e3, 13.5e3, 40e3, 4e6), rows)
    rated = [np.where(energy > 0, rng.choice((1e3, 5e3, 11.5e3, 2e6), rows), 0.0) for _ in "cd"]
    limits = [np.where(rng.random(rows) < 0.5, np.inf, rng.uniform(0, 12e3, rows)) for _ in "ei"]
    return Plant(
        battery.typical(energy, *rated),
        BatteryState(rng.uniform(0, 1, rows), rng.uniform(-15, 50, rows)),
        Connection(*limits),
        rng.choice((0.0, 0.1, 0.2, 0.5, 1.0), rows),
    )


def random_leases(rng: np.random.Generator, now_ms: int, count: int) -> np.ndarray:
    droop = Droop(nominal_hz=60.0, dead_band_hz=0.02, droop=0.02)
    return as_leases(
        "c0-1",
        [
            setpoint(
                float(rng.uniform(-15e3, 15e3) * rng.choice((1, 1, 100))),
                now_ms=now_ms + int(rng.integers(-2000, 5000)),
                valid_until=now_ms + int(rng.integers(-1000, 60_000)),
                ramp_w_s=float(rng.choice((0, 50, 500, 1e5))),
                soc_min=float(rng.choice((0, 0.3, 1.0))),
                fallback=str(rng.choice(("prices", "self_consumption"))),
                droop=droop if rng.random() < 0.3 else None,
            )
            for _ in range(count)
        ],
    )


@hypothesis_settings(max_examples=30)
@given(seed=st.integers(0, 2**32), dt_s=st.sampled_from((0.2, 1.0, 1.0, 7.3, 60.0)))
def test_no_limit_is_ever_broken(seed: int, dt_s: float) -> None:
    """300 devices of every kind a run, under leases, droop, prices, and grid outages."""
    rng, rows = np.random.default_rng(seed), 300
    plant, now_ms = random_plant(rng, rows), T0
    for row in range(0, rows, 3):
        prices = tuple(float(p) for p in rng.uniform(-50, 300, 40))
        plant.leases.of(row).take_prices(
            Prices(from_=T0 - 60_000, interval_ms=int(rng.integers(1, 60)) * 1000, per_mwh=prices)
        )
    clock_ms = rng.integers(-300, 300, rows)
    sun, load = rng.uniform(0, 9e3, rows), rng.uniform(0, 6e3, rows)
    for _ in range(60):
        now_ms += round(dt_s * 1000)
        commanded = np.flatnonzero(rng.random(rows) < 0.08)
        known_ms = now_ms + clock_ms
        plant.leases.grant(
            commanded, random_leases(rng, now_ms, len(commanded)), known_ms[commanded]
        )
        sun = np.where(rng.random(rows) < 0.1, rng.uniform(0, 9e3, rows), sun)
        load = np.where(rng.random(rows) < 0.1, rng.uniform(0, 6e3, rows), load)
        islanded = rng.random(rows) < 0.02
        around = Surroundings(sun, load, np.full(rows, 25.0), islanded)
        hz = 60.0 + rng.normal(0, 0.3, rows)
        plant.step(known_ms, around, rng.choice((1.0, 1.0, -2.0)) * (load - sun), hz, dt_s)
    assert not plant.counters


BUGS = {
    "reserve": lambda request, spec: np.maximum(request, 500.0),
    "ramp": lambda request, spec: np.where(request > 1000, request * 1.5, request),
    "expired": lambda request, spec: np.full_like(request, 2500.0),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_in_the_controller_is_counted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    right = home.step

    def wrong(spec: Any, state: Any, *, request_w: Any, **more: Any) -> object:
        return right(spec, state, request_w=BUGS[name](request_w, spec), **more)

    monkeypatch.setattr(home, "step", wrong)
    homes = Homes(soc=0.2 if name == "reserve" else 0.6, load_w=800)
    homes.lease(-3000 if name == "reserve" else 3000, ramp_w_s=300, valid_until=T0 + 15_000)
    homes.step(times=90)
    assert homes.plant.counters[f"breach_{name}"] > 0


@pytest.mark.parametrize(
    ("name", "battery_w", "grid_w"),
    [
        ("rating", 5000.1, 0.0),
        ("rating", -5000.1, 0.0),
        ("export", 4000.0, -3000.1),
        ("import", -4000.0, 8000.1),
    ],
)
def test_powers_beyond_a_rating_or_the_connection_are_found(
    name: str, battery_w: float, grid_w: float
) -> None:
    homes, off = Homes(), np.zeros(1, bool)
    homes.lease(battery_w)
    orders = homes.leases.orders(np.array([T0 + 1000]), off)
    state, nothing = homes.plant.battery, np.zeros(1)
    found = audit.breaches(
        homes.plant.spec,
        reserve=homes.plant.reserve,
        connection=Connection(np.array([3000.0]), np.array([8000.0])),
        around=Surroundings(nothing, nothing, np.array([20.0]), off),
        before=audit.Before(state, nothing, orders, nothing, np.array([-1])),
        after=state,
        flows=home.Flows(np.array([battery_w]), np.array([grid_w]), nothing, nothing),
        dt_s=1.0,
    )
    assert [each for each, rows in found.items() if rows.any()] == [name]


def test_a_world_under_leases_keeps_its_limits_and_measures_what_they_ask() -> None:
    sites = demo_sites(60, 5, 3)
    world = World([(s, d) for s in sites for d in s.devices], 1, T0, grid_outages_per_day=20)
    rng = np.random.default_rng(1)
    accepted = 0
    for second in range(1, 301):
        now_ms = T0 + second * 1000
        if second % 20 == 1:
            for row in range(68):
                p = float(rng.uniform(-6000, 6000))
                given_ = setpoint(p, second, now_ms, ramp_w_s=2000, valid_until=now_ms + 25_000)
                answer = world.leases.offer(row, f"c{second}", given_, now_ms, EPOCH)
                accepted += answer.status == "accepted"
        world.step(now_ms)
    states = [status.state for _, status in world.leases.take_reports()]
    assert not world.counters
    assert accepted > 800
    assert {"applied", "superseded", "failed"} <= set(states)


def test_a_regions_frequency_moves_its_armed_batteries_in_the_same_step() -> None:
    sites = demo_sites(30, 0, 0)
    world = World([(s, d) for s in sites for d in s.devices], 1, T0)
    north = np.array([s.region == "north" for s in sites])
    droop = Droop(nominal_hz=60.0, dead_band_hz=0.1)
    world.step(T0 + 1000)
    for row in range(30):
        given_ = setpoint(0.0, 1, T0 + 1000, droop=droop, valid_until=T0 + 99_000)
        world.leases.offer(row, "c1", given_, T0 + 1000, EPOCH)
    quiet = world.step(T0 + 2000)
    assert np.abs(world.flows.battery_w).max() < 1
    world.set_frequency("north", 59.0, T0 + 4000)
    seen = world.step(T0 + 3000)
    assert seen.frequency_hz[north] == pytest.approx(59.0, abs=0.01)
    assert seen.frequency_hz[~north] == pytest.approx(quiet.frequency_hz[~north], abs=0.1)
    answers = world.flows.battery_w[north]
    assert (answers >= 0).all(), "some have no room at their connection"
    assert (answers > 1000).sum() >= 8
    assert np.abs(world.flows.battery_w[~north]).max() < 1
    world.step(T0 + 4000)
    after = world.step(T0 + 5000)
    assert after.frequency_hz[north] == pytest.approx(60.0, abs=0.1)
    assert np.abs(world.flows.battery_w).max() < 1
    assert not world.counters
