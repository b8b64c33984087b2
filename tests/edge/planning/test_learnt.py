"""What a home has learnt survives a restart, and no state of its file stops the agent."""

import logging
import math
from pathlib import Path

import pytest

from edge.optimizer.forecaster import DAYS
from edge.planning.learnt import Learnt
from edge.planning.slots import Slot
from edge.planning.tariff import PER_DAY


def test_slots_come_back_as_they_were_added(tmp_path: Path) -> None:
    path = tmp_path / "learnt"
    assert Learnt(path).read() == []
    Learnt(path).add(Slot(1, 512.34, 0.0))
    Learnt(path).add(Slot(2, math.nan, 10.0))
    first, second = Learnt(path).read()
    assert first == Slot(1, 512.3, 0.0)
    assert (second.number, second.solar_w) == (2, 10.0)
    assert math.isnan(second.load_w)


def test_lines_that_are_torn_or_wrong_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "learnt"
    path.write_bytes(b"1 500.0 0.0\n2 50\nx y z\n-4 1 1\n5 inf 1\n\xff\xfe\n6 1.0 2.0\n7 3")
    assert Learnt(path).read() == [Slot(1, 500.0, 0.0), Slot(6, 1.0, 2.0)]
    Learnt(path).add(Slot(8, 1.0, 1.0))
    assert Learnt(path).read()[-1] == Slot(8, 1.0, 1.0), "a torn line spoils no other"


def test_the_file_stays_short(tmp_path: Path) -> None:
    path = tmp_path / "learnt"
    most = DAYS * PER_DAY
    path.write_text("".join(f"{n} 1.0 2.0\n" for n in range(2 * most + 1)))
    slots = Learnt(path).read()
    assert [slots[0].number, slots[-1].number] == [most + 1, 2 * most]
    assert len(path.read_text().splitlines()) == most


def test_a_disk_that_fails_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    learnt = Learnt(tmp_path)  # a folder cannot be written
    with caplog.at_level(logging.WARNING):
        assert learnt.read() == []
        learnt.add(Slot(1, 1.0, 1.0))
        learnt.add(Slot(2, 1.0, 1.0))
    assert len(caplog.records) == 1
