"""Homes, Megapacks and the world: the balance is exact and the owner's reserve is safe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim import home
from device_sim.fleet import demo_sites
from device_sim.home import Surroundings
from device_sim.recorded import read_recorded
from device_sim.world import World
from edge import battery, ladder
from edge.battery import BatterySpec, BatteryState
from edge.connection import Connection
from schemas.telemetry import NativeBody
from tests.support.battery_models import AMBIENT_C, REQUESTS_W, SPECS, STATES, STEPS_S, column
from tests.support.paths import SHARED_DATA

START_MS = 1_763_856_000_000
POWERS_W = st.floats(0, 50_000)
LIMITS_W = st.one_of(st.just(np.inf), st.floats(0, 20_000))


def connection(export_w: float, import_w: float) -> Connection:
    return Connection(column(export_w), column(import_w))


@st.composite
def premises(draw: st.DrawFn) -> tuple[Connection, home.Surroundings]:
    islanded = np.array([draw(st.booleans())])
    load_w, clear_w, ambient_c = (column(draw(s)) for s in (POWERS_W, POWERS_W, AMBIENT_C))
    return connection(draw(LIMITS_W), draw(LIMITS_W)), home.Surroundings(
        load_w, clear_w, ambient_c, islanded
    )


@given(SPECS, STATES, premises(), REQUESTS_W, STEPS_S)
def test_the_balance_is_exact_and_limits_hold(
    spec: BatterySpec,
    state: BatteryState,
    premise: tuple[Connection, Surroundings],
    request_w: float,
    dt_s: float,
) -> None:
    limits, around = premise
    _, flows = home.step(
        spec, state, connection=limits, around=around, request_w=column(request_w), dt_s=dt_s
    )
    battery_w, grid_w, solar_w, load_w = (
        flows.battery_w[0],
        flows.grid_w[0],
        flows.solar_w[0],
        flows.load_w[0],
    )
    scale = max(abs(battery_w), solar_w, load_w, 1.0)
    assert load_w == pytest.approx(grid_w + battery_w + solar_w, abs=1e-9 * scale)
    assert 0 <= solar_w <= around.sun_w[0]
    assert -1e-9 * scale <= load_w <= around.demand_w[0]
    assert grid_w >= -limits.export_limit_w[0] - 1e-9 * scale
    if battery_w < 0:
        assert grid_w <= max(limits.import_limit_w[0], around.demand_w[0]) + 1e-9 * scale
    if around.islanded[0]:
        assert grid_w == 0
    else:
        assert load_w == around.demand_w[0], "on the grid every load is served"


@given(
    spec=SPECS.filter(lambda spec: spec.charge_w[0] > 0.05 * spec.energy_wh[0]),
    reserve=st.floats(0, 0.95),
    above=st.floats(0, 1),
    steps=st.lists(st.tuples(POWERS_W, POWERS_W, st.floats(0.5, 900), AMBIENT_C), max_size=30),
)
def test_self_consumption_never_goes_below_the_reserve(
    spec: BatterySpec, reserve: float, above: float, steps: list[tuple[float, float, float, float]]
) -> None:
    state = BatteryState(column(reserve + above * (1 - reserve)), column(20.0))
    for sun_w, demand_w, dt_s, ambient_c in steps:
        request = ladder.self_consumption(
            spec, state, column(reserve), column(demand_w - sun_w), dt_s
        )
        around = home.Surroundings(
            column(sun_w), column(demand_w), column(ambient_c), np.array([False])
        )
        no_limits = connection(np.inf, np.inf)
        state, flows = home.step(
            spec, state, connection=no_limits, around=around, request_w=request, dt_s=dt_s
        )
        assert state.soc[0] >= reserve - 1e-9
        if flows.battery_w[0] > 0:
            assert flows.battery_w[0] <= max(demand_w - sun_w, 0) + 1e-9, "never for export"


def powerwall(soc: float, reserve: float, net_load_w: float) -> float:
    spec = battery.typical(column(13_500.0), column(5_000.0), column(11_500.0))
    state = BatteryState(column(soc), column(20.0))
    request = ladder.self_consumption(spec, state, column(reserve), column(net_load_w), 1.0)
    return float(battery.step(spec, state, request, 1.0, column(20.0)).power_w[0])


def test_self_consumption_serves_the_load_and_takes_the_surplus() -> None:
    assert powerwall(0.5, 0.2, 3000) == 3000
    assert powerwall(0.5, 0.2, -3000) == -3000
    assert powerwall(0.5, 0.2, -9000) == -5000
    assert powerwall(1.0, 0.2, -3000) == 0


def test_below_its_reserve_a_battery_refills_slowly_from_the_grid() -> None:
    assert powerwall(0.1, 0.2, 3000) == pytest.approx(-0.05 * 13_500 / 0.95)
    assert powerwall(0.1, 0.2, -3000) == -3000, "the sun may do it faster"


def island(energy_wh: float, sun_w: float, demand_w: float) -> home.Flows:
    spec = battery.typical(column(energy_wh), column(5_000.0), column(5_000.0))
    around = home.Surroundings(column(sun_w), column(demand_w), column(20.0), np.array([True]))
    state = BatteryState(column(0.15), column(20.0))
    request = column(-5000.0)  # whatever a controller asks: off the grid the load decides
    return home.step(
        spec,
        state,
        connection=connection(np.inf, np.inf),
        around=around,
        request_w=request,
        dt_s=1.0,
    )[1]


def test_an_island_lives_from_its_battery() -> None:
    served = island(13_500, 1000, 3000)
    assert (served.battery_w[0], served.load_w[0], served.grid_w[0]) == (2000, 3000, 0)
    overloaded = island(13_500, 0, 9000)
    assert overloaded.load_w[0] == overloaded.battery_w[0] == 5000
    sunny = island(13_500, 20_000, 1000)
    assert (sunny.battery_w[0], sunny.solar_w[0]) == (-5000, 6000)
    dark = island(0, 4000, 3000)
    assert (dark.solar_w[0], dark.load_w[0]) == (0, 0), "panels alone switch off"


def world(seed: int = 1, **options: Any) -> World:
    devices = [(site, device) for site in demo_sites(30, 12, 2) for device in site.devices]
    return World(devices, seed, START_MS, **options)


def test_a_day_of_a_fleet_is_plausible_and_within_every_limit() -> None:
    w = world()
    soc, solar_wh = [], np.zeros(44)
    for minute in range(1, 24 * 60 + 1):
        w.step(START_MS + minute * 60_000)
        f = w.flows
        np.testing.assert_allclose(f.load_w, f.grid_w + f.battery_w + f.solar_w, atol=1e-6)
        assert (f.grid_w >= -w.connection.export_limit_w - 1e-6).all()
        assert (w.battery.soc >= w.reserve - 1e-9)[:30].all()
        soc.append(w.battery.soc[:30].mean())
        solar_wh += f.solar_w / 60
    assert max(soc) - min(soc) > 0.3, "batteries are used"
    assert (solar_wh[:42] > 2000).all()
    assert (solar_wh[42:] == 0).all()


def test_the_same_seed_is_the_same_world() -> None:
    def readings(seed: int) -> list[object]:
        w = world(seed, grid_outages_per_day=50.0)
        return [w.step(START_MS + second * 1000).values() for second in range(1, 60)]

    assert readings(1) == readings(1)
    assert readings(1) != readings(2)


def test_what_is_not_measured_is_null_and_what_is_balances() -> None:
    w = world()
    kinds = set()
    for values in w.step(START_MS + 8 * 3_600_000).values():
        body = NativeBody(0, *values)
        kinds.add((body.p is None, body.g is None, body.pv is None))
        assert (body.soc is None) == (body.p is None) == (body.tc is None)
        assert (body.g is None) == (body.l is None) == (body.isl is None)
        if body.l:  # a load that the meters' errors would make negative is told as 0
            total = sum(power for power in (body.p, body.g, body.pv) if power is not None)
            assert body.l == pytest.approx(total, abs=0.11)
    battery_home, metered, unmetered, megapack = (
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (False, False, True),
    )
    assert kinds == {battery_home, metered, unmetered, megapack}


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="time does not go back"):
        world().step(START_MS)


def test_grid_outages_make_islands() -> None:
    w = world(grid_outages_per_day=200.0)
    islanded = [v[-1] for s in range(1, 30) for v in w.step(START_MS + s * 60_000).values()]
    assert any(islanded)
    assert not any(v[-1] for v in world().step(START_MS + 60_000).values())


RECORDINGS = {
    "emhass_home/home_30min_2024.csv": (651.8, 712.8),
    "ausgrid_home_30min/customer12_2011-07_to_11.csv": (622.0, 148.1),
}


@pytest.mark.parametrize(("name", "means_w"), RECORDINGS.items())
def test_a_recorded_home_drives_every_home(name: str, means_w: tuple[float, float]) -> None:
    if not (SHARED_DATA / name).exists():
        pytest.skip(f"no {name} in ../shared/data")
    recorded = read_recorded(SHARED_DATA / name)
    assert (recorded.load_w.mean(), recorded.solar_w.mean()) == pytest.approx(means_w, abs=0.1)
    w = world(recorded=recorded)
    w.step(START_MS + 1000)
    assert (w.flows.load_w[:30] <= recorded.load_w.max()).all()
    assert (w.flows.solar_w[:30] <= recorded.solar_w.max()).all()
    assert len(set(w.flows.load_w[:30].tolist())) > 20, "homes are some days apart"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "needs columns time_utc,load_w,pv_w or time_local,GC,GG, has a,b"),
        ("time_utc,load_w,pv_w\nyesterday,1,2\n", "yesterday"),
        ("time_utc,load_w,pv_w\n2024-01-01,much,2\n", "much"),
        ("time_utc,load_w,pv_w\n2024-01-02,1,2\n2024-01-01,1,2\n", "rising order"),
        ("time_utc,load_w,pv_w\n", "needs rows, each with a time_utc"),
        ("", "cannot be read as CSV"),
    ],
)
def test_a_recording_that_cannot_be_used_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "home.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_recorded(path)
    assert str(path) in str(caught.value)
