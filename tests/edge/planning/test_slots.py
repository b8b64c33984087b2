"""Quarters of an hour by the home's own clock."""

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from edge.planning.slots import Slot, SlotMeans, slot_of
from edge.planning.tariff import PER_DAY

BERLIN = ZoneInfo("Europe/Berlin")


def at(time: str) -> int:
    return round(datetime.fromisoformat(time + "Z").timestamp() * 1000)


@pytest.mark.parametrize("month", [1, 7])
def test_a_slot_is_a_time_of_day_and_weeks_begin_on_mondays(month: int) -> None:
    noon = datetime(2026, month, 5, 12, tzinfo=BERLIN)
    slot = slot_of(round(noon.timestamp() * 1000), BERLIN)
    assert slot % PER_DAY == 48
    assert slot // PER_DAY % 7 == noon.weekday()


def test_an_hour_is_left_out_in_spring_and_repeated_in_autumn() -> None:
    spring = [slot_of(at(f"2026-03-29T0{hour}:00"), BERLIN) for hour in (0, 1)]
    autumn = [slot_of(at(f"2026-10-25T0{hour}:00"), BERLIN) for hour in (0, 1)]
    assert spring[1] - spring[0] == 8
    assert autumn[1] == autumn[0]


def test_the_mean_of_a_slot_is_by_time_and_complete_with_the_next() -> None:
    means = SlotMeans()
    assert means.add(7, 1000.0, 0.0, 300.0) is None
    assert means.add(7, 4000.0, math.nan, 300.0) is None
    slot = means.add(8, 0.0, 0.0, 1.0)
    assert slot is not None
    assert (slot.number, slot.load_w) == (7, 2500.0)
    assert math.isnan(slot.solar_w), "a third of the slot is too little"


def test_slots_without_the_agent_are_not_made_up() -> None:
    means = SlotMeans()
    means.add(7, 1000.0, 0.0, 900.0)
    assert means.add(20, 1000.0, 0.0, 900.0) == Slot(7, 1000.0, 0.0)
    slot = means.add(21, 1.0, 1.0, 1.0)
    assert slot == Slot(20, 1000.0, 0.0)
