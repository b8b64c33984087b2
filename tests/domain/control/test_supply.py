"""Supply curves: what partitions tell and the region shares out is what one allocation would do."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.allocation_problems import equal_devices, random_problem
from vpp_streams.domain.control.allocate import allocate
from vpp_streams.domain.control.curves import Problem, curves
from vpp_streams.domain.control.supply import Curve, merge, supply_curve

NONE = np.array([-np.inf]), np.array([np.inf])
FEEDERS = ("", "f1", "f2")
LIMITS = {"f1": (-300.0, 150.0), "f2": (-40.0, np.inf)}
PARTITIONS = 4


def part(one: Problem, rows: np.ndarray) -> Problem:
    """Some devices, in a group without limits."""
    kept = {
        f.name: getattr(one, f.name)[rows]
        for f in fields(one)
        if f.name not in ("group", "group_least_w", "group_most_w")
    }
    limits = dict(zip(("group_least_w", "group_most_w"), NONE, strict=True))
    return Problem(**kept, group=np.zeros(len(rows), int), **limits)


class Region:
    """400 homes of some feeders in some partitions, and the same as one problem."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        limits = np.array([LIMITS.get(f, (-np.inf, np.inf)) for f in FEEDERS])
        one = random_problem(400, rng, len(FEEDERS))
        self.whole = replace(one, group_least_w=limits[:, 0], group_most_w=limits[:, 1])
        place = rng.integers(0, PARTITIONS, 400)
        self.rows = {
            (p, feeder): np.flatnonzero((place == p) & (one.group == f))
            for p in range(PARTITIONS)
            for f, feeder in enumerate(FEEDERS)
        }

    def distributed(self, asked: float, points: int) -> tuple[np.ndarray, float, float]:
        """Setpoints by way of curves and shares, what is missing, and the price."""
        told = {
            key: supply_curve(part(self.whole, rows), points) for key, rows in self.rows.items()
        }
        merged = merge(told, {key: key[1] for key in told}, LIMITS, asked)
        given_w = sum(merged.shares.values())
        assert given_w + merged.missing_w == pytest.approx(asked, rel=1e-9, abs=1e-9)
        power = np.empty(400)
        for key, share in merged.shares.items():
            found = allocate(part(self.whole, self.rows[key]), share)
            assert found.missing_w == 0.0
            power[self.rows[key]] = found.setpoint_w
        assert float(power.sum()) == pytest.approx(given_w, rel=1e-9, abs=1e-9)
        return power, merged.missing_w, merged.price


