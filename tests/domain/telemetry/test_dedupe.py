"""Each (device, boot, seq) is accepted exactly once, whatever the order of arrival."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from vpp_streams.domain.telemetry.dedupe import Judged, SeqLedger, Times
from vpp_streams.domain.telemetry.seen import MAX_RUNS, MAX_STARTS, Seen

ROWS = 3
readings = st.lists(
    st.tuples(st.integers(0, ROWS - 1), st.integers(0, 9), st.integers(0, 40)),
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
def test_survives_packing(
    before: list[tuple[int, int, int]], after: list[tuple[int, int, int]]
) -> None:
    ledger = new_ledger()
    if before:
        accept(ledger, before)
    copy = new_ledger()
    copy.boot, copy.run_start, copy.run_end = (
        ledger.boot.copy(),
        ledger.run_start.copy(),
        ledger.run_end.copy(),
    )
    copy.newest_ms = ledger.newest_ms.copy()
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


def runs_of(seen: Seen) -> list[tuple[int, int]]:
    flat = seen.bounds.tolist()
    return list(zip(flat[::2], flat[1::2], strict=True))


def test_a_closed_gap_leaves_no_trace() -> None:
    ledger = new_ledger()
    accept(ledger, [(0, 1, 0), (0, 1, 5), (0, 1, 3)])
    assert runs_of(ledger.older[0].starts[0]) == [(0, 1), (3, 4)]
    assert all(accept(ledger, [(0, 1, 4), (0, 1, 1), (0, 1, 2)]))
    assert ledger.older == {}
    assert (ledger.run_start[0], ledger.run_end[0]) == (0, 6)


@given(st.lists(st.integers(0, 30)))
def test_runs_stay_sorted_disjoint_and_apart(seqs: list[int]) -> None:
    seen = Seen(1)
    for seq in seqs:
        if seen.verdict(seq) == "new":
            seen.add(seq, seq + 1)
    assert [s for start, end in runs_of(seen) for s in range(start, end)] == sorted(set(seqs))
    assert seen.bounds.tolist() == sorted(set(seen.bounds.tolist()))


def test_many_gaps_are_bounded_and_what_is_blurred_is_not_taken_as_a_repeat() -> None:
    seen = Seen(1)
    for seq in range(0, 2 * MAX_RUNS + 4, 2):
        seen.add(seq, seq + 1)
    assert len(seen.bounds) == 2 * MAX_RUNS
    assert [seen.verdict(seq) for seq in (1, 5, 2 * MAX_RUNS + 2)] == ["unclear", "new", "repeat"]


def test_every_second_reading_lost_and_sent_later_is_counted_once() -> None:
    """Of a stream whose readings came late by turns, 1,975 of 3,000 were taken as repeats."""
    ledger, late = new_ledger(), range(1, 20_000, 2)
    assert all(accept(ledger, [(0, 1, seq) for seq in range(0, 20_000, 2)]))
    assert all(accept(ledger, [(0, 1, seq) for seq in late]))
    assert not any(accept(ledger, [(0, 1, seq) for seq in range(20_000)]))


# Times

SECOND = 1000
T0 = 1_800_000_000_000
RETENTION = 6 * 3_600_000


class Told:
    """One device's readings, held against a ledger with their times."""

    def __init__(self) -> None:
        self.ledger = new_ledger()
        self.reused = 0

    def judge(self, *sent: tuple[int, int, int], own_clock: bool = True) -> Judged:
        """(boot, seq, second) each; what is older than the retention is too late."""
        boots, seqs, seconds = (np.array(c) for c in zip(*sent, strict=True))
        at_ms = T0 + seconds * SECOND
        received_ms = at_ms + 100 if own_clock else at_ms
        times = Times(at_ms, received_ms, int(at_ms.max()) - RETENTION)
        rows = np.zeros(len(sent), np.int64)
        judged = self.ledger.judge(rows, boots.astype(np.uint32), seqs, times)
        self.reused += judged.boots_reused
        return judged

    def new(self, *sent: tuple[int, int, int], own_clock: bool = True) -> list[bool]:
        return self.judge(*sent, own_clock=own_clock).new.tolist()


def test_a_device_that_starts_again_under_its_old_boot_id_is_counted() -> None:
    """It kept its boot id and began at a lower number: 168 readings were dropped, and acked."""
    device = Told()
    assert all(device.new(*[(7, seq, seq) for seq in range(1000)]))
    again = [(7, seq, 2000 + seq) for seq in range(400, 568)]
    assert all(device.new(*again))
    assert device.reused == 1
    assert not any(device.new(*again))
    # What either start sends again is told by its time.
    assert not any(device.new(*[(7, seq, seq) for seq in range(1000)]))
    assert device.reused == 1
    assert all(device.new(*[(7, seq, 2000 + seq) for seq in range(568, 600)]))


def test_a_number_lost_before_and_used_after_the_start_is_counted_for_both() -> None:
    device = Told()
    device.new(*[(7, seq, seq) for seq in range(100) if seq != 60])
    assert all(device.new(*[(7, seq, 500 + seq) for seq in range(50, 60)]))
    assert device.new((7, 60, 60), (7, 60, 560), (7, 60, 60), (7, 60, 560)) == [
        True,
        True,
        False,
        False,
    ]


