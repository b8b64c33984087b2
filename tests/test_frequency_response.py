"""Proof of frequency response: what was called for against what was given."""

import numpy as np
import pytest

from schemas.grid import Droop
from vpp_streams.domain.droop import droop_w
from vpp_streams.domain.frequency_response import Response, responses

DROOP = Droop(nominal_hz=60.0, dead_band_hz=0.036, droop=0.04)
RATED = np.array([5000.0, 10_000.0])
HZ = np.array([60.0] * 40 + [59.8] * 20 + [60.0] * 10)


def prove(power_w: np.ndarray, hz: np.ndarray = HZ, device: int = 0) -> list[Response]:
    seconds = len(hz)
    return responses(
        np.full(seconds, device, np.int64),
        np.arange(seconds, dtype=np.int64) * 1000,
        hz,
        power_w,
        DROOP,
        RATED,
        RATED,
    )


def called_for(hz: np.ndarray = HZ, device: int = 0) -> np.ndarray:
    ratings = np.full(len(hz), RATED[device])
    return droop_w(hz, DROOP, ratings, ratings)


def test_a_device_that_does_as_armed_gives_all_that_was_called_for() -> None:
    (response,) = prove(1500.0 + called_for())
    assert response.share == pytest.approx(1.0)
    assert response.baseline_w == pytest.approx(1500.0)
    assert response.seconds == 20.0
    assert response.expected_w > 0, "a low frequency calls for discharge"


def test_half_and_late_and_wrong_way_are_seen() -> None:
    late = np.roll(called_for(), 5)
    assert prove(1500.0 + called_for() / 2)[0].share == pytest.approx(0.5)
    assert prove(1500.0 + late)[0].share == pytest.approx(0.75)
    assert prove(1500.0 - called_for())[0].share == pytest.approx(-1.0)


def test_samples_in_any_order_and_holes_change_nothing() -> None:
    power = 1500.0 + called_for()
    power[45] = np.nan
    order = np.random.default_rng(1).permutation(len(HZ))
    shuffled = responses(
        np.ones(len(HZ), np.int64), order * 1000, HZ[order], (power * 2 - 1500.0)[order],
        DROOP, RATED, RATED,
    )  # fmt: skip
    assert shuffled[0].device == 1
    assert shuffled[0].share == pytest.approx(1.0)


def test_without_an_excursion_or_a_baseline_nothing_is_claimed() -> None:
    assert prove(np.zeros(70), hz=np.full(70, 60.02)) == []
    assert prove(np.zeros(70), hz=np.full(70, 59.8)) == []
    assert prove(np.zeros(0), hz=np.zeros(0)) == []
