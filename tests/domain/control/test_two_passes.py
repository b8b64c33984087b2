"""Many devices in two compiled passes: the allocation that numpy finds."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.allocation_problems import random_problem, with_group_limits
from tests.support.compiled_kernels import compiled, numpy_only
from vpp_streams.domain.control import two_passes
from vpp_streams.domain.control.allocate import allocate
from vpp_streams.domain.control.curves import Problem, curves
from vpp_streams.domain.control.sharing import Allocation
from vpp_streams.domain.control.two_passes import LEAST_DEVICES, share_out_compiled


@pytest.fixture(autouse=True)
def with_compiled_loops() -> None:
    compiled()


def by_numpy(one: Problem, total_w: float) -> Allocation:
    with numpy_only():
        return allocate(one, total_w)


def totals(one: Problem, rng: np.random.Generator) -> list[float]:
    """Totals within reach, at its ends, and beyond."""
    both = curves(one)
    low, high = float(both.least_w.sum()), float(both.most_w.sum())
    inner = low + (high - low) * rng.random(6)
    return [*inner.tolist(), low, high, low - 5.0, high + 5.0, 0.0]


def assert_same(found: Allocation, wanted: Allocation, total_w: float) -> None:
    np.testing.assert_allclose(found.setpoint_w, wanted.setpoint_w, atol=1e-6, rtol=0)
    assert found.missing_w == pytest.approx(wanted.missing_w, rel=1e-9, abs=1e-6)
    assert np.isfinite(found.price) == np.isfinite(wanted.price)
    given_w = float(found.setpoint_w.sum())
    assert given_w + found.missing_w == pytest.approx(total_w, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_numpy_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = random_problem(LEAST_DEVICES + int(rng.integers(0, 300)), rng)
    used = 0
    for total_w in totals(one, rng):
        found = share_out_compiled(one, total_w)
        used += found is not None
        assert_same(allocate(one, total_w), by_numpy(one, total_w), total_w)
    assert used >= 4


@pytest.mark.parametrize("minimum_w", [0.3, 2.0])
def test_least_powers_are_held_alike(minimum_w: float) -> None:
    rng = np.random.default_rng(9)
    one = random_problem(LEAST_DEVICES, rng)
    one = replace(one, min_w=np.full(LEAST_DEVICES, minimum_w))
    for total_w in (20_000.0, -20_000.0):
        assert_same(allocate(one, total_w), by_numpy(one, total_w), total_w)


def test_a_sample_that_misleads_costs_only_time() -> None:
    rng = np.random.default_rng(5)
    one = random_problem(LEAST_DEVICES, rng)
    wide = one.most_w.copy()
    wide[:: two_passes.SAMPLED] = 0.0  # those of the sample have nothing to give
    one = replace(one, most_w=np.maximum(wide, one.least_w))
    total_w = 0.5 * float(curves(one).most_w.sum())
    assert share_out_compiled(one, total_w) is None
    assert_same(allocate(one, total_w), by_numpy(one, total_w), total_w)


def test_what_has_limits_of_groups_or_few_devices_is_left_to_numpy() -> None:
    rng = np.random.default_rng(6)
    one = random_problem(LEAST_DEVICES, rng, groups=4)
    assert share_out_compiled(with_group_limits(one, rng), 1_000.0) is None
    assert share_out_compiled(random_problem(LEAST_DEVICES - 1, rng), 1_000.0) is None


def test_costs_and_totals_that_are_no_numbers_raise_as_with_few_devices() -> None:
    rng = np.random.default_rng(7)
    one = random_problem(LEAST_DEVICES, rng)
    with pytest.raises(ValueError, match="not a number"):
        allocate(one, np.nan)
    for row in (0, 17):  # in the sample, and not
        wear = one.wear.copy()
        wear[row] = np.nan
        with pytest.raises(ValueError, match="not finite"):
            allocate(replace(one, wear=wear), 1_000.0)


def test_equal_devices_share_equally() -> None:
    """No device differs from another, so a sample's sum has no deviation."""
    n = LEAST_DEVICES
    flat = np.full(n, 5.0)
    one = Problem(
        least_w=-flat,
        most_w=flat,
        weight_up=2 * flat,
        weight_down=2 * flat,
        wear=0 * flat,
        stick=0 * flat,
        held_w=0 * flat,
        min_w=0 * flat,
        group=np.zeros(n, np.int64),
        group_least_w=np.array([-np.inf]),
        group_most_w=np.array([np.inf]),
    )
    found = allocate(one, 2.0 * n)
    np.testing.assert_allclose(found.setpoint_w, 2.0)
    assert found.missing_w == 0.0
