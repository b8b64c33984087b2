"""Allocation against a quadratic solver, and what must hold in every instance."""

from dataclasses import replace
from itertools import product

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.allocation_problems import equal_devices, random_problem, with_group_limits
from vpp_streams.domain.control.allocate import allocate
from vpp_streams.domain.control.curves import Problem, curves

SAME_KW = 1e-6


def reach(one: Problem) -> tuple[float, float]:
    """The least and the most that bounds and groups allow."""
    return tuple(total - allocate(one, total).missing_w for total in (-1e9, 1e9))  # type: ignore[return-value]


def solved(one: Problem, total: float) -> np.ndarray:
    """The optimum by Clarabel: power split into discharge and charge."""
    n = len(one.least_w)
    up, down = cp.Variable(n, nonneg=True), cp.Variable(n, nonneg=True)
    p = up - down
    gives, takes = one.weight_up > 0, one.weight_down > 0
    cost = (
        cp.sum(cp.multiply(np.where(gives, 0.5 / np.where(gives, one.weight_up, 1), 0), up**2))
        + cp.sum(
            cp.multiply(np.where(takes, 0.5 / np.where(takes, one.weight_down, 1), 0), down**2)
        )
        + one.wear @ (up + down)
        + cp.sum(cp.multiply(one.stick / 2, (p - one.held_w) ** 2))
    )
    # What has no weight gives what its bounds force, and no more.
    rules = [
        p >= one.least_w,
        p <= one.most_w,
        up <= np.where(gives, np.maximum(one.most_w, 0), np.maximum(one.least_w, 0)),
        down <= np.where(takes, np.maximum(-one.least_w, 0), np.maximum(-one.most_w, 0)),
        cp.sum(p) == total,
    ]
    for g, (low, high) in enumerate(zip(one.group_least_w, one.group_most_w, strict=True)):
        member = (one.group == g).astype(float)
        rules += [member @ p >= low] if np.isfinite(low) else []
        rules += [member @ p <= high] if np.isfinite(high) else []
    cp.Problem(cp.Minimize(cost), rules).solve(
        cp.CLARABEL, tol_gap_abs=1e-13, tol_gap_rel=1e-13, tol_feas=1e-13, tol_ktratio=1e-9
    )
    return np.asarray(p.value)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # asked for more than it can hold
@pytest.mark.parametrize("seed", range(120))
def test_equals_a_quadratic_solver(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(1, 6))
    one = random_problem(int(rng.integers(1, 60)), rng, groups)
    if seed % 2:
        one = with_group_limits(one, rng)
    low, high = reach(one)
    total = low + (high - low) * rng.random()
    found = allocate(one, total)
    assert found.missing_w == 0.0
    np.testing.assert_allclose(found.setpoint_w, solved(one, total), atol=SAME_KW, rtol=0)


@pytest.mark.parametrize("problems", [2_500, pytest.param(25_000, marks=pytest.mark.nightly)])
def test_what_must_hold_in_every_instance(problems: int) -> None:
    """Four instances of each problem."""
    rng = np.random.default_rng(3)
    pool = random_problem(40_000, rng)
    names = ("least_w", "most_w", "weight_up", "weight_down", "wear", "stick", "held_w", "min_w")
    free = np.full(2, -np.inf), np.full(2, np.inf)
    group = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    for at in range(problems):
        rows = slice(at, at + int(rng.integers(1, 9)))
        grouped = at % 5 == 0
        limits = np.sort(rng.normal(0.0, 20.0, (2, 2)), axis=0) if grouped else free
        cut = {name: getattr(pool, name)[rows] for name in names}
        group_least_w, group_most_w = limits
        one = Problem(
            **cut,
            group=group[: rows.stop - at],
            group_least_w=group_least_w,
            group_most_w=group_most_w,
        )
        before = one.least_w
        for asked in np.sort(rng.normal(0.0, 20.0, 4)).tolist():
            found = allocate(one, asked)
            p = found.setpoint_w
            assert (p >= one.least_w).all()
            assert (p <= one.most_w).all()
            off = abs(float(p.sum()) + found.missing_w - asked)
            assert off <= 1e-9 * (abs(asked) + np.abs(p).sum())
            assert (p >= before - 1e-7).all()  # who asks for more gets no less from anyone
            before = p
            if grouped:
                assert_groups(one, p)


def assert_groups(one: Problem, power: np.ndarray) -> None:
    """A group is within its limits, or as near as its devices can come."""
    both, groups = curves(one), len(one.group_least_w)
    sums, low, high = (
        np.bincount(one.group, weights=w, minlength=groups)
        for w in (power, both.least_w, both.most_w)
    )
    assert (sums <= np.maximum(one.group_most_w, low) + 1e-9).all()
    assert (sums >= np.minimum(one.group_least_w, high) - 1e-9).all()


