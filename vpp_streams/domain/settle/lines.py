"""Lines: transfers of one kind before they are entries, by columns, with signed amounts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.programs import Program
from schemas.settlement import SETTLEMENT_ENTRY_V1, EntryKind
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.settle.attribution import Delivered
from vpp_streams.domain.settle.intervals import Span


@dataclass(frozen=True, slots=True)
class Interval:
    """The stretch of time that entries are for, where, and in which currency."""

    region: str
    market: str
    """"" where a program alone pays."""
    span: Span
    currency: str
    price_per_mwh: float
    """See ``settlement_entry.v1``; NaN = no single price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Transfers of one kind in one interval, under the terms of one program; shapes (lines,).

    A negative amount goes from the taker to the giver.
    """

    kind: EntryKind
    interval: Interval
    program: Program | None = None
    site_ids: pa.StringArray
    """"" where a line is no site's."""
    giver: pa.StringArray
    taker: pa.StringArray
    amounts: Ints
    """Micros."""
    delivered: Delivered
    share: float = math.nan
    """The owner's share of revenue; NaN = paid by rate, or no owner's."""

    def __len__(self) -> int:
        return len(self.amounts)


def repeated(name: str, count: int) -> pa.StringArray:
    """A column of one name."""
    return pa.array([name]).take(pa.array(np.zeros(count, np.int64)))


def taken(delivered: Delivered, rows: Ints) -> Delivered:
    """What some of the sites delivered."""
    return Delivered(
        delivered.energy_wh[rows],
        delivered.baseline_wh[rows],
        delivered.delivered_wh[rows],
        delivered.coverage[rows],
        delivered.revision[rows],
    )


def entries_of(lines: Sequence[Lines], *, revision: int, period: str) -> pa.RecordBatch:
    """The lines as entries of one revision, in their order; amounts become >= 0."""
    sizes = np.array([len(each) for each in lines], np.int64)
    negative = pa.array(np.concatenate([each.amounts < 0 for each in lines]))
    giver = pa.concat_arrays([each.giver for each in lines])
    taker = pa.concat_arrays([each.taker for each in lines])

    def names(values: Sequence[str]) -> pa.DictionaryArray:
        known = list(dict.fromkeys(values))
        codes = np.repeat([known.index(value) for value in values], sizes).astype(np.int32)
        return pa.DictionaryArray.from_arrays(codes, pa.array(known, pa.string()))

    def numbers(values: Sequence[float], dtype: type) -> Floats | Ints:
        found: Floats | Ints = np.repeat(np.array(values, dtype), sizes)
        return found

    def measured(name: str) -> Floats:
        found: Floats = np.concatenate([getattr(each.delivered, name) for each in lines])
        return found

    programs, intervals = [each.program for each in lines], [each.interval for each in lines]
    columns = {
        "kind": names([each.kind for each in lines]),
        "site_id": pa.concat_arrays([each.site_ids for each in lines]),
        "region": names([each.region for each in intervals]),
        "market": names([each.market for each in intervals]),
        "start_ms": numbers([each.span[0] for each in intervals], np.int64),
        "interval_ms": numbers([each.span[1] - each.span[0] for each in intervals], np.int64),
        "program_id": names([each.program_id if each else "" for each in programs]),
        "program_version": numbers([each.version if each else 0 for each in programs], np.int32),
        "revision": numbers([revision] * len(lines), np.int32),
        "reverses": numbers([False] * len(lines), np.bool_),
        "period": names([period] * len(lines)),
        "debit": pc.if_else(negative, taker, giver),
        "credit": pc.if_else(negative, giver, taker),
        "amount_micros": np.abs(np.concatenate([each.amounts for each in lines])),
        "currency": names([each.currency for each in intervals]),
        "energy_wh": measured("energy_wh"),
        "baseline_wh": measured("baseline_wh"),
        "delivered_wh": measured("delivered_wh"),
        "coverage": measured("coverage"),
        "price_per_mwh": numbers([each.price_per_mwh for each in intervals], np.float64),
        "share": numbers([each.share for each in lines], np.float64),
        "window_revision": measured("revision").astype(np.int32),
    }
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type, from_pandas=False)
        for field, column in zip(SETTLEMENT_ENTRY_V1, columns.values(), strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SETTLEMENT_ENTRY_V1)
