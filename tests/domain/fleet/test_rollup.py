"""Roll-up of devices to regions: sums, who counts, and what can be delivered."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.windows import Aggregate
from tests.support.fleet_columns import NAN, NOW_MS, REGIONS, SILENT_AFTER_MS, Home, Unit, columns
from vpp_streams.domain.fleet.regions import merge_aggregates
from vpp_streams.domain.fleet.rollup import (
    WindowRows,
    aggregate_regions,
    deliverable_w,
    region_window_partials,
    reporting_devices,
)


def aggregate(homes: Sequence[Home]) -> dict[str, Aggregate]:
    return aggregate_regions(*columns(homes), NOW_MS, SILENT_AFTER_MS)


def deliverable(homes: Sequence[Home], duration_s: int) -> tuple[np.ndarray, np.ndarray]:
    latest, ratings = columns(homes)
    reporting = reporting_devices(latest, NOW_MS, SILENT_AFTER_MS)
    return deliverable_w(latest, ratings, reporting, duration_s)


power = st.one_of(st.just(NAN), st.floats(-20_000, 20_000))
gain = st.one_of(st.just(NAN), st.floats(0, 20_000))
rating = st.floats(0, 50_000)
limit = st.one_of(st.just(math.inf), st.floats(0, 10_000))
unit = st.builds(
    Unit,
    age_ms=st.sampled_from([0, 900, 9_999, 10_101, 60_000]),
    battery_w=power,
    grid_w=power,
    solar_w=gain,
    load_w=gain,
    soc=st.one_of(st.just(NAN), st.floats(0, 1)),
    energy_wh=rating,
    charge_w=rating,
    discharge_w=rating,
)
home = st.builds(
    Home,
    units=st.lists(unit, min_size=1, max_size=3).map(tuple),
    region=st.sampled_from([-1, 0, 1]),
    reserve=st.floats(0, 1),
    export_limit_w=limit,
    import_limit_w=limit,
)
homes = st.lists(home, max_size=8)


def close(a: Aggregate, b: Aggregate) -> bool:
    flat_a, flat_b = (
        [
            *(v for v in msgspec.structs.astuple(x) if not isinstance(v, tuple)),
            *(v for held in x.deliverable for v in msgspec.structs.astuple(held)),
        ]
        for x in (a, b)
    )
    return len(flat_a) == len(flat_b) and all(
        x == y or (x is not None and y is not None and math.isclose(x, y, abs_tol=1e-6))
        for x, y in zip(flat_a, flat_b, strict=True)
    )


@given(st.lists(homes, min_size=1, max_size=4))
def test_merging_partitions_equals_aggregating_all_at_once(parts: list[list[Home]]) -> None:
    shares = [aggregate(part) for part in parts]
    whole = aggregate([home for part in parts for home in part])
    assert whole.keys() == set().union(*shares)
    for region, expected in whole.items():
        merged = merge_aggregates([share[region] for share in shares if region in share])
        assert close(merged, expected)


@given(homes)
def test_sums_equal_a_plain_loop(homes: list[Home]) -> None:
    for r, region in enumerate(REGIONS):
        mine = [home for home in homes if home.region == r]
        heard = [u for home in mine for u in home.units if u.age_ms - 100 <= SILENT_AFTER_MS]
        if not mine:
            assert region not in aggregate(homes)
            continue
        got = aggregate(homes)[region]
        assert got.sites_expected == len(mine)
        assert got.sites_reporting == sum(any(u in heard for u in home.units) for home in mine)
        for name in ("battery_w", "solar_w"):
            known = [getattr(u, name) for u in heard if not math.isnan(getattr(u, name))]
            assert getattr(got, name) == pytest.approx(sum(known), abs=1e-6)
        for name in ("grid_w", "load_w"):  # a site has one meter, whoever reports it
            told = [[getattr(u, name) for u in home.units if u in heard] for home in mine]
            first = [next((w for w in site if not math.isnan(w)), 0.0) for site in told]
            assert getattr(got, name) == pytest.approx(sum(first), abs=1e-6)
        known_soc = [u for u in heard if not math.isnan(u.soc)]
        assert got.usable_wh == pytest.approx(sum(u.energy_wh for u in known_soc))
        assert got.stored_wh == pytest.approx(sum(u.energy_wh * u.soc for u in known_soc))
        oldest = max((u.age_ms for u in heard), default=None)
        assert got.oldest_sample_ms == (None if oldest is None else NOW_MS - oldest)


@given(home, st.integers(60, 86_400))
def test_deliverable_exceeds_neither_ratings_nor_energy_nor_limits(
    home: Home, duration_s: int
) -> None:
    (up,), (down,) = deliverable([home], duration_s)
    able = [u for u in home.units if u.age_ms - 100 <= SILENT_AFTER_MS and not math.isnan(u.soc)]
    hours = duration_s / 3600
    assert 0 <= up <= sum(u.discharge_w for u in able) + 1e-6
    assert 0 <= down <= sum(u.charge_w for u in able) + 1e-6
    above = sum(max(u.soc - home.reserve, 0) * u.energy_wh for u in able)
    assert up * hours <= above + 1e-6
    assert down * hours <= sum((1 - u.soc) * u.energy_wh for u in able) + 1e-6


@given(home, st.integers(60, 86_400), st.integers(0, 86_400))
def test_what_holds_for_longer_holds_for_shorter(home: Home, duration_s: int, more_s: int) -> None:
    for side in (0, 1):
        (short,) = deliverable([home], duration_s)[side]
        (long,) = deliverable([home], duration_s + more_s)[side]
        assert long <= short + 1e-9


@given(home)
def test_the_grid_connection_is_never_exceeded(home: Home) -> None:
    """With one device that measures everything, the flow at the meter is known."""
    (first, *_) = home.units
    unit = replace(first, age_ms=0, solar_w=3_000.0, load_w=1_000.0, soc=0.6)
    (up,), (down,) = deliverable([replace(home, units=(unit,))], 900)
    export_w = up - unit.load_w + unit.solar_w
    import_w = down + unit.load_w - unit.solar_w
    assert export_w <= max(home.export_limit_w, unit.solar_w - unit.load_w) + 1e-6
    assert import_w <= max(home.import_limit_w, unit.load_w - unit.solar_w) + 1e-6


@pytest.mark.parametrize(
    ("measured", "up_w", "down_w"),
    [
        pytest.param({"load_w": 1_000.0, "solar_w": 400.0}, 3_600.0, 3_400.0, id="load-and-solar"),
        pytest.param({"grid_w": 100.0, "battery_w": 500.0}, 3_600.0, 3_400.0, id="meter"),
        pytest.param({"solar_w": 400.0}, 2_600.0, 4_000.0, id="solar-only-assumes-no-load"),
        pytest.param({"load_w": 1_000.0}, 3_000.0, 3_000.0, id="load-only-assumes-no-sun"),
        pytest.param({}, 3_000.0, 4_000.0, id="nothing"),
    ],
)
def test_headroom_of_the_connection(measured: dict[str, Any], up_w: float, down_w: float) -> None:
    unknown: dict[str, Any] = dict.fromkeys(("battery_w", "grid_w", "solar_w", "load_w"), NAN)
    unit = Unit(**{**unknown, **measured}, energy_wh=1e6, charge_w=1e5, discharge_w=1e5)
    home = Home((unit,), export_limit_w=3_000.0, import_limit_w=4_000.0)
    up, down = deliverable([home], 900)
    assert (up[0], down[0]) == (pytest.approx(up_w), pytest.approx(down_w))


def test_a_silent_site_leaves_sums_and_deliverable_but_is_still_expected() -> None:
    talking = Home((Unit(battery_w=1_000.0),))
    silent = Home((Unit(age_ms=SILENT_AFTER_MS + 101, battery_w=7_000.0),))
    alone, both = aggregate([talking])["north"], aggregate([talking, silent])["north"]
    assert both == msgspec.structs.replace(alone, sites_expected=2)


def test_a_site_reports_as_soon_as_one_of_its_devices_does() -> None:
    home = Home((Unit(battery_w=1_000.0), Unit(age_ms=60_000, battery_w=7_000.0)))
    got = aggregate([home])["north"]
    assert (got.sites_reporting, got.battery_w) == (1, 1_000.0)


def test_a_device_that_never_spoke_is_silent_even_at_the_beginning_of_time() -> None:
    latest, ratings = columns([Home()])
    never = np.zeros(1, np.int64)
    latest = replace(latest, measured_at_ms=never, received_at_ms=never)
    assert aggregate_regions(latest, ratings, 0, SILENT_AFTER_MS)["north"].sites_reporting == 0


def test_an_empty_partition_has_no_regions() -> None:
    assert aggregate([]) == {}


def test_deliverable_is_well_below_the_nameplates() -> None:
    """As in the published study where 4784 kW of nameplates were 2208 kW deliverable."""
    fleet = [
        Home((Unit(soc=soc, energy_wh=13_500.0),), export_limit_w=4_000.0)
        for soc in np.linspace(0.0, 1.0, 50)
    ]
    nameplate_w = sum(unit.discharge_w for home in fleet for unit in home.units)
    by_duration = {d.duration_s: d for d in aggregate(fleet)["north"].deliverable}
    assert nameplate_w > by_duration[900].up_w > by_duration[3600].up_w > by_duration[14400].up_w
    # 4 h at soc s: min(4000, (s - 0.2) * 13500 / 4) W of each home.
    reference = sum(min(4_000.0, max(s - 0.2, 0) * 13_500 / 4) for s in np.linspace(0.0, 1.0, 50))
    assert by_duration[14400].up_w == pytest.approx(reference)


def test_window_shares_add_up_and_leave_out_what_was_never_measured() -> None:
    positive = np.array([[10.0, 5.0, 99.0], [1.0, NAN, 99.0], [NAN, NAN, 99.0], [4.0, 2.0, 99.0]])
    negative = np.array([[3.0, 0.0, 99.0], [2.0, NAN, 99.0], [NAN, NAN, 99.0], [0.0, 0.0, 99.0]])
    rows = WindowRows(
        region=np.array([1, 1, -1]),
        readings=np.array([60, 30, 60]),
        coverage=np.array([1.0, 0.5, 1.0]),
        positive_wh=positive,
        negative_wh=negative,
        soc_first=np.array([0.5, NAN, 0.9]),
        soc_last=np.array([0.4, NAN, 0.9]),
        usable_wh=np.array([10_000.0, 5_000.0, 1.0]),
    )
    shares = region_window_partials(rows, ("empty", "south", "quiet"), np.array([0, 3, 2]))
    assert shares.keys() == {"south", "quiet"}
    south, quiet = shares["south"], shares["quiet"]
    assert (south.sites_expected, south.sites_reporting, south.readings) == (3, 2, 90)
    assert south.coverage_sum == 1.5
    assert (south.battery.energy_wh, south.battery.positive_wh) == (12.0, 15.0)
    assert (south.grid.energy_wh, south.grid.negative_wh) == (-1.0, 2.0)
    assert (south.solar.energy_wh, south.load.energy_wh) == (0.0, 6.0)
    assert (south.stored_first_wh, south.stored_last_wh) == (5_000.0, 4_000.0)
    assert south.usable_wh == 10_000.0
    assert (quiet.sites_expected, quiet.sites_reporting, quiet.readings) == (2, 0, 0)
