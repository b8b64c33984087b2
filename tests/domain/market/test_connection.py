"""Markets that are metered at the connection: the net position of batteries, load and sun."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks.absurd_inputs import absurd_inputs, complaints
from benchmarks.connection import Homes, bidding, foreseen, walk
from schemas.assets import Device, Site
from schemas.forecast import RegionForecast
from schemas.market import Award, Bid, EnergyOffer, Step
from tests.support.connection_factory import AT_CONNECTION, connected, forecast, quantity
from tests.support.market_factory import (
    BATTERY,
    HOURLY,
    T0,
    duck_days,
    energy_only,
    inputs_at,
    no_clock,
    prices_of,
)
from tests.support.region_window_factory import MINUTE_MS, region_window
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.connection import (
    NO_LIMITS,
    ConnectionLimits,
    Tie,
    forecast_connection,
    limits_of,
    seen_connection,
)
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.decision.sound_bid import sound_bid
from vpp_streams.domain.market.delivery import measured, of_the_fleet
from vpp_streams.domain.market.ledger import Ledger
from vpp_streams.domain.market.plan.breaches import breaches
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.plan.problem import Plan, PlanProblem
from vpp_streams.domain.market.rules import BidRefusedError, check_bid
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.domain.registry.registry import Registry

FLAT = prices_of(np.full(6 * 24, 50.0))
DUCK = prices_of(duck_days(6))
NEXT_MS = T0 + 6 * DAY_MS


def decide(inputs: CycleInputs) -> Bid:
    return sound_bid(inputs, Autobidder().decide(inputs, no_clock, 1.0)[0])


def powers(bid: Bid) -> list[float]:
    return [bid.energy.below_w, *(step.power_w for step in bid.energy.steps)]


def test_the_limits_of_a_region_are_those_of_its_sites() -> None:
    battery = Device(
        device_id="b", kind="powerwall", rated_energy_wh=1e4, rated_charge_w=5e3,
        rated_discharge_w=5e3,
    )  # fmt: skip
    panels = Device(device_id="p", kind="solar", rated_solar_w=6e3)
    sites = [
        Site(
            site_id="1", region="north", devices=(battery,), export_limit_w=4e3, import_limit_w=8e3
        ),
        Site(site_id="2", region="north", devices=(panels,), import_limit_w=9e3),
        Site(site_id="3", region="south", devices=(), import_limit_w=1e6),
    ]
    registry = Registry(sites)
    assert limits_of(registry, "north") == ConnectionLimits(17e3, 10e3), "panels give their rating"
    registry.apply(msgspec.structs.replace(sites[0], import_limit_w=None))
    assert limits_of(registry, "north") == ConnectionLimits(np.inf, 10e3)
    assert limits_of(registry, "nowhere") == NO_LIMITS


def test_slots_of_a_forecast_become_intervals() -> None:
    load = quantity(np.arange(96.0))
    known = forecast_connection(forecast(T0, load), AT_CONNECTION, NO_LIMITS)
    assert known is not None
    assert known.ahead(T0, HOUR_MS, 2).expected_w.tolist() == [1.5, 5.5]
    assert known.ahead(T0 + 900_000, 300_000, 4).expected_w.tolist() == [1.0, 1.0, 1.0, 2.0]
    assert known.ahead(T0 - HOUR_MS, HOUR_MS, 1).expected_w.tolist() == [0.0], "begins later"
    assert known.ahead(T0 + DAY_MS, HOUR_MS, 1).expected_w.tolist() == [1.5], "as a day before"


def test_errors_of_load_and_sun_do_not_come_together() -> None:
    known = forecast_connection(
        forecast(T0, quantity(1e3, 300.0, 400.0), quantity(2e3, 300.0, 400.0)),
        AT_CONNECTION,
        NO_LIMITS,
    )
    assert known is not None
    net = known.ahead(T0, HOUR_MS, 1)
    assert net.expected_w[0] == -1e3
    assert (net.low_w[0], net.high_w[0]) == pytest.approx((-1_500.0, -500.0))


def test_a_forecast_that_no_region_has_is_not_used() -> None:
    for load in (quantity(1e12), quantity(np.nan)):
        assert forecast_connection(forecast(T0, load), AT_CONNECTION, NO_LIMITS) is None
    assert seen_connection(np.inf, 0.0, AT_CONNECTION, NO_LIMITS) is None


def test_fees_are_those_of_what_passes_the_connection() -> None:
    tie = Tie(3e6, -np.inf, np.inf, import_fee=100.0, export_fee=10.0)
    assert tie.fees(np.array([0.0, 3e6, 5e6]), 0.5).tolist() == [150.0, 0.0, 10.0]


def test_own_use_is_worth_what_import_costs() -> None:
    """At a flat price there is nothing to sell for; yet each MWh of load costs 100 more to buy."""
    small = {"region_forecast": forecast(NEXT_MS, quantity(4e4, 1e4, 2e4))}
    free = replace(AT_CONNECTION, import_fee=0.0)
    bought = decide(connected(NEXT_MS, FLAT, 2e6, rules=free, **small))
    assert cleared_power_w(bought.energy, 50.0) == pytest.approx(-4e4, abs=1.0), "load is bought"
    bid = decide(connected(NEXT_MS, FLAT, 2e6, **small))
    assert (bid.net_load_w, bid.net_load_low_w, bid.net_load_high_w) == (4e4, 3e4, 6e4)
    assert cleared_power_w(bid.energy, 50.0) == pytest.approx(0.0, abs=1.0), "load is covered"
    empty = decide(connected(NEXT_MS, FLAT, 0.0, **small))
    assert max(powers(empty)) == pytest.approx(-4e4, abs=1.0), "load is bought at any price"


def test_the_position_holds_whatever_the_load_is_in_its_band() -> None:
    bid = decide(connected(NEXT_MS, DUCK, 2e6))
    assert max(powers(bid)) == pytest.approx(BATTERY.discharge_w - 2.8e5)
    half = decide(connected(NEXT_MS, DUCK, 1e6))
    for net_w in (1.5e5, 2e5, 2.8e5):
        for given_w in powers(half):
            battery_w = given_w + net_w
            assert -BATTERY.charge_w - 1 <= battery_w <= BATTERY.discharge_w + 1
            assert battery_w <= 1e6 * BATTERY.discharge_efficiency + 1, "with what is stored"


def test_a_band_wider_than_the_batteries_leaves_them_idle() -> None:
    wide = forecast(NEXT_MS, quantity(2e6, 2e6, 2e6))
    bid = decide(connected(NEXT_MS, DUCK, 1e6, region_forecast=wide))
    assert powers(bid) == [pytest.approx(-2e6)]


def test_the_connections_limits_bound_the_position() -> None:
    limits = ConnectionLimits(import_w=3e5, export_w=1e5)
    bid = decide(connected(NEXT_MS, DUCK, 1e6, limits=limits))
    assert (min(powers(bid)), max(powers(bid))) == pytest.approx((-3e5, 1e5))
    assert (bid.import_limit_w, bid.export_limit_w) == (3e5, 1e5)
    sunny = forecast(NEXT_MS, quantity(0.0), quantity(5e5))
    bid = decide(connected(NEXT_MS, DUCK, 1e6, limits=limits, region_forecast=sunny))
    assert max(powers(bid)) <= 1e5 + 1, "the batteries take what may not be exported"


def test_without_a_forecast_the_load_last_seen_stands_in_and_the_bid_says_so() -> None:
    bid = decide(connected(NEXT_MS, DUCK, 2e6, region_forecast=None))
    assert (bid.net_load_w, bid.net_load_low_w, bid.net_load_high_w) == (1e5, 0.0, 2e5)
    assert any("as last seen" in fault for fault in bid.faults)
    over = forecast(NEXT_MS - DAY_MS, quantity(3e5))
    assert decide(connected(NEXT_MS, DUCK, 2e6, region_forecast=over)).net_load_w == 1e5
    old = forecast(NEXT_MS - 3 * HOUR_MS, quantity(3e5))
    bid = decide(connected(NEXT_MS, DUCK, 2e6, region_forecast=old))
    assert bid.net_load_w == 3e5
    assert "the forecast of load and solar power is 3.0 h old" in bid.faults


def test_where_the_load_is_not_known_nothing_is_offered() -> None:
    inputs = connected(NEXT_MS, DUCK, 2e6, region_forecast=None, load_seen_w=None)
    bid = decide(inputs)
    assert (bid.rung, bid.energy) == ("safe", EnergyOffer(0.0))
    assert bid.faults == ("what the homes draw is not known: the batteries are not offered",)
    check_bid(bid, AT_CONNECTION, inputs.now_ms)


def test_a_safe_bid_buys_what_the_homes_draw() -> None:
    inputs = connected(NEXT_MS, DUCK, storage=None)
    assert decide(inputs).energy == EnergyOffer(-2e5)
    assert safe_bid(inputs, ("why",)).metered_at == "connection"


def test_with_no_time_the_last_plan_is_of_the_connection_too() -> None:
    inputs = connected(NEXT_MS, DUCK, 1e6)
    _, view = Autobidder().decide(inputs, no_clock, 1.0)
    assert view is not None
    assert view.metered_at == "connection"
    late = replace(inputs, last_plan=msgspec.structs.replace(view, power_w=(1e5, 0.0)))
    bid, _ = Autobidder().decide(late, lambda: 2.0, 1.0)
    assert (bid.rung, bid.energy) == ("last_plan", EnergyOffer(1e5))


def test_a_market_takes_only_bids_that_are_metered_as_it_measures() -> None:
    inputs = connected(NEXT_MS, DUCK)
    for bid, rules in (
        (decide(inputs), energy_only(HOURLY)),
        (decide(replace(inputs_at(NEXT_MS, DUCK), rules=energy_only(HOURLY))), AT_CONNECTION),
    ):
        with pytest.raises(BidRefusedError, match="metered at"):
            check_bid(bid, rules, inputs.now_ms)


def sold(start_ms: int, energy_w: float) -> Award:
    return Award(
        bid_id="x", market="test", region="north", start_ms=start_ms, interval_ms=HOUR_MS,
        cleared_at_ms=0, energy_w=energy_w, prices={}, currency="EUR", metered_at="connection",
    )  # fmt: skip


def test_a_sale_at_the_connection_takes_the_load_out_of_the_batteries_as_well() -> None:
    now = {"now_ms": NEXT_MS - HOUR_MS, "awards": (sold(NEXT_MS - HOUR_MS, 1e5),)}
    bid = decide(connected(NEXT_MS, DUCK, 1e6, **now))
    assert bid.stored_wh == pytest.approx(1e6 - 3e5 / BATTERY.discharge_efficiency)


def test_a_bid_without_an_outcome_counts_as_sold_by_the_batteries() -> None:
    """Its highest power buys: less than the homes draw, so the batteries give."""
    bid = decide(connected(NEXT_MS, DUCK, 1e6))
    offered = EnergyOffer(-5e5, (Step(10.0, -2e5), Step(80.0, -5e4)))
    ledger = Ledger()
    ledger.bid(msgspec.structs.replace(bid, energy=offered))
    (award,) = ledger.commitments("test", "north", NEXT_MS)
    assert (award.energy_w, award.metered_at) == (-5e4, "connection")


def test_absurd_inputs_give_bids_that_the_market_takes_here_too() -> None:
    rng, tied, bidder = np.random.default_rng(7), np.random.default_rng(8), Autobidder()
    rungs = set()
    for _ in range(150):
        given, clock = absurd_inputs(rng)
        strange = float(tied.choice([np.nan, np.inf, -1.0, 1e18]))
        usual_w = 10.0 ** tied.uniform(2, 7)
        day_w = np.where(tied.random(96) < 0.001, strange, tied.uniform(0, usual_w, 96))
        told: dict[str, Any] = {
            "region_forecast": forecast(given.start_ms, quantity(day_w, usual_w / 5, usual_w / 5)),
            "load_seen_w": strange if tied.random() < 0.3 else usual_w,
            "solar_seen_w": None if tied.random() < 0.1 else 0.0,
            "limits": ConnectionLimits(*tied.choice([0.0, usual_w, np.inf, np.nan], 2).tolist()),
        }
        if tied.random() < 0.3:
            told["region_forecast"] = None
        rules = replace(given.rules, metered_at="connection", import_fee=100.0)
        inputs = replace(given, rules=rules, **told)
        bid, _ = bidder.decide(inputs, clock, 1.0)
        net_w = bid.net_load_w or 0.0
        of_batteries = msgspec.structs.replace(
            bid,
            energy=EnergyOffer(
                bid.energy.below_w + net_w,
                tuple(Step(step.price, step.power_w + net_w) for step in bid.energy.steps),
            ),
        )
        wrong = [*complaints(of_batteries, inputs), *_refused(bid, inputs)]
        assert not wrong, (wrong, inputs)
        rungs.add(bid.rung)
    assert rungs >= {"warm_lp", "fresh_lp", "last_plan", "safe"}


def _refused(bid: Bid, inputs: CycleInputs) -> list[str]:
    try:
        check_bid(bid, inputs.rules, inputs.now_ms)
    except BidRefusedError as error:
        return [str(error)]
    return []


def planned(**changes: Any) -> tuple[Plan, PlanProblem]:
    told: dict[str, Any] = {
        "hours": np.ones(4), "energy_price": np.full(4, 50.0), "storage": BATTERY,
        "stored_wh": 1e6, "rules": AT_CONNECTION, "net_load_w": np.array([3e5, -4e5, 6e5, 6e5]),
    }  # fmt: skip
    problem = PlanProblem(**(told | changes))
    plan = PlanModel().solve(problem, 10.0)
    assert isinstance(plan, Plan)
    assert breaches(plan, problem) == ()
    return plan, problem


def test_a_plan_stores_the_sun_and_covers_the_load_with_it() -> None:
    plan, problem = planned()
    assert plan.power_w == pytest.approx([3e5, -4e5, 6e5, 6e5 - (1.5e6 - plan.discharge_w.sum())])
    given_w = plan.power_w - problem.net_load_w
    fees = 100.0 * np.maximum(-given_w, 0).sum() / 1e6
    assert plan.money == pytest.approx(50.0 * given_w.sum() / 1e6 - fees)


def test_a_plan_keeps_the_connections_limits_where_it_can_and_says_where_not() -> None:
    limits = ConnectionLimits(import_w=4e5, export_w=1e5)
    prices = np.array([0.0, 500.0, 0.0, 500.0])
    plan, problem = planned(limits=limits, energy_price=prices, stored_wh=0.0)
    given_w = plan.power_w - problem.net_load_w
    assert given_w == pytest.approx([-4e5, 1e5, -4e5, -4e5], abs=1.0) or given_w.min() >= -4e5 - 1
    assert plan.slacks == {}
    short, _ = planned(limits=limits, stored_wh=0.0, net_load_w=np.array([7e5, 0.0, 0.0, -2e6]))
    assert short.slacks == {
        "import_over_limit": pytest.approx(3e5), "export_over_limit": pytest.approx(9e5)
    }  # fmt: skip


AWARD = msgspec.structs.replace(sold(T0, -2e5), interval_ms=5 * MINUTE_MS)


def test_delivery_is_measured_at_the_connection() -> None:
    """Homes drew 250 kW, 50 more than was bought: the batteries gave 30 of the missing 50."""
    starts = range(T0, T0 + 5 * MINUTE_MS, MINUTE_MS)
    windows = {start: region_window(start, 3e4, 2.2e5, metered=10) for start in starts}
    found = measured(AWARD, windows)
    assert (found.metered_at, found.coverage) == ("connection", 1.0)
    assert found.measured_w == pytest.approx(-2.2e5)
    assert of_the_fleet(found) == (pytest.approx(5e4), pytest.approx(3e4))
    unmetered = {start: region_window(start, 3e4, 2.2e5, metered=4) for start in starts}
    assert measured(AWARD, unmetered).coverage == pytest.approx(0.4)


def test_bids_that_know_the_load_pay_less_than_bids_that_do_not() -> None:
    """Two days of a home that needs in the evening what its panels give at noon."""
    hour = np.arange(32 * 24) % 24
    usual_load_w = 400.0 + 1_600.0 * np.exp(-(((hour - 19) / 2) ** 2))
    usual_solar_w = 2_500.0 * np.exp(-(((hour - 12.5) / 2.5) ** 2))
    noise = np.random.default_rng(3).uniform(0.8, 1.2, (2, len(hour)))
    homes = Homes(
        "made up",
        1,
        T0,
        usual_load_w * noise[0],
        usual_solar_w * noise[1],
        duck_days(32) / 2,
        150.0,
    )

    def usual(row: int) -> RegionForecast:
        load_w, solar_w = usual_load_w[row : row + 24], usual_solar_w[row : row + 24]
        load = quantity(load_w.repeat(4), 0.16 * load_w.repeat(4), 0.16 * load_w.repeat(4))
        solar = quantity(solar_w.repeat(4), 0.16 * solar_w.repeat(4), 0.16 * solar_w.repeat(4))
        return forecast(T0 + row * HOUR_MS, load, solar)

    rows = range(28 * 24, 30 * 24)
    nothing = walk(homes, rows, lambda _row, _stored: 0.0).total
    saved = [
        nothing - walk(homes, rows, bidding(homes, metered_at, known)).total
        for metered_at, known in (
            ("battery", lambda _row: None), ("connection", usual), ("connection", foreseen(homes)),
        )
    ]  # fmt: skip
    ignored, forecast_, known_ = saved
    assert forecast_ > ignored + 0.3 * known_
    assert forecast_ > 0.8 * known_ > 0.0
