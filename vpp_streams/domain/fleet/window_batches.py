"""Sums of sites in one window as batches of columns, which are what is published."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from schemas.bounds import PARTITIONS
from schemas.window_frames import (
    COUNTS,
    POWER_COLUMNS,
    SITE_WINDOWS_V1,
    SOC_COLUMNS,
    by_contract,
    windows_of,
)
from schemas.windows import SiteWindow
from vpp_streams.domain.fleet.site_sums import SiteSums
from vpp_streams.domain.registry.hashing import murmur2_of, partitions_of

ROWS_AT_ONCE = 1024
"""Rows of a batch: about 300 KB, and a millisecond of work."""


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Some rows of a window, in the form in which they are published."""

    frame: pa.RecordBatch
    """What is by the contract; it may have no rows."""
    refused: list[SiteWindow] = field(default_factory=list)
    """What readers refuse: published one by one, so that each becomes a dead letter alone."""


def batches_of(sums: SiteSums, partition: int) -> Iterator[WindowBatch]:
    """The windows of the sites, in row order; all sites should be of this partition."""
    for first in range(0, len(sums.sites), ROWS_AT_ONCE):
        batch = _batch_of(sums, slice(first, first + ROWS_AT_ONCE))
        in_partition = partitions_of(murmur2_of(batch.column("site_id")), PARTITIONS) == partition
        good = by_contract(batch) & in_partition
        if good.all():
            yield WindowBatch(batch)
        else:
            refused = batch.filter(pa.array(~good))
            yield WindowBatch(batch.filter(pa.array(good)), list(windows_of(refused)))


def records_of(sums: SiteSums) -> Iterator[SiteWindow]:
    """The windows of the sites as records, in row order."""
    return windows_of(_batch_of(sums, slice(None)))


def _batch_of(sums: SiteSums, part: slice) -> pa.RecordBatch:
    sites, rows = sums.sites[part].tolist(), sums.rows
    n = len(sites)
    columns: dict[str, pa.Array] = {
        "site_id": pa.array([rows.site_ids[site] for site in sites], pa.string()),
        "region": pa.array([rows.regions[site] for site in sites], pa.string()),
        "start_ms": np.full(n, sums.start_ms),
        "size_s": np.full(n, sums.size_ms // 1000),
        "coverage": sums.coverage[part],
    }
    columns |= {name: getattr(sums, name)[part] for name in COUNTS}
    positive, negative = sums.positive_wh[:, part], sums.negative_wh[:, part]
    measured = sums.measured[:, part]
    statistics = (
        *(positive - negative, positive, negative),
        *(sums.mean_w[:, part], sums.min_w[:, part], sums.max_w[:, part]),
    )
    by_power = np.stack([np.where(measured, of, np.nan) for of in statistics], axis=1)
    columns |= zip(POWER_COLUMNS, by_power.reshape(len(POWER_COLUMNS), n), strict=True)
    soc = np.where(sums.has_soc[part], sums.soc[:, part], np.nan)
    columns |= zip(SOC_COLUMNS, soc, strict=True)
    return pa.RecordBatch.from_arrays(
        [pa.array(columns[name]) for name in SITE_WINDOWS_V1.names], schema=SITE_WINDOWS_V1
    )
