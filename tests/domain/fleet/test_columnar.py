"""Columns in blocks, and what a snapshot writes."""

from collections.abc import Iterable

import numpy as np
import pytest

from vpp_streams.domain.arrays import Column
from vpp_streams.domain.fleet.columnar import (
    BLOCK_ROWS,
    COMMIT,
    NO_MARK,
    Columns,
    Mark,
    Recovered,
    Snapshot,
    decode_block,
    encode_block,
    recover,
)


def written(writes: Iterable[tuple[bytes, bytes | None]]) -> dict[bytes, bytes]:
    return {key: value for key, value in writes if value is not None}


def test_what_a_snapshot_writes_is_what_is_recovered() -> None:
    mark = Mark(1_800_000_000_000, 0xFFFFFFFF)
    snapshot = Snapshot(7, b"meta", {"t|0": b"x", "w|60000|0|0": b"y"})
    assert recover(written(snapshot.writes(mark))) == Recovered(7, b"meta", snapshot.blocks, mark)


def test_dropped_blocks_are_deleted_in_the_same_write() -> None:
    writes = list(Snapshot(2, b"", {"t|0": b"x"}, dropped=("w|60000|0|0",)).writes())
    assert writes[:2] == [(b"t|0", b"x"), (b"w|60000|0|0", None)]
    assert [key for key, _ in writes[2:]] == [COMMIT]


def test_nothing_is_recovered_where_nothing_was_written() -> None:
    assert recover({}) is None
    assert recover({b"t|0": b"a block without a commit"}) is None


def test_a_commit_record_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="commit record"):
        recover({COMMIT: b"short"})


def test_a_state_before_its_first_record_has_no_mark() -> None:
    recovered = recover(written(Snapshot(-1, b"", {}).writes()))
    assert recovered == Recovered(-1, b"", {}, NO_MARK)


def test_columns_round_trip_by_block() -> None:
    spec = {"a": Column(np.int64, -1), "b": Column(np.float64, np.nan, width=2)}
    columns = Columns(spec)
    n = BLOCK_ROWS + 5
    columns.grow(n)
    columns["a"][:n] = np.arange(n)
    columns["b"][1, :n] = np.arange(n) / 2
    columns.touch(np.array([3, BLOCK_ROWS + 1]))
    assert columns.changed == {0, 1}
    copy = Columns(spec)
    for block in (0, 1):
        copy.load(block, decode_block(encode_block(columns.copy(block))))
    assert copy.rows == n
    np.testing.assert_array_equal(copy["a"][:n], columns["a"][:n])
    np.testing.assert_array_equal(copy["b"][:, :n], columns["b"][:, :n])
    assert copy["a"][n] == -1
    assert np.isnan(copy["b"][0, n])
