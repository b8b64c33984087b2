"""A process that is killed at any moment: no kept reading is lost, and no number is given twice."""

import random
from pathlib import Path
from time import sleep

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

    @property
    def new_boot(self) -> str:
        """The boot id that would be drawn: after the first start, there is one already."""
        return "another" if self.opens else "b1"

    def one_life(self) -> None:
        """Measure and ack, until the process is killed at a random moment."""
        child = RingProcess(self.path, self.new_boot)
        try:
            if self.rng.random() < 0.2:  # killed while it opens the file
                sleep(self.rng.uniform(0, 0.2))
                child.kill()
            opened = child.answer()
            if opened is not None:
                assert opened[1] == "b1", "the boot id survives"
                self.opens.append(opened[2])
                while self._one_step(child, last=self.rng.random() < 0.1):
                    pass
        finally:
            child.kill()
            child.wait()
        self._check()

    def _one_step(self, child: RingProcess, *, last: bool) -> bool:
        """Returns whether the process lives; a ``last`` request is one at which it is killed.

        A request without an answer may have been done or not.
        """
        first = (
            self.rng.choice(sorted(self.kept)) if self.kept and self.rng.random() < 0.2 else None
        )
        self.asked = {seq for seq in self.kept if first is not None and first <= seq < first + 10}
        try:
            if first is None:
                self.value += 1
                child.ask("add", self.value)
            else:
                child.ask("ack", first, first + 9)
        except BrokenPipeError:
            return False
        if last:
            sleep(self.rng.expovariate(1 / 0.002))
            child.kill()
        answer = child.answer()
        if answer is None:
            return False
        if first is None:
            assert answer[1] not in self.numbers, "a number is given once"
            self.numbers[answer[1]] = self.kept[answer[1]] = float(self.value)
        self.kept = {seq: v for seq, v in self.kept.items() if seq not in self.asked}
        self.forgotten |= self.asked
        self.asked = set()
        return True

    def _check(self) -> None:
        ring = file_ring(self.path, boots=self.new_boot)
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
    assert inverter.value > 3 * times, "it was killed at work"
    assert inverter.forgotten
    assert sorted(inverter.opens) == inverter.opens


def test_a_killed_process_loses_and_repeats_nothing(tmp_path: Path) -> None:
    kill_often(tmp_path / "ring.db", times=15, seed=1)


@pytest.mark.nightly
def test_a_process_that_is_killed_200_times_loses_and_repeats_nothing(tmp_path: Path) -> None:
    kill_often(tmp_path / "ring.db", times=200, seed=2)
