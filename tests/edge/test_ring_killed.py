"""A process that is killed at any moment: no kept reading is lost, and no number is given twice."""

import random
from pathlib import Path
from threading import Timer

import pytest

from tests.support.edge_ring import RingProcess, file_ring, kept


class Inverter:
    """The other side: it knows what it measured, and what the ring confirmed."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.rng = random.Random(seed)
        self.value = 0
        self.kept: dict[int, float] = {}
        """Value of each reading that the ring has confirmed, and nobody has acked, by number."""
        self.asked: set[int] = set()
        """Acked; the ring has not confirmed that."""
        self.forgotten: set[int] = set()
        """Acked, and confirmed to be deleted."""
        self.numbers: dict[int, float] = {}
        """Value of every number that was ever given."""
        self.opens: list[int] = []

    def one_life(self) -> None:
        """Measure and ack at random until the process is killed, at a random moment."""
        child = RingProcess(self.path, "b1" if not self.opens else "another")
        try:
            if self.rng.random() < 0.2:  # killed while it opens the file
                Timer(self.rng.uniform(0, 0.15), child.kill).start()
            opened = child.answer()
            Timer(self.rng.uniform(0, 0.06), child.kill).start()
            if opened is not None:
                assert opened[1] == "b1", "the boot id survives"
                self.opens.append(opened[2])
                while self._one_step(child):
                    pass
        finally:
            child.kill()
            child.wait()
        self._check()

    def _one_step(self, child: RingProcess) -> bool:
        """Returns whether the process lives. An unanswered request may have been done or not."""
        try:
            if self.kept and self.rng.random() < 0.2:
                return self._ack(child)
            self.value += 1
            child.ask("add", self.value)
            answer = child.answer()
        except BrokenPipeError:
            return False
        if answer is None:
            return False
        seq = answer[1]
        assert seq not in self.numbers, "a number is given once"
        self.numbers[seq] = self.kept[seq] = float(self.value)
        return True

    def _ack(self, child: RingProcess) -> bool:
        first = self.rng.choice(sorted(self.kept))
        last = first + self.rng.randrange(10)
        self.asked = {seq for seq in self.kept if first <= seq <= last}
        child.ask("ack", first, last)
        if child.answer() is None:
            return False
        self.kept = {seq: v for seq, v in self.kept.items() if seq not in self.asked}
        self.forgotten |= self.asked
        self.asked = set()
        return True

    def _check(self) -> None:
        ring = file_ring(self.path, boots="another")
        there = kept(ring)
        ring.close()
        missing = set(self.kept) - set(there)
        assert missing in (set(), self.asked), "an ack is done completely or not at all"
        assert not self.forgotten & set(there)
        self.forgotten |= missing
        self.asked = set()
        assert all(there[seq] == value for seq, value in self.kept.items() if seq in there)
        extra = {seq: value for seq, value in there.items() if seq not in self.kept}
        assert set(extra.values()) <= {float(self.value)}, "only the unanswered one may be there"
        assert list(there.values()) == sorted(there.values()), "in the order of measurement"
        assert ring.next_seq > max(self.numbers, default=-1)
        for seq, value in extra.items():
            self.numbers[seq] = self.kept[seq] = value
        self.kept = {seq: v for seq, v in self.kept.items() if seq in there}


def kill_often(path: Path, times: int, seed: int) -> None:
    inverter = Inverter(path, seed)
    for _ in range(times):
        inverter.one_life()
    assert inverter.value > 5 * times, "it was killed at work"
    assert inverter.forgotten
    assert sorted(inverter.opens) == inverter.opens


def test_a_killed_process_loses_and_repeats_nothing(tmp_path: Path) -> None:
    kill_often(tmp_path / "ring.db", times=15, seed=1)


@pytest.mark.nightly
def test_a_process_that_is_killed_200_times_loses_and_repeats_nothing(tmp_path: Path) -> None:
    kill_often(tmp_path / "ring.db", times=200, seed=2)
