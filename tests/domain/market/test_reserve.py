"""What a fleet delivered lately bounds what it offers; noise and small awards do not."""

import numpy as np
import pytest

from schemas.market import Delivery
from tests.support.market_factory import BATTERY, T0
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.reserve import ReservePolicy, dependable

DAY = 288
POWER_W = 1e6


def delivery(step: int, awarded_w: float, measured_w: float) -> Delivery:
    return Delivery(
        bid_id=f"{step}", market="test", region="north", start_ms=T0 + step * 300_000,
        interval_ms=300_000, awarded_w=awarded_w, measured_w=measured_w, coverage=1.0, money=0.0,
        currency="EUR",
    )  # fmt: skip


def walked(answers: Floats, sizes: Floats) -> list[float]:
    """The availability after each interval of a fleet that gives no more than ``answers`` of its
    power, where the market takes ``sizes`` of what it offers (shares, - = charge)."""
    delivered, found = list[Delivery](), list[float]()
    for step, (answer, size) in enumerate(zip(answers, sizes, strict=True)):
        offered_w = dependable(BATTERY, delivered[-DAY:], ReservePolicy()).storage.discharge_w
        awarded_w = float(np.sign(size)) * min(abs(size) * POWER_W, offered_w)
        given_w = float(np.sign(size)) * min(abs(awarded_w), answer * POWER_W)
        delivered.append(delivery(step, awarded_w, given_w))
        held = dependable(BATTERY, delivered[-DAY:], ReservePolicy())
        found.append(held.availability)
    return found


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize(("answers", "offered"), [(0.3, 0.5), (0.6, 0.6), (0.9, 0.9)])
def test_after_a_day_the_fleet_offers_what_it_answers(
    seed: int, answers: float, offered: float
) -> None:
    """Most awards are below half of the power, which 0.6 of the fleet delivers in full."""
    rng = np.random.default_rng(seed)
    sizes = np.where(rng.random(DAY) < 0.15, 1.0, rng.uniform(0.1, 0.5, DAY))
    sizes *= rng.choice([-1, 1], DAY)
    found = walked(answers + rng.normal(0, 0.01, DAY), sizes)
    assert found[-1] == pytest.approx(offered, abs=0.03)
    assert np.median(found[DAY // 2 :]) == pytest.approx(offered, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_noise_of_delivery_holds_nothing_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    delivered = [
        delivery(step, size * POWER_W, size * POWER_W * rng.normal(1.0, 0.02))
        for step, size in enumerate(rng.uniform(-1, 1, DAY).tolist())
    ]
    assert dependable(BATTERY, delivered, ReservePolicy()).availability == 1.0


def test_one_outage_of_a_quarter_of_an_hour_is_no_rule() -> None:
    delivered = [delivery(step, POWER_W, POWER_W) for step in range(40)]
    delivered += [delivery(step, POWER_W, 0.0) for step in range(40, 43)]
    assert dependable(BATTERY, delivered, ReservePolicy()).availability == 1.0


def test_the_worst_tenth_is_counted_in_energy() -> None:
    """A tenth of the intervals, but a fifth of the energy, was delivered by 0.7."""
    small = [delivery(step, 0.45 * POWER_W, 0.45 * POWER_W) for step in range(90)]
    large = [delivery(step, POWER_W, 0.7 * POWER_W) for step in range(90, 100)]
    assert dependable(BATTERY, small + large, ReservePolicy()).availability == pytest.approx(0.7)


def test_a_cut_fleet_is_not_trusted_more_for_delivering_what_it_was_cut_to() -> None:
    short = [delivery(step, POWER_W, 0.6 * POWER_W) for step in range(12)]
    cut = [delivery(step, 0.6 * POWER_W, 0.6 * POWER_W) for step in range(12, 280)]
    assert dependable(BATTERY, short + cut, ReservePolicy()).availability == pytest.approx(0.6)
    healed = [delivery(step, POWER_W, POWER_W) for step in range(280, 400)]
    assert dependable(BATTERY, short + cut + healed, ReservePolicy()).availability == 1.0
