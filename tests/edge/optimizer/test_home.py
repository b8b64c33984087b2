"""Limits and tariffs: what is refused, and what is expected of unknown prices."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.optimizer.home import Home, Tariff, continued, dynamic

NAN = float("nan")


def test_known_steps_end_at_the_first_unknown_price() -> None:
    buy, sell = np.array([0.1, 0.2, 0.3, NAN]), np.array([0.0, 0.1, NAN, 0.0])
    assert Tariff(buy, sell, 1800.0).known_steps == 2
    assert Tariff(buy[:2], sell[:2], 1800.0).known_steps == 2


def test_a_dynamic_tariff_has_fees_and_tax_on_purchases_only() -> None:
    made = dynamic(np.array([100.0, -50.0]), step_s=3600.0, fees_per_kwh=0.15, tax=0.2)
    np.testing.assert_allclose(made.buy, [0.3, 0.12])
    np.testing.assert_allclose(made.sell, [0.1, -0.05])


def test_unknown_prices_are_expected_as_in_the_last_days() -> None:
    past = np.array([1.0, 2.0, 3.0, 3.0, 4.0, 5.0])  # two days of three slots
    ahead = continued(np.array([6.0, NAN, NAN, NAN]), past, 3)
    np.testing.assert_allclose(ahead, [6.0, 3.0, 4.0, 10.0 / 3.0])


def test_a_slot_that_no_day_knows_stays_unknown() -> None:
    ahead = continued(np.array([6.0, NAN, NAN]), np.zeros(0), 2)
    np.testing.assert_allclose(ahead, [6.0, NAN, 6.0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"energy_wh": -1.0},
        {"charge_w": NAN},
        {"charge_efficiency": 0.0},
        {"discharge_efficiency": 1.1},
        {"reserve_soc": 1.2},
        {"export_limit_w": -1.0},
        {"import_limit_w": NAN},
    ],
)
def test_impossible_ratings_are_refused(wrong: dict[str, Any]) -> None:
    possible = Home(energy_wh=1.0, charge_w=1.0, discharge_w=1.0)
    with pytest.raises(ValueError, match=r"finite|efficiency|fraction|limits"):
        replace(possible, **wrong)