@pytest.mark.parametrize("asked", [-5000.0, -300.0, 0.0, 40.0, 350.0, 5000.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_with_all_kinks_partitions_do_what_one_allocation_would(seed: int, asked: float) -> None:
    region = Region(seed)
    power, missing, price = region.distributed(asked, 10_000)
    central = allocate(region.whole, asked)
    np.testing.assert_allclose(power, central.setpoint_w, atol=1e-6, rtol=0)
    assert missing == pytest.approx(central.missing_w, abs=1e-6)
    assert price == pytest.approx(central.price, abs=1e-6)


@pytest.mark.parametrize("asked", [-300.0, 0.0, 40.0, 350.0])
@pytest.mark.parametrize(("points", "off_kw"), [(32, 1.0), (128, 0.01)])
def test_thinned_curves_cost_a_little_fairness_and_no_power(
    points: int, off_kw: float, asked: float
) -> None:
    region = Region(2)
    power, missing, _ = region.distributed(asked, points)
    assert missing == 0.0
    assert np.abs(power - allocate(region.whole, asked).setpoint_w).max() < off_kw


def test_a_curve_tells_what_devices_give_at_each_price() -> None:
    one = random_problem(60, np.random.default_rng(4))
    curve = supply_curve(one, 1000)
    both = curves(one)
    for price in np.linspace(curve.prices[0] - 1, curve.prices[-1] + 1, 200).tolist():
        told = np.interp(price, curve.prices, curve.power_w)
        assert told == pytest.approx(float(both.at(price).sum()), abs=1e-9)
    assert curve.power_w[0] == pytest.approx(both.least_w.sum())
    assert curve.power_w[-1] == both.most_w.sum()


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(2, 40))
def test_a_thinned_curve_rises_from_least_to_most_within_its_points(
    seed: int, n: int, points: int
) -> None:
    one = random_problem(n, np.random.default_rng(seed))
    curve, whole = supply_curve(one, points), supply_curve(one, 10_000)
    assert len(curve.prices) <= max(points, 2)
    assert (np.diff(curve.prices) > 0).all()
    assert (np.diff(curve.power_w) >= 0).all()
    assert (curve.power_w[0], curve.power_w[-1]) == (whole.power_w[0], whole.power_w[-1])


def test_thinning_keeps_the_band_in_which_worn_devices_rest() -> None:
    rng = np.random.default_rng(5)
    one = equal_devices(
        500, wear=0.5, weight_up=rng.uniform(1, 20, 500), weight_down=rng.uniform(1, 20, 500)
    )
    curve = supply_curve(one, 24)
    assert np.interp([-0.49, 0.0, 0.49], curve.prices, curve.power_w) == pytest.approx(
        [0.0, 0.0, 0.0], abs=1e-6
    )


@pytest.mark.parametrize(
    ("one", "power"),
    [
        (equal_devices(0), 0.0),
        (equal_devices(3, weight_up=0.0, weight_down=0.0), 0.0),
        (equal_devices(2, least_w=5.0), 10.0),
    ],
)
def test_who_cannot_move_is_one_point(one: Problem, power: float) -> None:
    curve = supply_curve(one)
    assert (curve.prices.tolist(), curve.power_w.tolist()) == ([0.0], [power])


def line(*points: tuple[float, float]) -> Curve:
    prices, power = zip(*points, strict=True)
    return Curve(np.array(prices), np.array(power))


def test_without_curves_all_is_missing() -> None:
    assert merge({}, {}, {}, 5.0).missing_w == 5.0
    assert merge({}, {}, {}, 0.0).missing_w == 0.0


def test_shares_follow_the_price_and_what_cannot_move_gives_what_it_must() -> None:
    told = {"a": line((0, 0), (1, 10)), "b": line((0, 0), (1, 30)), "c": line((0, 2))}
    merged = merge(told, dict.fromkeys(told, ""), {}, 22.0)
    assert merged.shares == pytest.approx({"a": 5.0, "b": 15.0, "c": 2.0})
    assert merged.price == pytest.approx(0.5)


def test_a_limit_that_curves_cannot_keep_is_kept_as_far_as_they_can() -> None:
    told = {"a": line((0, 5), (1, 10)), "b": line((0, 0), (1, 30))}
    merged = merge(told, {"a": "f", "b": ""}, {"f": (-np.inf, 3.0), "unknown": (0.0, 0.0)}, 20.0)
    assert merged.shares == pytest.approx({"a": 5.0, "b": 15.0})


def test_a_jump_in_a_curve_is_shared_exactly() -> None:
    told = {"a": line((0, 0), (0, 10), (1, 12)), "b": line((0, 0), (0, 10), (1, 12))}
    merged = merge(told, dict.fromkeys(told, ""), {}, 7.0)
    assert sum(merged.shares.values()) == pytest.approx(7.0, rel=1e-12)
    assert merged.missing_w == 0.0


def test_a_jump_behind_a_feeders_limit_is_shared_exactly() -> None:
    told = {key: line((0, 0), (0.3, 1), (0.3, 10), (1, 12)) for key in "abcd"}
    feeder = {"a": "f", "b": "f", "c": "", "d": ""}
    merged = merge(told, feeder, {"f": (-np.inf, 7.1)}, 18.3)
    assert merged.shares["a"] + merged.shares["b"] == pytest.approx(7.1, rel=1e-12)
    assert sum(merged.shares.values()) == pytest.approx(18.3, rel=1e-12)
