"""Problems of splitting a region's power among its devices."""

from dataclasses import replace
from typing import Any

import numpy as np

from vpp_streams.domain.control.curves import Problem, curves


def random_problem(n: int, rng: np.random.Generator, groups: int = 1) -> Problem:
    """Return n homes in kW and kWh: some full, empty, forced to run, worn, or off their bounds."""
    energy = rng.choice([0.0, 5.0, 13.5, 27.0], n) * rng.random(n)
    rating = rng.choice([0.0, 5.0, 7.0, 11.5], n)
    least = -rating * (rng.random(n) < 0.8)
    forced = rng.random(n) < 0.1
    least[forced] = 0.5 * rating[forced]
    return Problem(
        least_w=least,
        most_w=np.maximum(rating * rng.choice([1.0, 0.3], n), least),
        weight_up=energy,
        weight_down=rng.choice([0.0, 13.5], n) * rng.random(n),
        wear=rng.choice([0.0, 0.05], n),
        stick=rng.choice([0.0, 0.01, 1.0], n),
        held_w=rng.normal(0.0, 5.0, n),
        min_w=np.zeros(n),
        group=rng.integers(0, groups, n),
        group_least_w=np.full(groups, -np.inf),
        group_most_w=np.full(groups, np.inf),
    )


def with_group_limits(one: Problem, rng: np.random.Generator) -> Problem:
    """Return the problem with limits on some of its groups that their devices can keep."""
    both, groups = curves(one), len(one.group_least_w)
    low = np.bincount(one.group, weights=both.least_w, minlength=groups)
    high = np.bincount(one.group, weights=both.most_w, minlength=groups)
    cuts = np.sort(rng.random((2, groups)), axis=0)
    return replace(
        one,
        group_least_w=np.where(rng.random(groups) < 0.6, low + cuts[0] * (high - low), -np.inf),
        group_most_w=np.where(rng.random(groups) < 0.6, low + cuts[1] * (high - low), np.inf),
    )


def equal_devices(n: int, **columns: Any) -> Problem:
    """Return n equal devices: 5 kW and 10 kWh each way, nothing else; ``columns`` override."""
    known = {"least_w": -5.0, "most_w": 5.0, "weight_up": 10.0, "weight_down": 10.0}
    known |= {"wear": 0.0, "stick": 0.0, "held_w": 0.0, "min_w": 0.0} | columns
    group = columns.get("group", np.zeros(n, int))
    limits: dict[str, Any] = {
        "group_least_w": columns.get("group_least_w", np.array([-np.inf])),
        "group_most_w": columns.get("group_most_w", np.array([np.inf])),
    }
    columns = {k: np.full(n, v) for k, v in known.items() if k not in {"group", *limits}}
    return Problem(**columns, group=group, **limits)