def test_where_the_device_tells_no_time_a_known_name_is_a_repeat() -> None:
    device = Told()
    assert device.new((7, 5, 5), own_clock=False) == [True]
    assert device.new((7, 5, 60), own_clock=False) == [False]
    assert device.reused == 0


@pytest.mark.parametrize("starts", [6, 20, MAX_STARTS])
def test_no_start_is_forgotten_while_its_readings_may_come_again(starts: int) -> None:
    """The sixth start made the first be forgotten, and what it sent again counted twice."""
    device = Told()
    for boot in range(1, starts + 1):
        assert all(device.new((boot, 0, 10 * boot), (boot, 1, 10 * boot + 1)))
    for boot in range(1, starts + 1):
        assert device.new((boot, 0, 10 * boot), (boot, 2, 10 * boot + 2)) == [False, True]


def test_what_may_belong_to_a_forgotten_start_is_unclear_never_counted_twice() -> None:
    device = Told()
    for boot in range(1, MAX_STARTS + 20):
        device.new((boot, 0, 10 * boot))
    judged = device.judge((1, 0, 10), (MAX_STARTS + 19, 0, 10 * (MAX_STARTS + 19)))
    assert judged.new.tolist() == [False, False]
    assert judged.unclear == [0]
    # What was measured later cannot be of a start that was forgotten.
    assert device.new((1, 0, 10 * MAX_STARTS + 500)) == [True]


def test_starts_are_forgotten_by_their_last_use() -> None:
    device = Told()
    for boot in range(1, MAX_STARTS + 2):
        device.new((boot, 0, 10 * boot))
    device.new((1, 1, 11))  # the first start's backfill
    device.new((MAX_STARTS + 2, 0, 10 * MAX_STARTS + 20))
    judged = device.judge((1, 1, 11), (2, 0, 20))
    assert judged.new.tolist() == [False, False]
    assert judged.unclear == [1]


def test_what_is_too_late_to_be_accepted_is_forgotten() -> None:
    device = Told()
    for day in range(200):
        start = 86_400 * day
        device.new(*[(1, 100 * day + seq, start + seq) for seq in range(0, 100, 2)])
        device.new((1000 + day, 0, start + 1000))
    past = device.ledger.older[0]
    assert len(past.starts) <= 2
    assert sum(len(seen.bounds) for seen in past.starts) < 300
    packed = device.ledger.pack_older(0)
    assert packed is not None
    assert len(packed) < 1000


def history(rng: random.Random) -> Iterator[tuple[int, int, int, int]]:
    """(start, boot, seq, second) as they arrive: starts that may use an old boot id, late
    readings (the first and last of a start are in time) and repeats."""
    boots, kept, second = [1, 2, 3], [], 0
    for start in range(rng.randrange(1, 8)):
        boot, seq = rng.choice(boots), rng.choice((0, 0, rng.randrange(30)))
        last = rng.randrange(40)
        for i in range(last + 1):
            second, seq = second + 1, seq + 1
            kept.append((start, boot, seq, second))
            if i in (0, last) or rng.random() < 0.8:
                yield kept[-1]
            while rng.random() < 0.3:
                yield rng.choice(kept)
        second += rng.randrange(1, 30)
    yield from rng.sample(kept, len(kept))


@examples(1200, ci=100)
@given(st.integers(0, 10**9), st.integers(1, 9))
def test_each_reading_of_each_start_counts_once(seed: int, rows: int) -> None:
    """Whatever boot ids are used again, as long as the device's clock goes forward."""
    sent = list(history(random.Random(seed)))
    device, counted = Told(), []
    for i in range(0, len(sent), rows):
        frame = sent[i : i + rows]
        new = device.new(*[reading[1:] for reading in frame])
        counted += [reading for reading, is_new in zip(frame, new, strict=True) if is_new]
    assert sorted(counted) == sorted(set(sent))


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.randoms(), st.integers(1, 9))
def test_a_clock_that_jumps_costs_no_reading(
    seconds: list[int], rng: random.Random, rows: int
) -> None:
    """Ints that rise while times do not, in any order and with repeats: each counts once."""
    sent = [(7, seq, second) for seq, second in enumerate(seconds)] * 2
    rng.shuffle(sent)
    device, counted = Told(), []
    for i in range(0, len(sent), rows):
        frame = sent[i : i + rows]
        counted += [r for r, new in zip(frame, device.new(*frame), strict=True) if new]
    assert sorted(counted) == sorted(set(sent))


@given(st.lists(readings, max_size=8))
def test_a_frame_that_has_each_row_once_needs_no_sort(
    frames: list[list[tuple[int, int, int]]],
) -> None:
    fast, plain = new_ledger(), new_ledger()
    for frame in frames:
        once = list({row: (row, boot, seq) for row, boot, seq in frame}.values())
        if once:
            rows, boots, seqs = (np.array(c) for c in zip(*once, strict=True))
            boots = boots.astype(np.uint32)
            got = fast.accept(rows, boots, seqs, each_once=True)
            assert got.tolist() == plain.accept(rows, boots, seqs).tolist()
    assert fast.run_end.tolist() == plain.run_end.tolist()
    assert [fast.pack_older(row) for row in range(ROWS)] == [
        plain.pack_older(row) for row in range(ROWS)
    ]
