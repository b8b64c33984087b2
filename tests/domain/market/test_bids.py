"""What stored energy is worth, and the offers that follow from it."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.market import Bid, CapacityOffer, EnergyOffer, Product, Step
from tests.support.market_factory import (
    BATTERY,
    HOURLY,
    T0,
    duck_days,
    energy_only,
    inputs_at,
    prices_of,
)
from vpp_streams.domain.market.bids import capacity_offers, energy_offer
from vpp_streams.domain.market.clearing import clear_offer, cleared_power_w, impact_price
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.forecast.process import PriceProcess, fit_process
from vpp_streams.domain.market.rules import Storage
from vpp_streams.domain.market.value import (
    LEVELS,
    ValueTable,
    feasible_power,
    stored_after,
    value_table,
)

RULES = energy_only(HOURLY)


def certain(prices: list[float]) -> PriceProcess:
    """A market of which all prices are known: the middle of three nodes, always."""
    usual = np.array(prices)
    by_slot = np.column_stack([np.full(len(usual), -500.0), usual, np.full(len(usual), 4000.0)])
    moves = np.tile([0.0, 1.0, 0.0], (3, 1))
    return PriceProcess(np.array([-1.0, 0.0, 1.0]), usual, 1.0, by_slot, moves)


def test_the_value_of_energy_is_what_the_best_schedule_makes() -> None:
    """Lossless, an hour's energy at a time: the dearest two hours to come, bought before."""
    storage = Storage(2e6, 1e6, 1e6, 1.0, 1.0)
    prices = [50.0, 10.0, 20.0, 100.0, 80.0, 5.0]
    table = value_table(certain(prices), storage, RULES, slot=0, steps=6, keep=6)
    after_first = table.value[0][:, 0]
    full, empty = after_first[-1], after_first[0]
    assert full == pytest.approx(100 + 80)
    assert empty == pytest.approx(100 + 80 - 10 - 20)
    assert len(after_first) == LEVELS
    assert (np.diff(after_first) >= -1e-9).all()


def test_selling_begins_at_what_the_energy_would_earn_later() -> None:
    storage = Storage(1e6, 1e6, 1e6, 1.0, 1.0)
    process = certain([50.0, 100.0, 1.0])
    table = value_table(process, storage, RULES, slot=0, steps=3, keep=1)
    chances = np.full(len(process.nodes), 1 / len(process.nodes))
    offer = energy_offer(
        table, 0, chances, 1e6, storage=storage, rules=RULES, least_w=-1e6, most_w=1e6
    )
    assert cleared_power_w(offer, 90.0) == 0.0
    assert cleared_power_w(offer, 2000.0) == 1e6
    buying = energy_offer(
        table, 0, chances, 0.0, storage=storage, rules=RULES, least_w=-1e6, most_w=1e6
    )
    assert cleared_power_w(buying, 20.0) == -1e6
    assert cleared_power_w(buying, 2000.0) == 0.0


@given(
    st.floats(0, 2e6), st.integers(0, 23), st.integers(1, 40), st.floats(-1e6, 0), st.floats(0, 1e6)
)
@settings(max_examples=60, deadline=None)
def test_an_offer_rises_and_stays_within_what_can_be_given(
    stored_wh: float, slot: int, seed: int, least_w: float, most_w: float
) -> None:
    process = fit_process(prices_of(duck_days(4, seed)), RULES)
    table = value_table(process, BATTERY, RULES, slot=slot, steps=30, keep=1)
    chances = process.ahead(50.0, slot, 1)[0]
    offer = energy_offer(
        table, 0, chances, stored_wh, storage=BATTERY, rules=RULES, least_w=least_w, most_w=most_w
    )
    powers = [offer.below_w, *(step.power_w for step in offer.steps)]
    assert powers == sorted(set(powers))
    assert len(offer.steps) <= RULES.max_steps
    assert [s.price for s in offer.steps] == sorted({s.price for s in offer.steps})
    for power in powers:
        assert least_w - 1e-3 <= power <= most_w + 1e-3
        left = float(stored_after(np.array([power]), stored_wh, BATTERY, 1.0)[0])
        assert -0.01 <= left <= BATTERY.energy_wh + 0.01


