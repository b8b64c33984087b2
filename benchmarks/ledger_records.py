"""Records of entries for the benchmark of the ledger, made quickly: only the start changes."""

from itertools import count, islice

import numpy as np
import pyarrow as pa

from schemas.bounds import PARTITIONS
from schemas.entry_frames import encode_entries
from schemas.settlement import SETTLEMENT_ENTRY_V1, revenue_account, site_account
from vpp_streams.domain.registry.hashing import partition_of

_MARK_MS = 0x0102_0304_0506
"""A start that is nowhere else in a record's bytes."""


class RecordMaker:
    """Encoded records of an entry per site, a record per partition and interval.

    With ``partition``, all sites are in that one.
    """

    def __init__(self, sites: int, partition: int | None = None) -> None:
        names = (f"home-{n:06d}" for n in count())
        known = ((name, partition_of(name, PARTITIONS)) for name in names)
        chosen = islice(((n, p) for n, p in known if partition in (None, p)), sites)
        by_partition: dict[int, list[str]] = {}
        for site_id, of in chosen:
            by_partition.setdefault(of, []).append(site_id)
        self.site_ids = [site_id for ids in by_partition.values() for site_id in ids]
        self.partitions = sorted(by_partition)
        rng = np.random.default_rng(1)
        self._templates = {p: _template(_batch(ids, rng)) for p, ids in by_partition.items()}

    def record(self, partition: int, start_ms: int) -> bytes:
        """The record of a partition for the interval that starts then."""
        before, rows, after = self._templates[partition]
        return b"".join((before, np.full(rows, start_ms, np.int64).tobytes(), after))


def _template(batch: pa.RecordBatch) -> tuple[bytes, int, bytes]:
    """An encoded record before and after the column of starts, and its number of rows."""
    encoded = encode_entries(batch)
    before, found, after = encoded.partition(np.full(batch.num_rows, _MARK_MS, np.int64).tobytes())
    assert found
    return before, batch.num_rows, after


def _batch(site_ids: list[str], rng: np.random.Generator) -> pa.RecordBatch:
    rows = len(site_ids)
    energy_wh, baseline_wh = rng.normal(0, 200, rows), rng.normal(0, 200, rows)
    same = {
        "kind": "share", "region": "north", "market": "sim", "start_ms": _MARK_MS,
        "interval_ms": 300_000, "program_id": "standard", "program_version": 1, "revision": 0,
        "reverses": False, "period": "2026-10", "debit": revenue_account("sim", "north"),
        "currency": "EUR", "coverage": 1.0, "price_per_mwh": 81.5, "share": 0.6,
        "window_revision": 0,
    }  # fmt: skip
    columns = {name: [value] * rows for name, value in same.items()} | {
        "site_id": site_ids,
        "credit": [site_account(site_id) for site_id in site_ids],
        "amount_micros": rng.integers(0, 50_000, rows),
        "energy_wh": energy_wh,
        "baseline_wh": baseline_wh,
        "delivered_wh": energy_wh - baseline_wh,
    }
    return pa.RecordBatch.from_pydict(columns, schema=SETTLEMENT_ENTRY_V1)
