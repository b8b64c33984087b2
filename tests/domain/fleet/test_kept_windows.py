"""A window that is compressed holds what one that is open holds, and costs less memory."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fleet_partition import partition, stream
from vpp_streams.domain.fleet import columnar, kept_windows, twins
from vpp_streams.domain.fleet import partition as fleet_partition
from vpp_streams.domain.fleet.columnar import Columns, encode_block, recover
from vpp_streams.domain.fleet.frames import Outputs
from vpp_streams.domain.fleet.kept_windows import OpenWindow, PackedWindow
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.windows import WINDOW_COLUMNS, Samples, split

ROWS = 7
MINUTE = 60_000
rows_of = st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=ROWS, unique=True)
operation: st.SearchStrategy[tuple[str, list[int]]] = st.one_of(
    st.tuples(st.just("add"), rows_of),
    st.tuples(st.just("mark"), rows_of),
    st.tuples(st.just("published"), rows_of),
    st.tuples(st.just("save"), st.just([])),
    st.tuples(st.just("pack"), st.just([])),
)


@contextmanager
def blocks_of(rows: int) -> Iterator[None]:
    with ExitStack() as stack:
        for module in (columnar, kept_windows, twins, fleet_partition):
            stack.enter_context(patch.object(module, "BLOCK_ROWS", rows))
        yield


def samples(rows: list[int], seed: int) -> Samples:
    n, rng = len(rows), np.random.default_rng(seed)
    return Samples(
        row=np.array(rows),
        measured_at_ms=rng.integers(0, MINUTE - 1000, n),
        interval_ms=np.full(n, 1000),
        power_w=rng.uniform(-5000, 5000, (4, n)),
        soc=rng.random(n),
        estimated=np.zeros(n, np.bool_),
    )


def apply(window: OpenWindow | PackedWindow, what: str, rows: list[int], seed: int) -> None:
    match what:
        case "add":
            window.grow(ROWS)
            (share,) = split(samples(rows, seed), MINUTE).values()
            window.add(share, each_once=True)
        case "mark":
            window.grow(ROWS)
            window.mark(np.array(rows))
        case "published":
            window.grow(ROWS)
            window.published(np.sort(rows))


def assert_equal(one: OpenWindow | PackedWindow, other: OpenWindow | PackedWindow) -> None:
    assert one.rows == other.rows
    np.testing.assert_array_equal(one.pending(), other.pending())
    at = np.arange(one.rows)[::-1]
    expected = other.gather(at)
    for name, array in one.gather(at).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert array.dtype == expected[name].dtype


@given(st.lists(operation, max_size=25), st.integers(1, 9))
def test_both_forms_hold_the_same_whatever_happens(
    operations: list[tuple[str, list[int]]], block_rows: int
) -> None:
    with blocks_of(block_rows):
        plain, packed = OpenWindow(), PackedWindow()
        saved: dict[int, dict[str, list[object]]] = {}
        for seed, (what, rows) in enumerate(operations):
            if what == "save":
                expected = {n: batch.to_pydict() for n, batch in plain.copies()}
                found = {n: batch.to_pydict() for n, batch in packed.copies()}
                assert repr(found) == repr(expected)
                saved |= found
            elif what == "pack":
                while packed.pack_next():
                    pass
            for window in (plain, packed):
                apply(window, what, rows, seed)
            assert_equal(packed, plain)
        restored = PackedWindow()
        list(plain.copies())
        for block in range(-(-plain.rows // block_rows)):
            restored.put(block, encode_block(plain.copy(block)))
        assert_equal(restored, plain)


def test_a_block_without_a_column_cannot_be_used() -> None:
    other = Columns({name: c for name, c in WINDOW_COLUMNS.items() if name != "bad"})
    other.grow(3)
    with pytest.raises(ValueError, match="other columns"):
        PackedWindow().put(0, encode_block(other.copy(0)))


def forms(part: FleetPartition) -> set[type]:
    return {type(window) for window in part.windows.windows.values()}


@pytest.mark.parametrize("block_rows", [2, 2048])
def test_a_partition_that_compresses_publishes_the_same(block_rows: int) -> None:
    """Windows are compressed once a snapshot has them: without snapshots, none is."""
    frames = stream(5)
    with blocks_of(block_rows):
        packing, plain = partition(), partition()
        changelog: dict[bytes, bytes | None] = {}
        compressed = 0
        for n, frame in enumerate(frames):
            assert summary(packing.apply(frame)) == summary(plain.apply(frame))
            if n % 7 == 0:
                changelog |= dict(packing.snapshot().writes())
            compressed += PackedWindow in forms(packing)
            if n % 100 == 99:
                packing = taken_over(packing, changelog)
        assert compressed > len(frames) / 10
        assert forms(plain) == {OpenWindow}


def summary(out: Outputs) -> tuple[object, ...]:
    return out.windows, out.partials, out.rejected


def taken_over(part: FleetPartition, changelog: dict[bytes, bytes | None]) -> FleetPartition:
    """Another worker's partition, from a last snapshot of this one."""
    changelog |= dict(part.snapshot().writes())
    recovered = recover({key: value for key, value in changelog.items() if value is not None})
    assert recovered is not None
    successor = partition()
    successor.restore(recovered)
    assert successor.windows.dirty == part.windows.dirty
    return successor


def test_windows_of_the_present_quarter_stay_open() -> None:
    part = partition()
    for frame in stream(6)[:-1]:
        part.apply(frame)
        part.snapshot()
    quarter_ms = part.clock.next_close_ms[900_000]
    for (_, start_ms), window in part.windows.windows.items():
        if start_ms >= quarter_ms:
            assert isinstance(window, OpenWindow)
    assert PackedWindow in forms(part)