def test_nodes_of_the_same_price_are_one_step_of_an_offer() -> None:
    """Two nodes at the cap differ in what follows; the offer's prices must rise all the same."""
    prices = np.array([[-500.0, 50.0, 4000.0, 4000.0]])
    stored = np.linspace(0, 1e6, LEVELS)
    value = stored[:, None] / 1e6 * np.array([10.0, 10.0, 5000.0, 1000.0])
    table = ValueTable(prices, stored, value[None])
    storage = Storage(1e6, 1e6, 1e6, 1.0, 1.0)
    offer = energy_offer(
        table, 0, np.full(4, 0.25), 1e6, storage=storage, rules=RULES, least_w=-1e6, most_w=1e6
    )
    assert [step.price for step in offer.steps] == sorted({step.price for step in offer.steps})
    assert cleared_power_w(offer, 4000.0) == 1e6  # worth 3000 on average


def test_wear_keeps_a_small_spread_from_being_traded() -> None:
    prices = [50.0, 60.0, 1.0]
    for wear, sells in ((0.0, True), (20.0, False)):
        storage = Storage(1e6, 1e6, 1e6, 1.0, 1.0, wear)
        table = value_table(certain(prices), storage, RULES, slot=0, steps=3, keep=1)
        offer = energy_offer(
            table, 0, np.ones(3) / 3, 0.0, storage=storage, rules=RULES, least_w=-1e6, most_w=1e6
        )
        assert (cleared_power_w(offer, 50.0) < 0) is sells


def test_capacity_is_offered_only_with_the_energy_to_sustain_it() -> None:
    wanted: dict[Product, float] = {"reg_up": 2e6, "reg_down": 2e6, "reserve": 2e6}
    at_50: dict[str, Any] = {
        "worth_per_mwh": 50.0,
        "price": 50.0,
        "storage": BATTERY,
        "rules": HOURLY,
    }
    nearly_empty = capacity_offers(wanted, EnergyOffer(0.0), 1e5, **at_50)
    up = {offer.product: offer.power_w for offer in nearly_empty}
    assert up["reg_up"] == pytest.approx(1e5 * 0.92 / 0.5, rel=1e-6)
    assert "reserve" not in up  # what there is backs regulation already
    sells_all = EnergyOffer(0.0, (Step(100.0, 92_000.0),))
    offers = capacity_offers(wanted, sells_all, 1e5, **at_50)
    assert {offer.product for offer in offers} == {"reg_down"}


def test_capacity_costs_what_its_use_takes_out_of_the_store() -> None:
    rules = replace(HOURLY, reg_up_used=0.2, reg_down_used=0.2)
    offers = capacity_offers(
        {"reg_up": 1e5, "reg_down": 1e5},
        EnergyOffer(0.0),
        1e6,
        worth_per_mwh=92.0,
        price=60.0,
        storage=BATTERY,
        rules=rules,
    )
    cost = {offer.product: offer.price for offer in offers}
    assert cost["reg_up"] == pytest.approx(0.2 * (92 / 0.92 - 60))
    assert cost["reg_down"] == 0.0


def a_bid(energy: EnergyOffer, *capacity: CapacityOffer, up_w: float = 1e6) -> Bid:
    bid = safe_bid(inputs_at(T0, prices_of(np.array([]))), ())
    return msgspec.structs.replace(bid, energy=energy, capacity=capacity, up_w=up_w, down_w=1e6)


def test_a_step_offer_gives_the_power_of_the_last_step_that_is_not_above_the_price() -> None:
    offer = EnergyOffer(-5.0, (Step(20.0, 0.0), Step(80.0, 7.0)))
    assert [cleared_power_w(offer, p) for p in (19.9, 20.0, 79.9, 80.0)] == [-5.0, 0.0, 0.0, 7.0]


