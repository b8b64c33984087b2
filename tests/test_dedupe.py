"""Each (device, boot, seq) is accepted exactly once, whatever the order of arrival."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.dedupe import MAX_BOOTS, SeqLedger, insert_run, insert_seq

ROWS = 3
readings = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.integers(0, MAX_BOOTS - 1), st.integers(0, 40)),
    max_size=120,
)


def new_ledger() -> SeqLedger:
    ledger = SeqLedger()
    ledger.boot = np.zeros(ROWS, np.uint32)
    ledger.run_start = np.zeros(ROWS, np.int64)
    ledger.run_end = np.zeros(ROWS, np.int64)
    return ledger


def accept(ledger: SeqLedger, batch: list[tuple[int, int, int]]) -> list[bool]:
    rows, boots, seqs = (np.array(c) for c in zip(*batch, strict=True))
    return ledger.accept(rows, boots.astype(np.uint32), seqs).tolist()


@given(st.lists(readings, max_size=6))
def test_equals_a_plain_set(frames: list[list[tuple[int, int, int]]]) -> None:
    ledger, seen = new_ledger(), set()
    for frame in filter(None, frames):
        expected = []
        for reading in frame:
            expected.append(reading not in seen)
            seen.add(reading)
        got = accept(ledger, frame)
        # Within a frame the ledger may pick another of two equal readings; per reading one counts.
        assert sorted(zip(frame, got, strict=True)) == sorted(zip(frame, expected, strict=True))


@given(readings, readings)
def test_survives_packing(before: list[tuple[int, int, int]], after: list[tuple[int, int, int]]):
    ledger = new_ledger()
    if before:
        accept(ledger, before)
    copy = new_ledger()
    copy.boot, copy.run_start, copy.run_end = (
        ledger.boot.copy(),
        ledger.run_start.copy(),
        ledger.run_end.copy(),
    )
    for row in range(ROWS):
        copy.unpack_older(row, ledger.pack_older(row))
    if after:
        assert accept(copy, after) == accept(ledger, after)


def test_in_order_fleet_needs_no_older_runs() -> None:
    ledger = new_ledger()
    for seq in range(100):
        assert all(accept(ledger, [(row, 7, 90_000 + seq) for row in range(ROWS)]))
    assert ledger.older == {}
    assert ledger.run_start.tolist() == [90_000] * ROWS
    assert ledger.run_end.tolist() == [90_100] * ROWS


def test_a_closed_gap_leaves_no_trace() -> None:
    ledger = new_ledger()
    accept(ledger, [(0, 1, 0), (0, 1, 5), (0, 1, 3)])
    assert ledger.older == {0: {1: [[0, 1], [3, 4]]}}
    assert all(accept(ledger, [(0, 1, 4), (0, 1, 1), (0, 1, 2)]))
    assert ledger.older == {}
    assert (ledger.run_start[0], ledger.run_end[0]) == (0, 6)


@given(st.lists(st.integers(0, 30)))
def test_runs_stay_sorted_disjoint_and_apart(seqs: list[int]) -> None:
    runs: list[list[int]] = []
    for seq in seqs:
        insert_seq(runs, seq)
    assert [s for start, end in runs for s in range(start, end)] == sorted(set(seqs))
    assert all(a[1] < b[0] for a, b in pairwise(runs))


def test_many_gaps_are_bounded() -> None:
    runs: list[list[int]] = []
    for seq in range(0, 5000, 2):
        insert_run(runs, [seq, seq + 1])
    assert len(runs) == 1024
    assert runs[-1] == [4998, 4999]


@given(st.lists(readings, max_size=8))
def test_a_frame_that_has_each_row_once_needs_no_sort(frames) -> None:
    fast, plain = new_ledger(), new_ledger()
    for frame in frames:
        once = list({row: (row, boot, seq) for row, boot, seq in frame}.values())
        if once:
            rows, boots, seqs = (np.array(c) for c in zip(*once, strict=True))
            boots = boots.astype(np.uint32)
            got = fast.accept(rows, boots, seqs, each_once=True)
            assert got.tolist() == plain.accept(rows, boots, seqs).tolist()
    assert fast.run_end.tolist() == plain.run_end.tolist()
    assert fast.older == plain.older
