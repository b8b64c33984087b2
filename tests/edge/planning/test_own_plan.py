"""A home without a command does what its owner's tariff makes best, within reserve and limits."""

import asyncio
import math
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge.home import Power
from edge.planning.learnt import Learnt
from edge.planning.own_plan import OwnPlan, load_and_solar_w
from edge.planning.slots import Slot, slot_of
from edge.planning.tariff import STEP_MS, Rate, Terms
from edge.planning.thread import Planning
from schemas.protocol import Prices
from tests.support.edge_home import AtHome
from tests.support.plant_world import T0
from tests.support.waiting import PATIENCE_S

MIDNIGHT_MS = -(-T0 // 86_400_000) * 86_400_000 - T0
"""The next midnight UTC on a home's monotonic clock."""
HOUR_MS = 3_600_000
UTC = ZoneInfo("UTC")
CHEAP_NIGHTS = Terms(
    time_zone="UTC",
    buy=(Rate(from_="06:00", per_kwh=0.5), Rate(from_="00:00", per_kwh=0.1)),
    sell=0.02,
)


def at_home(hour: float, tariff: Terms = CHEAP_NIGHTS, **options: Any) -> AtHome:
    at = AtHome(tariff=tariff, now_ms=MIDNIGHT_MS + round(hour * HOUR_MS), **options)
    at.learn(options.get("load_w", 500.0))
    return at


async def test_a_cheap_night_fills_the_battery_for_a_dear_day() -> None:
    at = at_home(0.5, soc=0.3, load_w=1500.0)
    for _ in range(11 * 30):
        await at.seconds(step_ms=60_000)
    assert at.inverter.soc > 0.99
    at.now_ms = MIDNIGHT_MS + 8 * HOUR_MS
    await at.seconds(2)
    assert at.power is None, "the battery supplies the home: its own mode does that"


async def test_at_night_a_full_battery_rests_instead_of_supplying_the_home() -> None:
    at = at_home(1.0, soc=0.999, load_w=500.0)
    await at.seconds(5)
    assert at.power is not None
    assert at.power.power_w == pytest.approx(0.0, abs=50)


async def test_a_lease_goes_before_the_plan() -> None:
    at = at_home(5.0, soc=0.3, load_w=1500.0)
    assert await at.seconds(3) == -5000
    at.offer(2000.0)
    assert await at.seconds(3) == 2000
    assert await at.seconds(40) == -5000


async def test_the_plan_keeps_reserve_and_connection() -> None:
    dear_now = Terms(
        time_zone="UTC",
        buy=(Rate(from_="00:00", per_kwh=0.1), Rate(from_="18:00", per_kwh=0.5)),
        sell="market",
    )
    limits = {"backup_reserve": 0.5, "export_limit_w": 1000.0}
    evening_ms = MIDNIGHT_MS + 18 * HOUR_MS
    at = AtHome(limits, tariff=dear_now, now_ms=evening_ms, soc=0.52, load_w=0.0)
    at.learn(0.0)
    market = Prices(from_=T0 + at.now_ms, interval_ms=HOUR_MS, per_mwh=(900.0, *[10.0] * 30))
    at.own.take_prices(0, market)
    assert await at.seconds(3) == pytest.approx(1000.0)
    await at.seconds(1200)
    assert at.inverter.soc == pytest.approx(0.5, abs=0.001)


async def test_a_contract_without_export_keeps_the_battery_from_selling() -> None:
    sells = Terms(time_zone="UTC", buy="market", sell="market")
    at = AtHome({"battery_exports": False}, tariff=sells, soc=0.9, load_w=400.0)
    at.learn(400.0)
    first = (T0 + at.now_ms) // STEP_MS * STEP_MS
    at.own.take_prices(0, Prices(from_=first, interval_ms=HOUR_MS, per_mwh=(900.0, *[10.0] * 30)))
    assert await at.seconds(3) == pytest.approx(400, rel=0.2)
    assert at.inverter.battery_w <= at.measured["load_w"] + 1


@pytest.mark.parametrize("hidden", [{"grid_w", "load_w"}, {"solar_w", "load_w", "grid_w"}])
async def test_without_meters_the_inverters_own_mode_decides(hidden: set[str]) -> None:
    at = at_home(0.5, soc=0.5)
    at.hidden = frozenset(hidden)
    await at.seconds(3)
    assert at.power is None


async def test_a_plan_that_ended_long_ago_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    at = at_home(0.5, soc=0.8, load_w=100.0)
    await at.seconds(3)
    assert at.power is not None
    monkeypatch.setattr(at.home, "plan_due", lambda _now_ms: None)
    at.now_ms += 37 * HOUR_MS
    await at.seconds(3)
    assert at.power is None


def test_load_and_solar_come_from_whichever_meters_there_are() -> None:
    all_of_them = {"grid_w": 1000.0, "battery_w": 500.0, "solar_w": 2000.0}
    assert load_and_solar_w({**all_of_them, "load_w": 3400.0}) == (3400.0, 2000.0)  # type: ignore[dict-item]
    assert load_and_solar_w(all_of_them) == (3500.0, 2000.0)  # type: ignore[arg-type]
    assert load_and_solar_w({"grid_w": -100.0, "battery_w": 500.0}) == (400.0, 0.0)
    nothing = load_and_solar_w({"battery_w": 500.0, "load_w": 300.0})
    assert math.isnan(nothing[0]), "a load alone does not tell what the sun does"


def test_what_was_learnt_is_planned_with_after_a_restart(tmp_path: Path) -> None:
    learnt = Learnt(tmp_path / "learnt")
    own = OwnPlan(CHEAP_NIGHTS, learnt)
    for minute in range(0, 60, 5):
        own.observe(T0 + minute * 60_000, {"load_w": 900.0, "solar_w": 0.0}, 300.0)
    slots = learnt.read()
    assert [slot.load_w for slot in slots] == [900.0] * len(slots)
    assert len(slots) >= 3
    assert isinstance(slots[0], Slot)
    again = OwnPlan(CHEAP_NIGHTS, learnt)
    load_w, _ = again.forecaster.expected(slot_of(T0 + HOUR_MS, UTC), 4)
    assert load_w.tolist() == pytest.approx([900.0] * 4)


async def test_a_plan_is_made_beside_the_beat_and_a_failed_one_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at, counters = at_home(5.0, soc=0.3), Counter[str]()
    planning = Planning(at.home, counters)
    now_ms = T0 + at.now_ms

    async def made(name: str, now_ms: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not counters[name]:
                planning.keep(now_ms)
                await asyncio.sleep(0)

    await made("plans", now_ms)
    assert at.own.power_w(now_ms, {"soc": 0.3, "load_w": 500.0, "solar_w": 0.0}) == -5000

    def fails() -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(at.home, "plan_due", lambda _now_ms: fails)
    await made("plans_failed", now_ms)
    assert at.own.power_w(now_ms, {"soc": 0.3, "load_w": 500.0, "solar_w": 0.0}) == -5000


async def test_a_home_that_has_measured_nothing_yet_stays_in_its_own_mode() -> None:
    at = AtHome(tariff=CHEAP_NIGHTS, now_ms=MIDNIGHT_MS + HOUR_MS // 2, soc=0.5)
    await at.seconds(3)
    assert at.power is None
    await at.seconds(16, step_ms=60_000)
    assert at.power is not None


async def test_a_plan_is_made_each_quarter_and_with_new_prices_once_a_minute() -> None:
    at = AtHome(tariff=Terms(time_zone="UTC", buy="market"))
    begins = T0 // STEP_MS * STEP_MS + STEP_MS
    at.learn(500.0)
    assert at.home.plan_due(begins) is None, "no price is known"
    prices = Prices(from_=begins, interval_ms=STEP_MS, per_mwh=(50.0,) * 96)
    at.own.take_prices(0, prices)
    assert at.home.plan_due(begins + 59_000) is None
    assert at.home.plan_due(begins + 60_000) is not None
    assert at.home.plan_due(begins + 61_000) is None
    assert at.home.plan_due(begins + STEP_MS) is not None


async def test_a_power_of_the_plan_ends_by_the_inverters_timer() -> None:
    at = at_home(5.0, soc=0.3)
    await at.seconds(2)
    assert at.power == Power(-5000.0, 60_000)
    at.deaf = True
    await at.seconds(62)
    assert at.inverter.battery_w > 0, "its own mode again"