def test_cleared_together_the_dearer_use_gets_the_power() -> None:
    bid = a_bid(EnergyOffer(0.0, (Step(50.0, 1e6),)), CapacityOffer("reg_up", 1e6, 0.0))
    assert clear_offer(bid, {"energy": 60.0, "reg_up": 5.0}, HOURLY) == (1e6, {})
    assert clear_offer(bid, {"energy": 60.0, "reg_up": 50.0}, HOURLY) == (0.0, {"reg_up": 1e6})
    apart = replace(HOURLY, co_optimised=False)
    assert clear_offer(bid, {"energy": 60.0, "reg_up": 5.0}, apart) == (1e6, {"reg_up": 1e6})


@given(
    st.lists(st.floats(-100, 300), min_size=1, max_size=5, unique=True),
    st.floats(-150, 400), st.floats(0, 200), st.floats(0, 200), st.floats(0, 2e6),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_together_is_the_best_on_a_fine_grid(
    steps: list[float], price: float, up: float, down: float, most: float
) -> None:
    """No power on a fine grid would have served the bidder better."""
    powers = np.linspace(-1e6, 1e6, len(steps) + 1)
    curve = tuple(Step(p, float(w)) for p, w in zip(sorted(steps), powers[1:], strict=True))
    bid = a_bid(EnergyOffer(-1e6, curve), CapacityOffer("reg_up", most, 0.0),
                CapacityOffer("reg_down", most, 0.0))  # fmt: skip
    power, capacity = clear_offer(bid, {"energy": price, "reg_up": up, "reg_down": down}, HOURLY)

    def gain(at: float, ru: float, rd: float) -> float:
        bounds = [-1e6, *(s.power_w for s in curve)]
        worth = sum(
            (price - s.price) * (min(max(at, low), s.power_w) - low)
            for s, low in zip(curve, bounds, strict=False)
        )
        return worth + up * ru + down * rd

    got = gain(power, capacity.get("reg_up", 0.0), capacity.get("reg_down", 0.0))
    for at in np.linspace(-1e6, 1e6, 81).tolist():
        ru, rd = min(most, 1e6 - at), min(most, 1e6 + at)
        assert got >= gain(at, ru, rd) - 1e-3 - 1e-9 * abs(got)


def test_own_power_moves_the_price_it_is_paid() -> None:
    offer = EnergyOffer(0.0, (Step(50.0, 1e6), Step(58.0, 3e6)))
    assert impact_price(offer, 60.0, 0.0) == 60.0
    assert impact_price(offer, 60.0, 1.5) == 58.0  # 3 MW would leave 55.5: the step is marginal
    assert impact_price(offer, 40.0, 1.5) == 40.0


def test_power_is_cut_to_the_energy_that_there_is() -> None:
    least, most = feasible_power(np.array([-1e6, 1e6]), 1.9e6, BATTERY, 1.0)
    assert most == 1e6
    assert least == pytest.approx(-1e5 / 0.92)


def test_an_offer_earns_the_most_that_a_rising_one_can() -> None:
    """Against every rising offer of three powers, where a dear price is a reason to wait."""
    storage = Storage(1e6, 1e6, 1e6, 1.0, 1.0)
    rules = replace(RULES, max_steps=2)
    rng = np.random.default_rng(2)
    for _ in range(20):
        prices, chances = np.sort(rng.uniform(0, 200, 3)).round(2), rng.dirichlet(np.ones(3))
        worth = rng.uniform(0, 300, 3)  # of the energy kept, by price
        value = np.linspace(0, 1, LEVELS)[:, None] * worth
        table = ValueTable(prices[None], np.linspace(0, 1e6, LEVELS), value[None])
        offer = energy_offer(
            table, 0, chances, 1e6, storage=storage, rules=rules, least_w=0.0, most_w=1e6
        )
        at, nodes = np.arange(13) / 6, np.arange(3)
        price, kept, chance = (np.interp(at, nodes, row) for row in (prices, worth, chances))
        now, later = chance * price, chance * kept
        most = max(np.where(np.arange(13) >= first, now, later).sum() for first in range(14))
        sold = np.array([cleared_power_w(offer, float(p)) / 1e6 for p in price.round(4)])
        assert (sold * now + (1 - sold) * later).sum() == pytest.approx(most, abs=1e-3)
