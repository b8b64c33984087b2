"""Batches of site windows say what the sums say; what readers would refuse is kept apart."""

import numpy as np
import pytest

from schemas.bounds import PARTITIONS
from schemas.window_frames import windows_of
from tests.support.fleet_partition import SITES, partition, run, stream
from vpp_streams.domain.fleet import window_batches
from vpp_streams.domain.fleet.columnar import Columns
from vpp_streams.domain.fleet.site_sums import SiteRows, SiteSums
from vpp_streams.domain.fleet.window_batches import batches_of, records_of
from vpp_streams.domain.fleet.windows import WINDOW_COLUMNS
from vpp_streams.domain.registry.hashing import partition_of

ELSEWHERE = next(s for s in (f"home-{i}" for i in range(99)) if partition_of(s, PARTITIONS) != 0)


def sums_of(site_ids: tuple[str, ...], regions: tuple[str, ...], watts: float = 600.0) -> SiteSums:
    """A minute in which each site's battery discharged at this power."""
    n = len(site_ids)
    window = Columns(WINDOW_COLUMNS)
    window.grow(n)
    for name, value in (("readings", 60), ("covered_ms", 60_000), ("published", 1)):
        window[name][:n] = value
    window["positive_wms"][0, :n] = watts * 60_000
    window["power_ms"][0, :n] = 60_000
    window["min_w"][0, :n] = window["max_w"][0, :n] = watts
    rows = SiteRows(np.arange(n), site_ids, regions, np.ones(n, np.int64), np.ones(n))
    columns = {name: array[..., :n] for name, array in window.arrays.items()}
    return SiteSums((60_000, 1_800_000_000_000), columns, np.arange(n), rows)


def test_batches_hold_every_window_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_batches, "ROWS_AT_ONCE", 2)
    several = 0
    for out in run(partition(), stream(3)):
        for sums in out.sums:
            batches = list(batches_of(sums, 0))
            several += len(batches) > 1
            assert [w for batch in batches for w in windows_of(batch.frame)] == list(
                records_of(sums)
            )
            assert not any(batch.refused for batch in batches)
    assert several


def test_a_record_states_the_sums_and_none_where_nothing_was_measured() -> None:
    (window,) = records_of(sums_of((SITES[0],), ("north",)))
    assert (window.window_id, window.region) == (f"{SITES[0]}|60|1800000000000", "north")
    assert (window.readings, window.coverage, window.revision) == (60, 1.0, 0)
    assert window.battery is not None
    assert (window.battery.energy_wh, window.battery.mean_w, window.battery.max_w) == (10, 600, 600)
    assert (window.grid, window.solar, window.load, window.soc) == (None,) * 4


def test_no_site_gives_no_record() -> None:
    """A page of a site asks for all windows, also for those in which it has no reading."""
    nothing = sums_of((), ())
    assert list(records_of(nothing)) == []
    assert list(batches_of(nothing, 0)) == []


@pytest.mark.parametrize(
    ("site", "region", "watts"),
    [
        (SITES[1], "", 600.0),  # no longer registered
        (ELSEWHERE, "north", 600.0),
        (SITES[1], "north", float("inf")),
        (SITES[1], "north", 1e13),
    ],
)
def test_a_window_that_readers_refuse_costs_no_other_one(
    site: str, region: str, watts: float
) -> None:
    bad = sums_of((SITES[0], site), ("north", region), watts)
    bad.positive_wh[0, 0] = bad.mean_w[0, 0] = bad.min_w[0, 0] = bad.max_w[0, 0] = 1.0
    (batch,) = batches_of(bad, 0)
    assert [window.site_id for window in windows_of(batch.frame)] == [SITES[0]]
    assert [window.site_id for window in batch.refused] == [site]
