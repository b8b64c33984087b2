"""Homes for measurements: named, registered, and with readings that ingest accepts unchanged.

One Powerwall a site, a reading a second. The powers balance, states of charge and voltages are
those of homes and differ from device to device.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.telemetry import POWER_COLUMNS, TELEMETRY_V1
from vpp_streams.domain.fleet.frames import Frame
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.hashing import partition_of

T0_MS = 1_800_000_000_000
"""A complete quarter of an hour."""
BOOT = 0xB0A7
REGIONS = ("north", "coast", "valley")
FIRST_SEQ = 1_000_000_000
"""Ten digits for years to come, so that a line's length never changes."""


class Homes:
    """``n`` homes of some partitions, by default of all."""

    def __init__(
        self,
        n: int,
        partitions: Collection[int] = range(PARTITIONS),
        regions: Sequence[str] = REGIONS,
        seed: int = 1,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.n = n
        self.regions = regions
        self.site_ids, self.partition = _names(n, partitions)
        self.device_ids = [f"pw-{site_id}" for site_id in self.site_ids]
        self.solar_w = np.round(rng.uniform(0, 6000, n), 1)
        self.load_w = np.round(rng.uniform(200, 5000, n), 1)
        self.battery_w = np.round(rng.uniform(-3000, 3000, n), 1)
        self.grid_w = np.round(self.load_w - self.solar_w - self.battery_w, 1)
        self.soc = np.round(rng.uniform(0.1, 0.99, n), 4)
        self.voltage_v = np.round(rng.uniform(228, 238, n), 1)
        self._device_column = pa.array(self.device_ids, pa.string())
        self._site_column = pa.array(self.site_ids, pa.string())

    def sites(self) -> list[Site]:
        """The homes' records in the registry."""
        return [
            Site(
                site_id,
                self.regions[i % len(self.regions)],
                (Device(device_id, "powerwall", "", 13_500.0, 5000.0, 5000.0),),
                export_limit_w=10_000.0,
            )
            for i, (site_id, device_id) in enumerate(
                zip(self.site_ids, self.device_ids, strict=True)
            )
        ]

    def batches(self, second: int, rows: int, shuffled: bool = True) -> list[pa.RecordBatch]:
        """The canonical readings of a second (from 0) in frames of ``rows``.

        ``shuffled``: in another order each second, so that no array is ever walked from end to
        end. Else each home keeps its moment of the second, as a device does that reports at 1 Hz.
        """
        order = np.random.default_rng([second * shuffled, self.n]).permutation(self.n)
        return list(self._cut(order, second, rows))

    def by_partition(
        self, second: int, rows: int, seq: int | None = None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The same as frames of one partition each; ``seq`` = the readings' number, if another."""
        order = np.random.default_rng([second, self.n]).permutation(self.n)
        for partition in np.unique(self.partition).tolist():
            mine = order[self.partition[order] == partition]
            for batch in self._cut(mine, second, rows):
                yield partition, batch if seq is None else _numbered(batch, seq)

    def _cut(self, order: NDArray[np.int64], second: int, rows: int) -> Iterator[pa.RecordBatch]:
        """Give each frame its part of the second, so that time advances with every frame."""
        rng = np.random.default_rng([second, len(order)])
        base_ms, n = T0_MS + second * 1000, len(order)
        for at in range(0, n, rows):
            some = order[at : at + rows]
            begin, end = at * 1000 // n, max((at + len(some)) * 1000 // n, at * 1000 // n + 1)
            received_ms = base_ms + np.sort(rng.integers(begin, end, len(some)))
            yield self._batch(some, second, received_ms, rng)

    def one_by_one(self, second: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """The same as (site, partition, reading), the content of one message each."""
        columns = (*POWER_COLUMNS, "soc", "voltage_v")
        values = zip(*(getattr(self, name).tolist() for name in columns), strict=True)
        named = zip(self.site_ids, self.device_ids, self.partition.tolist(), values, strict=True)
        for site_id, device_id, partition, measured in named:
            reading = {
                "device_id": device_id,
                "site_id": site_id,
                "seq": FIRST_SEQ + second,
                "measured_at_s": T0_MS / 1000 + second,
                "frequency_hz": 60.0,
                **dict(zip(columns, measured, strict=True)),
            }
            yield site_id, partition, reading

    def _batch(
        self,
        rows: NDArray[np.int64],
        second: int,
        received_ms: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> pa.RecordBatch:
        n = len(rows)
        # None before the beginning: it would open a minute and a quarter of its own.
        measured_ms = np.maximum(received_ms - rng.integers(20, 80, n), T0_MS)
        # Constant columns would be compressed to nothing, in recordings and changelogs.
        moved_w = np.round(rng.uniform(0, 100, (2, n)), 1)
        columns = {
            "device_id": self._device_column.take(pa.array(rows)),
            "site_id": self._site_column.take(pa.array(rows)),
            "boot": np.full(n, BOOT, np.uint32),
            "seq": np.full(n, FIRST_SEQ + second),
            "measured_at_ms": measured_ms,
            "received_at_ms": received_ms,
            "interval_ms": np.full(n, 1000, np.int32),
            "battery_w": self.battery_w[rows] + moved_w[0],
            "grid_w": self.grid_w[rows] + moved_w[1] - moved_w[0],
            "solar_w": self.solar_w[rows],
            "load_w": self.load_w[rows] + moved_w[1],
            "soc": self.soc[rows],
            "frequency_hz": np.full(n, 60.0),
            "voltage_v": self.voltage_v[rows],
            "temperature_c": np.full(n, 24.5),
            "islanded": np.zeros(n, np.int8),
            "quality": np.zeros(n, np.int8),
            "balance_error_w": np.zeros(n),
        }
        return pa.RecordBatch.from_arrays(
            [pa.array(columns[field.name], field.type) for field in TELEMETRY_V1],
            schema=TELEMETRY_V1,
        )

    def frames(self, second: int, rows: int, first_offset: int) -> list[Frame]:
        """The same as the fleet role decodes them, numbered from an offset on."""
        return [
            Frame(first_offset + i, Batch.of(batch))
            for i, batch in enumerate(self.batches(second, rows))
        ]


def _names(n: int, among: Collection[int]) -> tuple[list[str], NDArray[np.int64]]:
    names: list[str] = []
    partitions: list[int] = []
    for number in count():
        if len(names) == n:
            return names, np.array(partitions, np.int64)
        at = partition_of(name := f"home-{number:07d}", PARTITIONS)
        if at in among:
            names.append(name)
            partitions.append(at)
    raise AssertionError("count() does not end")


def _numbered(batch: pa.RecordBatch, seq: int) -> pa.RecordBatch:
    at = batch.schema.get_field_index("seq")
    return batch.set_column(at, batch.schema.field(at), pa.array([seq] * len(batch)))
