"""Entries of an interval when it is settled first, and again when anything about it has changed.

An entry is never changed. What is settled again differently is taken back by a reversal, which has
the same names and amount with the accounts exchanged, and entered anew with the next revision;
what is the same stays. Each record of entries balances by itself, so a correction may count in
another month than what it corrects: if that month is closed, in the first one that is not.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.bounds import PARTITIONS
from schemas.settlement import SETTLEMENT_ENTRY_V1, EntryKind
from vpp_streams.domain.arrays import Ints, Mask
from vpp_streams.domain.registry.hashing import murmur2_of, partitions_of
from vpp_streams.domain.settle.lines import Lines, entries_of
from vpp_streams.domain.settle.periods import Books

_NAMES = ("kind", "site_id", "program_id")
"""What names an entry within an interval, beside its revision."""
_BOOKED = frozenset({"revision", "period", "reverses"})
"""Columns about an entry's place in the books; what is the same in all others is unchanged."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The entries of an interval that were not reversed, and its newest revision; -1 = none."""

    entries: pa.RecordBatch
    revision: int = -1


NOTHING = Standing(pa.RecordBatch.from_pylist([], SETTLEMENT_ENTRY_V1))


AWARD_KINDS: tuple[EntryKind, ...] = ("market", "operator", "share")
EVENT_KINDS: tuple[EntryKind, ...] = ("energy", "event")
AVAILABILITY_KINDS: tuple[EntryKind, ...] = ("availability",)
"""Kinds of entries that are settled together."""


def standing(records: Iterable[pa.RecordBatch], kinds: Collection[EntryKind]) -> Standing:
    """What stands of some kinds of entries of an interval (market, region, start) after records.

    The records may be in any order, and repeated.
    """
    batches = list(records)
    if not batches:
        return NOTHING
    rows = _joined(batches)
    rows = rows.filter(pc.is_in(rows.column("kind").cast(pa.string()), pa.array(list(kinds))))
    if not rows.num_rows:
        return NOTHING
    reverses = rows.column("reverses").to_pylist()
    keys = list(zip(*_keys(rows), rows.column("revision").to_pylist(), strict=True))
    reversed_keys = {key for key, back in zip(keys, reverses, strict=True) if back}
    found: dict[tuple[str, ...], int] = {}
    for at, (key, back) in enumerate(zip(keys, reverses, strict=True)):
        if not back and key not in reversed_keys:
            found.setdefault(key, at)
    # In the order of their names, so that the order of the records does not matter.
    order = [found[key] for key in sorted(found)]
    return Standing(
        _compact(rows.take(pa.array(order, pa.int64()))), pc.max(rows.column("revision")).as_py()
    )


def settled(
    lines: Sequence[Lines], books: Books, before: Standing = NOTHING
) -> pa.RecordBatch | None:
    """The entries that make an interval's lines stand; None = they stand already.

    All lines are of one interval, ``before`` is what stands of it. Without any line, all that
    stands is reversed.
    """
    if not lines:
        return _withdrawn(books, before)
    period = books.period_of(lines[0].interval.span[0])
    fresh = entries_of(lines, revision=before.revision + 1, period=period)
    if before.revision < 0:
        return fresh
    old = before.entries
    places = {key: at for at, key in enumerate(zip(*_keys(old), strict=True))}
    match = np.array([places.get(key, -1) for key in zip(*_keys(fresh), strict=True)], np.int64)
    same = match >= 0
    same[same] = _equal(old.take(pa.array(match[same])), fresh.filter(pa.array(same)))
    gone = np.ones(old.num_rows, bool)
    gone[match[same]] = False
    if same.all() and not gone.any():
        return None
    changed = fresh.filter(pa.array(~same))
    return _compact(_joined([_reversals(old.filter(pa.array(gone)), period), changed]))


def _withdrawn(books: Books, before: Standing) -> pa.RecordBatch | None:
    old = before.entries
    if not old.num_rows:
        return None
    return _compact(_reversals(old, books.period_of(old.column("start_ms")[0].as_py())))


def by_partition(entries: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The entries divided over the partitions of their sites; those of no site by the region."""
    site_ids, regions = entries.column("site_id"), entries.column("region").cast(pa.string())
    names = pc.if_else(pc.equal(site_ids, ""), regions, site_ids)
    partition = partitions_of(murmur2_of(names), PARTITIONS)
    order = np.argsort(partition, kind="stable")
    ordered = entries.take(pa.array(order))
    counts = np.bincount(partition, minlength=PARTITIONS).tolist()
    starts = np.cumsum([0, *counts]).tolist()
    for number, count in enumerate(counts):
        if count:
            yield number, ordered.slice(starts[number], count)


def _keys(rows: pa.RecordBatch) -> list[list[str]]:
    return [rows.column(name).to_pylist() for name in _NAMES]


def _equal(one: pa.RecordBatch, other: pa.RecordBatch) -> Mask:
    """Which rows are the same but for their place in the books; NaN equals NaN."""
    same = np.ones(one.num_rows, bool)
    for field in SETTLEMENT_ENTRY_V1:
        if field.name in _BOOKED:
            continue
        left, right = one.column(field.name), other.column(field.name)
        if pa.types.is_floating(field.type):
            a, b = left.to_numpy(), right.to_numpy()
            same &= (a == b) | (np.isnan(a) & np.isnan(b))
            continue
        if pa.types.is_dictionary(field.type):
            left, right = left.cast(pa.string()), right.cast(pa.string())
        same &= pc.equal(left, right).to_numpy(zero_copy_only=False)
    return same


def _reversals(entries: pa.RecordBatch, period: str) -> pa.RecordBatch:
    count = entries.num_rows
    codes = pa.array(np.zeros(count, np.int32))
    replaced = {
        "reverses": pa.array(np.ones(count, bool)),
        "period": pa.DictionaryArray.from_arrays(codes, pa.array([period])),
        "debit": entries.column("credit"),
        "credit": entries.column("debit"),
    }
    return pa.RecordBatch.from_arrays(
        [replaced.get(name, entries.column(name)) for name in SETTLEMENT_ENTRY_V1.names],
        schema=SETTLEMENT_ENTRY_V1,
    )


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches, SETTLEMENT_ENTRY_V1).unify_dictionaries()
    columns = [
        column.combine_chunks() if column.num_chunks else pa.array([], column.type)
        for column in table.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SETTLEMENT_ENTRY_V1)


def _compact(entries: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows with dictionaries of only the names that occur, so that equal is byte-equal."""
    columns = [
        column.cast(pa.string()).dictionary_encode()
        if pa.types.is_dictionary(column.type)
        else column
        for column in entries.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SETTLEMENT_ENTRY_V1)


def balances(entries: pa.RecordBatch) -> dict[str, int]:
    """What each account has after these entries, micros: its credits less its debits."""
    amounts: Ints = entries.column("amount_micros").to_numpy()
    found: dict[str, int] = {}
    for side, sign in (("credit", 1), ("debit", -1)):
        names = entries.column(side).dictionary_encode()
        sums = np.zeros(len(names.dictionary), np.int64)
        np.add.at(sums, names.indices.to_numpy(), amounts)
        for name, amount in zip(names.dictionary.to_pylist(), sums.tolist(), strict=True):
            found[name] = found.get(name, 0) + sign * amount
    return found
