"""The ring on a disk: what a start, a full disk, a damaged file and a second process do to it."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.durable_ring import DurableRing
from edge.ring import MemoryRing, Ring
from edge.store import InUseError, Store
from tests.support.edge_ring import DAY_MS, file_ring, kept, reading


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring.db"


def test_readings_numbers_and_boot_survive_a_restart(path: Path) -> None:
    ring = file_ring(path, boots="b1")
    for value in range(5):
        assert ring.add(reading(value), 0) == (value, 0)
    assert ring.forget([0, 1, 4]) == 3
    ring.close()
    again = file_ring(path, boots="b2")
    assert (again.boot, again.next_seq, again.oldest_seq, len(again)) == ("b1", 5, 2, 2)
    assert kept(again) == {2: 2.0, 3: 3.0}
    again.close()


def test_numbers_go_on_although_every_reading_is_acked(path: Path) -> None:
    ring = file_ring(path)
    for value in range(5):
        ring.add(reading(value), 0)
    ring.forget(range(5))
    ring.close()
    again = file_ring(path)
    assert (again.next_seq, again.oldest_seq, len(again)) == (5, 5, 0)
    again.close()


def test_a_full_ring_drops_the_oldest_and_counts_it_for_good(path: Path) -> None:
    ring = file_ring(path, capacity=10)
    assert [ring.add(reading(value), 0)[1] for value in range(13)] == [0] * 10 + [1] * 3
    assert (list(kept(ring)), ring.dropped) == (list(range(3, 13)), 3)
    ring.close()
    again = file_ring(path, capacity=10)
    assert again.dropped == 3
    again.close()


def test_a_smaller_ring_gets_there_step_by_step(path: Path) -> None:
    ring = file_ring(path, capacity=200)
    for value in range(200):
        ring.add(reading(value), 0)
    ring.close()
    smaller = file_ring(path, capacity=100)
    assert [smaller.add(reading(200 + i), 0)[1] for i in range(4)] == [50, 50, 3, 1]
    assert list(kept(smaller)) == list(range(104, 204))
    smaller.close()


def test_readings_that_are_too_old_are_dropped(path: Path) -> None:
    ring = file_ring(path, keep_ms=10_000)
    for value in (0, 1, 2, 11, 12, 13):
        ring.add(reading(value), 0)
    assert (list(kept(ring).values()), ring.dropped) == ([11.0, 12.0, 13.0], 3)
    ring.close()


def test_a_clock_that_is_wrong_for_a_moment_empties_no_ring(path: Path) -> None:
    ring = file_ring(path)
    for value in range(120):
        ring.add(reading(value), 0)
    assert ring.add(reading(100 * DAY_MS // 1000), 0) == (120, 50)
    ring.add(reading(121), 0)
    assert len(ring) == 72
    ring.close()


def test_each_boot_keeps_its_readings_and_no_run_crosses_it(path: Path) -> None:
    ring = file_ring(path, boots="b1")
    for value in range(3):
        ring.add(reading(value), 0)
    ring.renew("b2")
    for value in range(3, 6):
        ring.add(reading(value), 0)
    ring.close()
    again = file_ring(path)
    assert (again.boot, [again.boot_of(seq) for seq in range(6)]) == ("b2", ["b1"] * 3 + ["b2"] * 3)
    assert again.due_run(0, 10) == range(3)
    again.set_due(range(3), 100)
    assert again.due_run(0, 10) == range(3, 6)
    again.close()


def test_one_process_uses_a_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.store.LOCKED_FOR_S", 0.0)
    ring = file_ring(path)
    with pytest.raises(InUseError, match=r"another process uses .*ring\.db"):
        file_ring(path)
    ring.close()


def fails_once(monkeypatch: pytest.MonkeyPatch, method: str, code: int) -> None:
    """Have the next call of a `Store` method fail as SQLite does."""
    real = getattr(Store, method)

    def fail(store: Store, *arguments: Any) -> None:
        monkeypatch.setattr(Store, method, real)
        error = sqlite3.DatabaseError("as if")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(Store, method, fail)


def damage(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 3000)


@pytest.mark.parametrize("at", [0, 4096 * 3])
def test_a_damaged_file_is_put_aside_and_another_boot_begins(
    path: Path, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    ring = file_ring(path, boots="b1")
    for value in range(300):
        ring.add(reading(value), 0)
    ring.close()
    damage(path, at)
    again = file_ring(path, boots="b2")
    assert (again.boot, len(again), again.put_aside, again.on_disk) == ("b2", 0, 1, True)
    assert again.add(reading(7), 0)[1] == 0
    assert kept(again) == {again.next_seq - 1: 7.0}
    again.close()
    assert path.with_name("ring.db.unreadable").exists()
    (record,) = caplog.records
    assert record.levelname == "CRITICAL"
    assert "ring.db is damaged" in record.getMessage()


def test_a_file_of_something_else_is_put_aside_too(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photos (id INTEGER)")
    db.close()
    ring = file_ring(path)
    assert (ring.put_aside, len(ring)) == (1, 0)
    ring.close()


def test_damage_that_appears_while_it_runs_ends_neither_readings_nor_the_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = file_ring(path, boots="b1 b2")
    ring.add(reading(0), 0)
    fails_once(monkeypatch, "bodies", sqlite3.SQLITE_CORRUPT)
    assert ring.bodies(range(1)) == [None]
    seq, _ = ring.add(reading(1), 0)
    assert (ring.boot, seq, kept(ring), ring.on_disk) == ("b2", 1, {1: 1.0}, True)
    ring.close()
    assert path.with_name("ring.db.unreadable").exists()


def test_a_disk_that_cannot_be_written_is_replaced_by_memory(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = file_ring(path, boots="b1 b2")
    ring.add(reading(0), 0)
    fails_once(monkeypatch, "append", sqlite3.SQLITE_FULL)
    ring.add(reading(1), 0)
    ring.add(reading(2), 0)
    assert (ring.on_disk, ring.boot, ring.next_seq) == (False, "b2", 3)
    assert "cannot be written" in caplog.records[0].getMessage()
    in_memory = kept(ring)
    ring.close()
    again = file_ring(path)
    assert again.boot == "b1", "the file has what it had"
    assert (list(kept(again)), list(in_memory)) == ([0], [1, 2])
    again.close()


def test_a_folder_that_is_not_there_leaves_memory(path: Path) -> None:
    ring = file_ring(path / "missing" / "ring.db")
    assert ring.add(reading(0), 0) == (0, 0)
    assert not ring.on_disk
    ring.close()


@hypothesis_settings(max_examples=20, stateful_step_count=40)
class SameAsInMemory(RuleBasedStateMachine):
    """Whatever is done to both rings, and however often the file is opened, they answer alike."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "ring.db"
        self.disk: DurableRing = file_ring(self.path, capacity=20, boots="b0")
        self.memory = MemoryRing("b0", 20)
        self.now_ms = 0
        self.boots = 0

    @property
    def both(self) -> tuple[Ring, Ring]:
        return self.disk, self.memory

    @rule(later_ms=st.integers(0, 30))
    def add(self, later_ms: int) -> None:
        body = reading(self.memory.next_seq)
        one, other = (ring.add(body, self.now_ms + later_ms) for ring in self.both)
        assert one == other

    @rule(data=st.data())
    def acked(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(0, self.memory.next_seq))
        last = data.draw(st.integers(first, self.memory.next_seq + 3))
        one, other = (ring.within(first, last) for ring in self.both)
        assert one == other
        gone, also_gone = (ring.forget(one) for ring in self.both)
        assert gone == also_gone

    @rule(most=st.integers(1, 8), later_ms=st.integers(0, 30))
    def backfill(self, most: int, later_ms: int) -> None:
        one, other = (ring.due_run(self.now_ms, most) for ring in self.both)
        assert one == other
        assert self.disk.bodies(one) == self.memory.bodies(one)
        assert len({self.disk.boot_of(seq) for seq in one}) <= 1
        for ring in self.both:
            ring.set_due(one, self.now_ms + later_ms)

    @rule(by_ms=st.integers(0, 20))
    def time_passes(self, by_ms: int) -> None:
        self.now_ms += by_ms

    @rule()
    def link_lost(self) -> None:
        for ring in self.both:
            ring.all_due()

    @rule()
    def another_boot(self) -> None:
        self.boots += 1
        for ring in self.both:
            ring.renew(f"b{self.boots}")

    @rule()
    def restart(self) -> None:
        self.disk.close()
        self.disk = file_ring(self.path, capacity=20, boots="unused")
        self.memory.all_due()

    @invariant()
    def alike(self) -> None:
        disk, memory = self.both
        assert len(disk) == len(memory)
        assert (disk.boot, disk.next_seq) == (memory.boot, memory.next_seq)
        assert disk.oldest_seq == memory.oldest_seq
        assert disk.waiting(self.now_ms) == memory.waiting(self.now_ms)
        seqs = memory.within(0, memory.next_seq)
        assert [disk.boot_of(seq) for seq in seqs] == [memory.boot_of(seq) for seq in seqs]

    def teardown(self) -> None:
        self.disk.close()
        self.folder.cleanup()


TestSameAsInMemory = SameAsInMemory.TestCase
