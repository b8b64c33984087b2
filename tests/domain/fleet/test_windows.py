"""Window sums: exact, whatever the order, and every millisecond in exactly one window."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.fleet.columnar import Columns
from vpp_streams.domain.fleet.site_sums import SiteRows
from vpp_streams.domain.fleet.site_windows import SiteWindows
from vpp_streams.domain.fleet.windows import WINDOW_COLUMNS, Samples, accumulate, split

SIZE = 60_000
NAN = float("nan")
ROWS = SiteRows(
    site=np.arange(4),
    site_ids=("a", "b", "c", "d"),
    regions=("r",) * 4,
    devices=np.ones(4, np.int64),
    rated_energy_wh=np.ones(4),
)
watts = st.one_of(st.just(NAN), st.floats(-1e5, 1e5))
reading = st.tuples(
    st.integers(0, 3),  # row
    st.integers(0, 10 * SIZE),  # measured_at_ms
    st.integers(1, 3 * SIZE),  # interval_ms
    watts,
    st.one_of(st.just(NAN), st.floats(0, 1)),
)


def samples(readings: list[tuple[int, int, int, float, float]]) -> Samples:
    row, at, interval, w, soc = zip(*readings, strict=True)
    power = np.array([w, [-x for x in w], w, w], np.float64)
    return Samples(
        np.array(row),
        np.array(at),
        np.array(interval),
        power,
        np.array(soc, np.float64),
        np.zeros(len(row), bool),
    )


def windows(frames: list[list[tuple[int, int, int, float, float]]]) -> dict[int, Columns]:
    tables: dict[int, Columns] = {}
    for frame in filter(None, frames):
        for start, share in split(samples(frame), SIZE).items():
            table = tables.setdefault(start, Columns(WINDOW_COLUMNS))
            table.grow(4)
            accumulate(table.arrays, share)
    return tables


@given(st.lists(reading, min_size=1, max_size=40))
def test_every_reading_and_every_watt_second_lands_once(
    readings: list[tuple[int, int, int, float, float]],
) -> None:
    tables = windows([readings])
    assert sum(t["readings"].sum() for t in tables.values()) == len(readings)
    assert sum(t["covered_ms"].sum() for t in tables.values()) == sum(r[2] for r in readings)
    energy = sum(t["positive_wms"][0].sum() - t["negative_wms"][0].sum() for t in tables.values())
    expected = sum(r[2] * r[3] for r in readings if r[3] == r[3])
    assert energy == pytest.approx(expected, rel=1e-9, abs=1e-3)
    for start, table in tables.items():
        for row in range(4):
            here = [
                r
                for r in readings
                if r[0] == row and r[1] < start + SIZE and r[1] + r[2] > start and r[3] == r[3]
            ]
            low = min((r[3] for r in here), default=NAN)
            assert table["min_w"][0, row] == pytest.approx(low, nan_ok=True)
            assert table["max_w"][1, row] == pytest.approx(-low, nan_ok=True)


@given(st.lists(reading, min_size=1, max_size=30, unique_by=lambda r: r[1]), st.randoms())
def test_order_and_framing_do_not_matter(
    readings: list[tuple[int, int, int, float, float]], random: Random
) -> None:
    shuffled = readings[:]
    random.shuffle(shuffled)
    cut = random.randrange(len(shuffled) + 1)
    one, other = windows([readings]), windows([shuffled[:cut], shuffled[cut:]])
    assert one.keys() == other.keys()
    for start, table in one.items():
        for name in WINDOW_COLUMNS:
            np.testing.assert_allclose(
                other[start][name], table[name], rtol=1e-9, atol=1e-3, err_msg=name
            )


def test_a_reading_across_a_boundary_is_shared_and_counted_once() -> None:
    tables = windows([[(0, 59_600, 1000, 3600.0, 0.5)]])
    assert [t["covered_ms"][0] for _, t in sorted(tables.items())] == [400, 600]
    assert [t["readings"][0] for _, t in sorted(tables.items())] == [1, 0]


def test_soc_first_and_last_follow_measured_time_not_arrival() -> None:
    tables = windows(
        [[(0, 5000, 1000, 1.0, 0.5)], [(0, 1000, 1000, 1.0, 0.4)], [(0, 9000, 1000, 1.0, NAN)]]
    )
    table = tables[0]
    assert (table["soc_first"][0], table["soc_last"][0]) == (0.4, 0.5)
    assert (table["soc_min"][0], table["soc_max"][0]) == (0.4, 0.5)


@given(st.lists(st.lists(reading, max_size=8), max_size=5))
def test_a_frame_that_has_each_row_once_needs_no_sort(
    frames: list[list[tuple[int, int, int, float, float]]],
) -> None:
    fast, plain = Columns(WINDOW_COLUMNS), Columns(WINDOW_COLUMNS)
    for table in (fast, plain):
        table.grow(4)
    for frame in frames:
        once = list({r[0]: r for r in frame}.values())
        for share in split(samples(once), SIZE).values() if once else ():
            accumulate(fast.arrays, share, each_once=True)
            accumulate(plain.arrays, share)
    for name in WINDOW_COLUMNS:
        np.testing.assert_array_equal(fast[name], plain[name], err_msg=name)


@given(st.lists(reading, min_size=1, max_size=30, unique_by=lambda r: r[1]))
def test_a_longer_window_is_the_sum_of_the_shorter_ones_in_it(
    readings: list[tuple[int, int, int, float, float]],
) -> None:
    together, apart = SiteWindows((SIZE, 5 * SIZE)), SiteWindows((5 * SIZE,))
    together.add(samples(readings), 4, each_once=False)
    apart.add(samples(readings), 4, each_once=False)
    for key in apart.windows:
        whole, alone = together.sums(key, None, ROWS), apart.sums(key, None, ROWS)
        assert list(map(repr, whole.sites)) == list(map(repr, alone.sites))
        for name in ("readings", "coverage", "positive_wh", "negative_wh", "min_w", "max_w", "soc"):
            np.testing.assert_allclose(
                getattr(whole, name), getattr(alone, name), rtol=1e-9, atol=1e-9, err_msg=name
            )
