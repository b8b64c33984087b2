"""Frequency droop: dead band, slope, saturation, and rows that are not armed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.droop import Droops, droop_w
from schemas.grid import Droop

DROOP = Droop(nominal_hz=60.0, dead_band_hz=0.036, droop=0.04)
HZ = st.floats(55, 65)


@pytest.mark.parametrize(
    ("hz", "added_w"),
    [
        (60.0, 0.0),
        (59.964, 0.0),
        (60.036, 0.0),
        (59.964 - 0.24, 500.0),  # a tenth of 4 % of 60 Hz beyond the dead band
        (60.036 + 0.24, -300.0),
        (59.964 - 2.4, 5000.0),
        (57.0, 5000.0),
        (63.0, -3000.0),
        (float("nan"), 0.0),
    ],
)
def test_known_points(hz: float, added_w: float) -> None:
    assert droop_w(hz, DROOP, 3000.0, 5000.0) == pytest.approx(added_w, abs=1e-6)


@given(HZ, HZ)
def test_it_never_rises_with_frequency_and_keeps_to_the_ratings(a: float, b: float) -> None:
    low, high = sorted((a, b))
    at_low, at_high = (float(droop_w(hz, DROOP, 3000.0, 5000.0)) for hz in (low, high))
    assert at_low >= at_high
    assert -3000 <= at_high <= at_low <= 5000


@given(st.floats(0, 5))
def test_equal_ratings_answer_both_ways_alike(off_hz: float) -> None:
    up, down = (float(droop_w(60 + d, DROOP, 4e3, 4e3)) for d in (-off_hz, off_hz))
    assert up == pytest.approx(-down, abs=1e-6)


def test_by_columns_each_row_has_its_own_and_nan_is_not_armed() -> None:
    droops = Droops(
        np.array([60.0, np.nan, 50.0]), np.array([0.036, 0.036, 0.0]), np.array([0.04, 0.04, 0.08])
    )
    rated = np.array([1000.0, 1000.0, 1000.0])
    added = droop_w(np.array([59.0, 59.0, 49.6]), droops, rated, rated)
    expected = (1 - 0.036) / 2.4 * 1000
    np.testing.assert_allclose(added, [expected, 0.0, 100.0])
