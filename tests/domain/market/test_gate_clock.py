"""Which gates open and close at a time."""

from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.domain.market.gate_clock import (
    closed_start,
    closed_starts,
    cut_off_ms,
    next_change_ms,
    open_start,
)
from vpp_streams.domain.market.sim_market import sim_rules

MINUTE = 60_000
RULES = sim_rules(MINUTE, 10_000)
TIMES = st.integers(0, 10**13)
LENGTHS = st.integers(1, 3600).map(lambda s: s * 1000)


def test_the_gate_of_an_interval_closes_ten_seconds_before_it() -> None:
    assert open_start(49_999, RULES) == MINUTE
    assert open_start(50_000, RULES) == 2 * MINUTE
    assert closed_start(50_000, RULES) == MINUTE
    assert next_change_ms(50_000, RULES) == 110_000


@given(TIMES, LENGTHS, st.integers(1, 10**7))
def test_one_gate_is_open_at_any_time_and_closes_next(
    now_ms: int, interval_ms: int, gate_ms: int
) -> None:
    rules = sim_rules(interval_ms, gate_ms)
    start, change = open_start(now_ms, rules), next_change_ms(now_ms, rules)
    assert start % interval_ms == 0
    assert now_ms < start - gate_ms == change <= now_ms + interval_ms
    assert closed_start(now_ms, rules) == start - interval_ms
    assert open_start(change, rules) == start + interval_ms
    assert open_start(change - 1, rules) == start


@given(TIMES, st.integers(0, 10**7), LENGTHS, st.integers(1, 10**5))
def test_what_is_closed_between_two_times_has_no_hole(
    now_ms: int, back_ms: int, interval_ms: int, gate_ms: int
) -> None:
    rules = sim_rules(interval_ms, gate_ms)
    starts = closed_starts(now_ms - back_ms, now_ms, rules)
    assert all(start - gate_ms <= now_ms and start >= now_ms - back_ms for start in starts)
    assert starts.stop > closed_start(now_ms, rules) >= starts.stop - interval_ms or not starts
    assert starts.start - interval_ms < now_ms - back_ms


def test_a_decision_is_made_a_tenth_before_the_gate_and_no_later_than_two_seconds() -> None:
    assert cut_off_ms(100_000, MINUTE) == 94_000
    assert cut_off_ms(100_000, 5 * MINUTE) == 70_000
    assert cut_off_ms(100_000, 4_000) == 98_000
