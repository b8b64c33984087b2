"""Events: awards that follow each other in one direction, cut at noon and midnight."""

from tests.support.settle_world import BERLIN, HOUR, INTERVAL, START, award
from vpp_streams.domain.settle.events import events_of, pieces
from vpp_streams.domain.settle.periods import half_day_end_ms

NOON = START + 11 * HOUR
"""In Berlin."""


def test_awards_that_follow_each_other_are_one_event() -> None:
    awards = [award(START + k * INTERVAL) for k in (1, 0, 3, 4, 5)]
    towards = {each.bid_id: 1 for each in awards} | {awards[4].bid_id: -1}
    found = events_of(awards, towards, BERLIN)
    assert [(e.span[0] - START, e.span[1] - START, e.towards) for e in found] == [
        (0, 2 * INTERVAL, 1),
        (3 * INTERVAL, 5 * INTERVAL, 1),
        (5 * INTERVAL, 6 * INTERVAL, -1),
    ]
    assert events_of(awards, {}, BERLIN) == ()


def test_awards_of_two_markets_are_two_events() -> None:
    sold = award(bid_id="other", market="other")
    found = events_of([award(), sold], {award().bid_id: 1, "other": 1}, BERLIN)
    assert [(event.market, event.requests) for event in found] == [
        ("other", ("other",)),
        ("sim", (award().bid_id,)),
    ]


def test_an_event_is_cut_at_noon() -> None:
    awards = [award(NOON + k * INTERVAL) for k in (-2, -1, 0)]
    found = events_of(awards, {each.bid_id: 1 for each in awards}, BERLIN)
    assert [event.span for event in found] == [
        (NOON - 2 * INTERVAL, NOON),
        (NOON, NOON + INTERVAL),
    ]


def test_half_days_end_at_noon_and_midnight_whatever_clocks_do() -> None:
    """On 26 October 2025 Berlin has 25 hours: its morning has 13."""
    midnight_ms = 1_761_429_600_000
    noon_ms = midnight_ms + 13 * HOUR
    assert half_day_end_ms(midnight_ms, BERLIN) == noon_ms
    assert half_day_end_ms(noon_ms - 1, BERLIN) == noon_ms
    assert half_day_end_ms(noon_ms, BERLIN) == noon_ms + 12 * HOUR
    assert list(pieces((midnight_ms + HOUR, noon_ms + HOUR), BERLIN)) == [
        (midnight_ms + HOUR, noon_ms),
        (noon_ms, noon_ms + HOUR),
    ]
