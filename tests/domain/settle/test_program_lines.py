"""Payments by rate: per kWh, per event, and for availability."""

import numpy as np
import pytest

from schemas.programs import Program
from tests.support.settle_world import (
    BOOKS,
    HOUR,
    START,
    amounts,
    delivered,
    enrolled,
    everybody,
    fleet,
    floats,
    terms,
)
from vpp_streams.domain.settle.corrections import balances, settled
from vpp_streams.domain.settle.events import Event
from vpp_streams.domain.settle.program_lines import availability_lines, event_lines

IDS = ["a", "b", "c"]
EVENT = Event("north", (START, START + 2 * HOUR), 1)
BY_RATE = terms(program_id="rate", owner_share=0.0, per_kwh_micros=300_000)


def paid(program: Program, battery_wh: list[float], kind: str) -> dict[str, int]:
    lines = event_lines(
        EVENT, fleet(*IDS), delivered(battery_wh), enrolled(IDS, program), takes_part=everybody(3)
    )
    entries = settled(lines, BOOKS)
    assert entries is not None
    return amounts(entries, kind)


def test_delivered_energy_is_paid_by_the_kwh() -> None:
    found = paid(BY_RATE, [5_000.0, -200.0, np.nan], "energy")
    assert found == {"a": 1_500_000, "b": 0, "c": 0}


def test_an_event_is_paid_to_those_who_delivered() -> None:
    program = terms(BY_RATE, per_kwh_micros=0, per_event_micros=2_000_000)
    assert paid(program, [5_000.0, 0.0, np.nan], "event") == {"a": 2_000_000, "b": 0, "c": 0}


def test_the_operator_pays_by_rate() -> None:
    lines = event_lines(
        EVENT,
        fleet(*IDS),
        delivered([5_000.0, 1.0, 0.0]),
        enrolled(IDS, BY_RATE),
        takes_part=everybody(3),
    )
    entries = settled(lines, BOOKS)
    assert entries is not None
    assert balances(entries)["operator"] == -1_500_300
    assert sum(balances(entries).values()) == 0


def test_a_program_that_does_not_pay_by_rate_has_no_line() -> None:
    lines = event_lines(
        EVENT, fleet(*IDS), delivered([1.0] * 3), enrolled(IDS), takes_part=everybody(3)
    )
    assert lines == ()


def available(program: Program, hours: list[float], month_hours: float = 720.0) -> dict[str, int]:
    span = (START, START + round(month_hours * HOUR))
    lines = availability_lines(
        span, span[1] - span[0], fleet(*IDS), floats(*hours), enrolled(IDS, program)
    )
    entries = settled(lines, BOOKS)
    assert entries is not None
    assert [row["coverage"] for row in entries.to_pylist()] == pytest.approx(
        [h / month_hours for h in hours]
    )
    return amounts(entries, "availability")


def test_availability_is_paid_for_the_hours_that_were_measured() -> None:
    """5 kW at 0.0012 per kW and hour."""
    program = terms(BY_RATE, per_kwh_micros=0, per_kw_hour_micros=1_200)
    assert available(program, [720.0, 360.0, 0.0]) == {"a": 4_320_000, "b": 2_160_000, "c": 0}


@pytest.mark.parametrize("month_hours", [720.0, 743.0, 745.0, 743.5])
def test_a_month_of_any_length_pays_the_same_for_all_of_it(month_hours: float) -> None:
    program = terms(BY_RATE, per_kwh_micros=0, per_kw_month_micros=2_000_000)
    assert available(program, [month_hours, 0.0, month_hours / 2], month_hours) == {
        "a": 10_000_000,
        "b": 0,
        "c": 5_000_000,
    }
