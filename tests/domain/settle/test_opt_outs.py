"""An owner may leave events as far as the program's rules allow; beyond that it costs the day."""

import numpy as np
import pytest

from schemas.programs import OptOut
from tests.support.settle_world import BERLIN, DAY, HOUR, START, enrolled, opt_out, terms
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.settle.intervals import Span
from vpp_streams.domain.settle.opt_outs import available_hours, lost_days

DAY_0 = START - HOUR
"""Midnight in Berlin."""
RULES = terms(per_kw_hour_micros=1, opt_outs_per_month=2, opt_out_notice_s=3_600)


def left(day: int, announced_before_ms: int = 2 * HOUR, site_id: str = "a") -> OptOut:
    start_ms = DAY_0 + day * DAY + 18 * HOUR
    return opt_out(site_id, start_ms, start_ms + HOUR, start_ms - announced_before_ms)


def days(count: int = 4, coverage: float = 1.0) -> list[tuple[Span, Floats]]:
    return [
        ((DAY_0 + k * DAY, DAY_0 + (k + 1) * DAY), np.array([coverage, 1.0])) for k in range(count)
    ]


def hours(*opt_outs: OptOut, coverage: float = 1.0) -> list[float]:
    known = enrolled(["a", "b"], RULES)
    found = available_hours(days(coverage=coverage), ["a", "b"], known, opt_outs, BERLIN)
    return found.tolist()


def test_as_many_as_are_allowed_cost_no_day() -> None:
    assert lost_days([left(0), left(1)], RULES, BERLIN) == frozenset()


def test_one_more_costs_its_day() -> None:
    lost = lost_days([left(2), left(0), left(1)], RULES, BERLIN)
    assert [day.isoformat() for day in lost] == ["2025-11-25"]


def test_a_late_notice_costs_its_day() -> None:
    assert len(lost_days([left(0, HOUR - 1)], RULES, BERLIN)) == 1
    assert not lost_days([left(0, HOUR)], RULES, BERLIN)


def test_without_a_limit_any_number_may_be_left() -> None:
    free = terms(RULES, opt_outs_per_month=None)
    assert not lost_days([left(day) for day in range(20)], free, BERLIN)


def test_hours_are_those_that_were_measured_without_what_the_owner_left() -> None:
    assert hours() == [96.0, 96.0]
    assert hours(left(0)) == [95.0, 96.0]
    assert hours(left(0, 0)) == [72.0, 96.0]
    assert hours(left(0), left(1), left(2)) == [96.0 - 1 - 1 - 24, 96.0]


def test_what_was_not_measured_is_not_lost_twice() -> None:
    assert hours(coverage=0.5) == [48.0, 96.0]
    assert hours(left(0, 0), coverage=0.5) == pytest.approx([36.0, 96.0])


def test_opt_outs_that_overlap_count_once() -> None:
    first = left(0)
    second = opt_out("a", first.from_ms + HOUR // 2, (first.until_ms or 0) + HOUR // 2, 0)
    assert hours(first, second) == [94.5, 96.0]
