"""Commitments: an interval has one bid, and no kWh is sold twice."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.market import Award, Bid, EnergyOffer, Refusal, Step
from vpp_streams.domain.market.clearing import cleared_power_w
from vpp_streams.domain.market.ledger import Ledger, bid_id, held_within, stored_at, uncommitted_w
from vpp_streams.domain.market.rules import Storage

HOUR = 3_600_000
QUARTER = HOUR // 4
STORAGE = Storage(energy_wh=10_000.0, charge_w=5000.0, discharge_w=5000.0)


def bid(start_ms: int, most_w: float = 4000.0, least_w: float = -3000.0) -> Bid:
    return Bid(
        bid_id=bid_id("sim", "north", start_ms),
        market="sim",
        region="north",
        start_ms=start_ms,
        interval_ms=QUARTER,
        gate_ms=start_ms - 1000,
        made_at_ms=start_ms - 2000,
        rung="warm_lp",
        energy=EnergyOffer(least_w, (Step(10.0, 0.0), Step(20.0, most_w))),
        currency="USD",
    )


def award(start_ms: int, energy_w: float) -> Award:
    return Award(
        bid_id=bid_id("sim", "north", start_ms),
        market="sim",
        region="north",
        start_ms=start_ms,
        interval_ms=QUARTER,
        cleared_at_ms=start_ms - 1000,
        energy_w=energy_w,
        prices={"energy": 25.0},
        currency="USD",
    )


def refusal(start_ms: int) -> Refusal:
    id_ = bid_id("sim", "north", start_ms)
    return Refusal(bid_id=id_, market="sim", region="north", at_ms=start_ms, reason="no")


def test_a_bid_without_an_outcome_counts_in_full_and_a_refused_one_not_at_all() -> None:
    ledger = Ledger()
    ledger.bid(bid(QUARTER))
    ledger.bid(bid(2 * QUARTER, most_w=0.0))
    ledger.bid(bid(3 * QUARTER))
    ledger.outcome(refusal(3 * QUARTER))
    ledger.bid(bid(4 * QUARTER))
    ledger.outcome(award(4 * QUARTER, 1500.0))
    held = ledger.commitments("sim", "north", 0)
    assert [(a.start_ms // QUARTER, a.energy_w) for a in held] == [(1, 4000), (2, -3000), (4, 1500)]
    assert ledger.commitments("sim", "south", 0) == ledger.commitments("x", "north", 0) == ()


def test_what_is_over_is_no_commitment_and_what_runs_is() -> None:
    ledger = Ledger()
    ledger.outcome(award(QUARTER, 1000.0))
    assert ledger.commitments("sim", "north", 2 * QUARTER - 1)
    assert not ledger.commitments("sim", "north", 2 * QUARTER)


def test_the_first_record_of_an_id_stands() -> None:
    ledger = Ledger()
    ledger.bid(bid(QUARTER, most_w=1.0))
    ledger.bid(bid(QUARTER, most_w=2.0))
    (held,) = ledger.commitments("sim", "north", 0)
    assert held.energy_w == 1.0
    ledger.outcome(award(QUARTER, 5.0))
    ledger.outcome(award(QUARTER, 6.0))
    (held,) = ledger.commitments("sim", "north", 0)
    assert held.energy_w == 5.0


@given(st.permutations(["bid", "award", "again", "other"]))
def test_the_order_in_which_topics_are_read_does_not_matter(order: list[str]) -> None:
    ledger = Ledger()
    for what in order:
        match what:
            case "bid" | "again":
                ledger.bid(bid(QUARTER))
            case "award":
                ledger.outcome(award(QUARTER, 700.0))
            case "other":
                ledger.bid(bid(2 * QUARTER))
    held = ledger.commitments("sim", "north", 0)
    assert [a.energy_w for a in held] == [700.0, 4000.0]
    assert all(bid_id("sim", "north", k * QUARTER) in ledger for k in (1, 2))


def test_what_is_long_over_is_forgotten() -> None:
    ledger = Ledger()
    ledger.bid(bid(QUARTER))
    ledger.outcome(award(QUARTER, 1.0))
    ledger.outcome(refusal(2 * QUARTER))
    ledger.forget(2 * QUARTER)
    assert bid_id("sim", "north", QUARTER) not in ledger
    assert bid_id("sim", "north", 2 * QUARTER) in ledger


def test_energy_at_a_time_to_come_is_less_by_what_is_sold_before_it() -> None:
    awards = [award(0, 1900.0), award(QUARTER, -1000.0)]
    # Half of the first is given already.
    assert stored_at(2 * QUARTER, QUARTER // 2, STORAGE, 1000.0, awards) == pytest.approx(
        1000 - 1900 / 0.95 / 8 + 1000 * 0.95 / 4
    )
    assert stored_at(QUARTER, QUARTER, STORAGE, 1000.0, awards) == 1000.0


@given(
    st.floats(0, 10_000),
    st.lists(st.tuples(st.floats(-8000, 8000), st.floats(-8000, 8000)), min_size=1, max_size=12),
    st.integers(0, QUARTER - 1),
)
def test_no_kwh_is_sold_twice(
    stored_wh: float, offers: list[tuple[float, float]], into_ms: int
) -> None:
    """Whatever is decided: what is awarded of bids held within the ledger can be delivered."""
    now_ms = into_ms
    ledger, wh = Ledger(), stored_wh
    for k, powers in enumerate(offers, start=1):
        least_w, most_w = sorted(powers)
        wanted = bid(k * QUARTER, most_w=max(most_w, 0.0), least_w=min(least_w, 0.0))
        awards = ledger.commitments("sim", "north", now_ms)
        limits = uncommitted_w(wanted, now_ms, STORAGE, stored_wh, awards)
        made = msgspec.structs.replace(wanted, energy=held_within(wanted.energy, *limits))
        ledger.bid(made)
        # Every other one has its outcome before the next bid; the price takes it all.
        if k % 2:
            ledger.outcome(award(k * QUARTER, cleared_power_w(made.energy, 100.0)))
    for sold in ledger.commitments("sim", "north", now_ms):
        out_w = sold.energy_w
        assert -STORAGE.charge_w <= out_w <= STORAGE.discharge_w
        wh -= (out_w / 0.95 if out_w > 0 else out_w * 0.95) / 4
        assert -1e-6 <= wh <= STORAGE.energy_wh + 1e-6


@given(
    st.lists(st.floats(-9000, 9000), min_size=1, max_size=8),
    st.tuples(st.floats(-8000, 0), st.floats(0, 8000)),
    st.floats(-100, 100),
)
def test_an_offer_within_limits_clears_at_the_same_power_cut_to_them(
    powers: list[float], limits: tuple[float, float], price: float
) -> None:
    below_w, *rest = sorted(powers)
    steps = tuple(Step(float(k * 10 - 40), power_w) for k, power_w in enumerate(rest))
    offer = EnergyOffer(below_w, steps)
    cut = held_within(offer, *limits)
    expected = min(max(cleared_power_w(offer, price), limits[0]), limits[1])
    assert cleared_power_w(cut, price) == expected
    assert all(b.power_w > a.power_w for a, b in itertools.pairwise(cut.steps))
