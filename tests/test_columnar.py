"""Shadow pages: a snapshot that was cut short leaves the previous one whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tables.columnar import (
    BLOCK_ROWS,
    Columns,
    ShadowPages,
    Snapshot,
    decode_block,
    encode_block,
)
from vpp_streams.domain.columns import Column

BLOCKS = ("t|0", "t|1", "w|60000|0|0")
events = st.lists(st.sets(st.sampled_from(BLOCKS), min_size=1), min_size=1, max_size=30)
"""Each event of the source log touches some blocks."""
flushes = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6)), max_size=12)
"""(events applied before it, writes that reach the changelog before the worker dies; 5+ = all)"""


def fold(log: list[set[str]], upto: int) -> dict[str, bytes]:
    """What the blocks hold once the events up to and with an offset are applied."""
    state: dict[str, bytes] = {}
    for offset, touched in enumerate(log[: upto + 1]):
        for name in touched:
            state[name] = state.get(name, b"") + bytes([offset])
    return state


@given(events, flushes)
def test_recovery_gives_the_state_at_one_committed_offset_whatever_was_cut(log, flushes) -> None:
    changelog: dict[bytes, bytes] = {}  # compacted: the newest value of each key
    pages, applied, committed = ShadowPages(3), -1, -1
    for count, cut in flushes:
        upto = min(applied + count, len(log) - 1)
        changed = set().union(*log[applied + 1 : upto + 1])
        state = fold(log, upto)
        snapshot = Snapshot(upto, b"meta%d" % upto, {name: state[name] for name in changed})
        writes = [*pages.block_writes(snapshot), pages.commit_write(snapshot)]
        changelog.update(writes[:cut])
        if cut >= len(writes):
            pages.committed(snapshot)
            applied = committed = upto
            continue
        pages = ShadowPages(3)  # killed; a new worker recovers and reads on from there
        recovered = pages.recover(changelog.items())
        applied = recovered.offset if recovered else -1
        assert applied == committed
        assert (recovered.blocks if recovered else {}) == fold(log, committed)
    recovered = ShadowPages(3).recover(changelog.items())
    assert (recovered.offset if recovered else -1) == committed
    assert (recovered.blocks if recovered else {}) == fold(log, committed)


def test_dropped_blocks_are_deleted_after_the_commit_only() -> None:
    pages = ShadowPages(0)
    pages.committed(Snapshot(1, b"", {"w|60000|0|0": b"x"}))
    snapshot = Snapshot(2, b"", {}, dropped=("w|60000|0|0", "w|60000|0|1"))
    assert list(pages.block_writes(snapshot)) == []
    assert pages.committed(snapshot) == [b"0/w|60000|0|0/0", b"0/w|60000|0|0/1"]


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