@st.composite
def instances(draw: st.DrawFn) -> tuple[Problem, float]:
    n = draw(st.integers(0, 6))
    groups = draw(st.integers(1, 3))

    def column(low: float, high: float) -> np.ndarray:
        values = st.one_of(st.sampled_from([0.0, low, high]), st.floats(low, high))
        return np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=float)

    least = column(-11.5, 3.0)
    one = Problem(
        least_w=least,
        most_w=least + column(0.0, 20.0),
        weight_up=column(0.0, 1e3),
        weight_down=column(0.0, 1e3),
        wear=column(0.0, 10.0),
        stick=column(0.0, 1e3),
        held_w=column(-50.0, 50.0),
        min_w=np.zeros(n),
        group=np.array(draw(st.lists(st.integers(0, groups - 1), min_size=n, max_size=n)), int),
        group_least_w=np.array(draw(st.lists(LIMITS, min_size=groups, max_size=groups))),
        group_most_w=np.array(draw(st.lists(LIMITS, min_size=groups, max_size=groups))),
    )
    return one, draw(st.floats(-60.0, 60.0))


LIMITS = st.one_of(st.floats(-30.0, 30.0), st.sampled_from([-np.inf, np.inf]))


@given(instances())
def test_bounds_groups_and_sum_hold_whatever_comes(instance: tuple[Problem, float]) -> None:
    one, asked = instance
    found = allocate(one, asked)
    p = found.setpoint_w
    assert (p >= one.least_w).all()
    assert (p <= one.most_w).all()
    assert float(p.sum()) + found.missing_w == pytest.approx(asked, rel=1e-9, abs=1e-9)
    assert np.isfinite(found.price) == (found.missing_w == 0.0)
    sure = one.group_least_w <= one.group_most_w
    if sure.all():
        assert_groups(one, p)


@given(instances(), st.floats(0.0, 8.0))
def test_a_least_power_is_held_or_the_device_rests(
    instance: tuple[Problem, float], least: float
) -> None:
    one, asked = instance
    one = replace(one, min_w=np.full(len(one.least_w), least))
    p = allocate(one, asked).setpoint_w
    assert (p >= one.least_w).all()
    assert (p <= one.most_w).all()
    can_rest = (one.least_w <= 0.0) & (one.most_w >= 0.0)
    assert ((p == 0.0) | (np.abs(p) >= least) | ~can_rest).all()


def test_without_devices_all_is_missing() -> None:
    found = allocate(equal_devices(0), 3.0)
    assert (len(found.setpoint_w), found.missing_w, found.price) == (0, 3.0, np.inf)
    assert allocate(equal_devices(0), 0.0).missing_w == 0.0


def test_energy_is_used_up_in_the_same_time() -> None:
    found = allocate(equal_devices(3, weight_up=np.array([1.0, 2.0, 5.0])), 4.0)
    np.testing.assert_allclose(found.setpoint_w, [0.5, 1.0, 2.5])
    assert found.price == pytest.approx(0.5)


def test_nothing_is_given_without_weight() -> None:
    found = allocate(equal_devices(2, weight_up=np.array([0.0, 10.0])), 8.0)
    assert found.setpoint_w.tolist() == [0.0, 5.0]
    assert found.missing_w == 3.0
    sticks = allocate(equal_devices(2, weight_up=0.0, weight_down=0.0, stick=1.0, held_w=4.0), 3.0)
    assert sticks.setpoint_w.tolist() == [0.0, 0.0]
    assert sticks.missing_w == 3.0


def test_what_is_beyond_bounds_is_named_with_its_sign() -> None:
    found = allocate(equal_devices(3), -20.0)
    assert found.setpoint_w.tolist() == [-5.0] * 3
    assert (found.missing_w, found.price) == (-5.0, -np.inf)
    forced = allocate(equal_devices(2, least_w=2.0), 1.0)
    assert forced.setpoint_w.tolist() == [2.0, 2.0]
    assert forced.missing_w == -3.0


def test_where_bounds_cross_the_upper_one_holds() -> None:
    one = equal_devices(2, least_w=np.array([3.0, -5.0]), most_w=np.array([2.0, 5.0]))
    assert allocate(one, 0.0).setpoint_w.tolist() == [2.0, -2.0]


def test_a_setpoint_outside_its_bounds_only_pulls() -> None:
    one = equal_devices(2, held_w=np.array([50.0, 0.0]), stick=1.0)
    found = allocate(one, 6.0)
    assert found.setpoint_w.tolist() == [5.0, 1.0]


def test_what_was_never_held_is_not_looked_at() -> None:
    np.testing.assert_allclose(
        allocate(equal_devices(2, held_w=np.nan), 4.0).setpoint_w, [2.0, 2.0]
    )


def test_wear_keeps_devices_at_rest_and_sticking_keeps_them_where_they_are() -> None:
    worn = allocate(equal_devices(2, wear=np.array([0.0, 1.0])), 4.0)
    assert worn.setpoint_w.tolist() == [4.0, 0.0]
    sticky = allocate(equal_devices(2, stick=10.0, held_w=np.array([3.0, 1.0])), 4.0)
    np.testing.assert_allclose(sticky.setpoint_w, [3.0, 1.0], atol=0.02)


def test_a_feeder_at_its_limit_leaves_the_rest_to_the_others() -> None:
    one = equal_devices(
        4,
        group=np.array([0, 0, 1, 1]),
        group_least_w=np.array([-np.inf, -np.inf]),
        group_most_w=np.array([3.0, np.inf]),
    )
    np.testing.assert_allclose(allocate(one, 10.0).setpoint_w, [1.5, 1.5, 3.5, 3.5])
    short = allocate(one, 20.0)
    np.testing.assert_allclose(short.setpoint_w, [1.5, 1.5, 5.0, 5.0])
    assert short.missing_w == pytest.approx(7.0)


def test_a_feeder_may_have_to_charge_while_the_region_discharges() -> None:
    one = equal_devices(
        2,
        group=np.array([0, 1]),
        group_least_w=np.array([-np.inf, -np.inf]),
        group_most_w=np.array([-2.0, np.inf]),
    )
    np.testing.assert_allclose(allocate(one, 1.0).setpoint_w, [-2.0, 3.0])


def test_few_devices_run_where_each_has_a_least_power() -> None:
    weights = np.linspace(5.0, 10.0, 10)
    found = allocate(equal_devices(10, min_w=1.0, weight_up=weights), 3.5)
    assert found.missing_w == 0.0
    assert np.flatnonzero(found.setpoint_w).tolist() == [7, 8, 9]
    assert float(found.setpoint_w.sum()) == pytest.approx(3.5, rel=1e-12)
    mirrored = allocate(equal_devices(10, min_w=1.0, weight_down=weights), -3.5)
    np.testing.assert_allclose(mirrored.setpoint_w, -found.setpoint_w)


def test_a_device_is_raised_to_its_least_power_where_it_is_needed() -> None:
    one = equal_devices(
        2, most_w=np.array([10.0, 5.0]), weight_up=np.array([100.0, 1.0]), min_w=5.0
    )
    found = allocate(one, 11.0)
    np.testing.assert_allclose(found.setpoint_w, [6.0, 5.0])


def switchable(n: int, rng: np.random.Generator) -> tuple[Problem, float]:
    """Devices that may all rest, with least powers of up to 2, and a total within their reach."""
    one = random_problem(n, rng)
    one = replace(one, least_w=one.least_w.clip(max=0.0), most_w=one.most_w.clip(min=0.0))
    low, high = reach(one)
    return replace(one, min_w=rng.choice([0.0, 1.0, 2.0], n)), low + (high - low) * rng.random()


@pytest.mark.parametrize("seed", range(20))
def test_least_powers_lose_less_than_one_of_them_against_all_choices(seed: int) -> None:
    one, asked = switchable(4, np.random.default_rng(seed))
    least = np.inf
    for state in map(np.array, product((-1, 0, 1), repeat=4)):
        low = np.select([state > 0, state < 0], [one.min_w, one.least_w], 0.0)
        high = np.select([state > 0, state < 0], [one.most_w, -one.min_w], 0.0)
        weighs = np.select([state > 0, state < 0], [one.weight_up, one.weight_down], 1.0) > 0.0
        if (low <= high).all() and weighs.all():
            chosen = replace(one, least_w=low, most_w=high, min_w=np.zeros(4))
            least = min(least, abs(allocate(chosen, asked).missing_w))
    assert abs(allocate(one, asked).missing_w) <= least + 2.0


@pytest.mark.parametrize("seed", range(20))
def test_among_many_devices_least_powers_leave_nothing_missing(seed: int) -> None:
    one, asked = switchable(50, np.random.default_rng(seed))
    assert allocate(one, asked).missing_w == 0.0


def test_less_than_any_least_power_is_missing() -> None:
    found = allocate(equal_devices(3, min_w=1.0), 0.5)
    assert found.setpoint_w.tolist() == [0.0] * 3
    assert found.missing_w == 0.5


def test_small_feeders_share_one_device_that_runs() -> None:
    one = equal_devices(
        6,
        min_w=1.0,
        group=np.array([0, 0, 1, 1, 2, 2]),
        group_least_w=np.full(3, -np.inf),
        group_most_w=np.array([0.9, 4.0, 4.0]),
    )
    found = allocate(one, 1.5)
    assert found.missing_w == 0.0
    assert found.setpoint_w[:2].tolist() == [0.0, 0.0]


def test_numbers_that_are_none_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="not finite"):
        allocate(equal_devices(2, most_w=np.nan), 1.0)
    with pytest.raises(ValueError, match="not finite"):
        allocate(equal_devices(2, weight_up=np.inf), 1.0)
    with pytest.raises(ValueError, match="not a number"):
        allocate(equal_devices(2), np.nan)


def test_a_million_unequal_devices_sum_exactly() -> None:
    rng = np.random.default_rng(8)
    n = 1_000_000
    one = equal_devices(
        n,
        weight_up=rng.lognormal(2.0, 3.0, n),
        wear=rng.choice([0.0, 0.1], n),
        stick=rng.choice([0.0, 0.5], n),
        held_w=rng.normal(0.0, 3.0, n),
    )
    for asked in (1.0, -3.21e6, 4.9e6):
        found = allocate(one, asked)
        assert found.missing_w == 0.0
        assert abs(float(found.setpoint_w.sum()) - asked) <= 1e-9 * abs(asked)
