"""What another request takes of an award's time counts neither for nor against the fleet.

The events are those of a region's own book of requests.
"""

from typing import Any

import msgspec
import pytest

from schemas.dispatch import DispatchStatus, Missing, Request
from tests.support.award_story import (
    AWARDED_W,
    AWARDS,
    IDS,
    INTERVAL_MS,
    deliveries_of,
    events_of,
    windows_of,
)
from tests.support.control_requests import MINUTE_MS, T0, hold, target, withdraw
from vpp_streams.domain.market.delivery import delivery_error, measured, of_the_fleet
from vpp_streams.domain.market.overrides import HOLDS_MS, Override, Overrides, overridden_ms
from vpp_streams.domain.market.reserve import ReservePolicy, dependable
from vpp_streams.domain.market.rules import Storage

BATTERIES = Storage(500e3, 100e3, 100e3)
BEGIN, END = T0 + 42 * MINUTE_MS + 30_000, T0 + 90 * MINUTE_MS
ORDER = target(
    "emergency-1", export_w=-80e3, priority="emergency", issued_at_ms=BEGIN,
    starts_at_ms=BEGIN, ends_at_ms=END, best_effort=True,
)  # fmt: skip


def follows(start_ms: int) -> float:
    """Battery power of a fleet that does what is asked, by the start of a window."""
    if BEGIN < start_ms < END:
        return -80e3
    return -10e3 if start_ms == BEGIN - 30_000 else AWARDED_W


def availability(deliveries: list[Any]) -> float:
    return dependable(BATTERIES, deliveries, ReservePolicy()).availability


def test_an_order_in_the_middle_leaves_the_bids_after_it_whole() -> None:
    windows = windows_of(follows)
    assert availability([measured(one, windows) for one in AWARDS]) == 0.5, "as it was"
    found = deliveries_of(events_of((BEGIN, ORDER)), windows)
    assert availability(found) == 1.0
    assert delivery_error(found) == pytest.approx(0.0)
    by_s = [(one.overridden_s, one.overridden_by) for one in found]
    assert by_s[:8] == [(0.0, ())] * 8
    assert by_s[8] == (150.0, ("emergency-1",))
    assert by_s[9:18] == [(300.0, ("emergency-1",))] * 9
    assert by_s[18:] == [(0.0, ())] * 6


def test_of_an_interval_that_is_cut_the_rest_is_evidence() -> None:
    """The order takes half of the ninth interval: two whole windows are before it."""
    found = deliveries_of(events_of((BEGIN, ORDER)), windows_of(follows))
    assert of_the_fleet(found[8]) == (AWARDED_W, pytest.approx(AWARDED_W))
    assert of_the_fleet(found[9]) is None
    assert found[8].measured_w == pytest.approx((2 * 60e3 - 10e3 - 2 * 80e3) / 5), "is all of it"


def test_a_fleet_that_fails_outside_of_the_order_still_counts() -> None:
    def half(start_ms: int) -> float:
        return 0.5 * AWARDED_W if start_ms < BEGIN - 30_000 else follows(start_ms)

    found = deliveries_of(events_of((BEGIN, ORDER)), windows_of(half))
    assert of_the_fleet(found[8]) == (AWARDED_W, pytest.approx(AWARDED_W / 2))
    assert availability(found) == 0.5
    kept = deliveries_of(events_of((BEGIN, ORDER)), windows_of(follows))
    assert availability([*kept[:8], *[found[8]] * 3, *kept[9:]]) < 1.0, "also in that interval"


def test_after_an_order_devices_have_a_moment_to_come_back() -> None:
    one = AWARDS[0]
    until_ms = one.start_ms + MINUTE_MS - 1_000
    low = windows_of(lambda start_ms: 0.0 if start_ms < T0 + 2 * MINUTE_MS else AWARDED_W)
    found = measured(one, low, (Override(T0, until_ms, ("x",)),))
    assert of_the_fleet(found) == (AWARDED_W, pytest.approx(AWARDED_W))
    assert found.overridden_s == 59.0


@pytest.mark.parametrize(
    ("request_", "at_ms", "by"),
    [
        (hold("h1", BEGIN), BEGIN, "h1"),
        (msgspec.structs.replace(ORDER, export_w=None), BEGIN, "emergency-1"),
        (withdraw(AWARDS[9].bid_id), AWARDS[9].start_ms + MINUTE_MS, "w1"),
    ],
)
def test_holds_and_withdrawals_are_not_the_fleets_either(
    request_: Request, at_ms: int, by: str
) -> None:
    found = deliveries_of(events_of((at_ms, request_)), windows_of(follows))
    assert found[9].overridden_by == (by,)
    assert found[9].overridden_s == (300.0 if by != "w1" else 240.0)


def test_an_award_that_follows_another_takes_nothing_of_it() -> None:
    assert {one.overridden_s for one in deliveries_of(events_of(), windows_of(follows))} == {0.0}


def test_an_order_below_the_market_takes_nothing() -> None:
    weak = msgspec.structs.replace(ORDER, priority="operator")
    found = deliveries_of(events_of((BEGIN, weak)), windows_of(follows))
    assert {one.overridden_s for one in found} == {0.0}


def limited(at_ms: int, *by: str) -> DispatchStatus:
    cut = (Missing(cause="limit", devices=0, up_w=1e3, down_w=0.0),) if by else ()
    return DispatchStatus(
        region="north", at_ms=at_ms, mode="target", measured_w=0.0, net_load_w=0.0,
        capability=(), states={}, causes=cut, limited_by=by,
        partitions_expected=1, partitions_heard=1,
    )  # fmt: skip


def test_a_limit_counts_while_it_cuts_the_target() -> None:
    known = Overrides()
    for second in range(30):
        by = ("grid-7",) if 10 <= second < 20 else ()
        known.apply(limited(T0 + second * 1000, *by))
    assert known.of(AWARDS[0], IDS) == (Override(T0 + 10_000, T0 + 20_000, ("grid-7",)),)
    assert known.now(AWARDS[0], IDS, T0 + 15_000) == ("grid-7",)
    assert known.now(AWARDS[0], IDS, T0 + 25_000) == ()


def test_what_a_silent_region_was_limited_by_is_not_drawn_out() -> None:
    known = Overrides()
    known.apply(limited(T0, "grid-7"))
    known.apply(limited(T0 + 60_000, "grid-8"))
    assert known.of(AWARDS[0], IDS) == (
        Override(T0, T0 + HOLDS_MS, ("grid-7",)),
        Override(T0 + 60_000, T0 + 60_000 + HOLDS_MS, ("grid-8",)),
    )


def test_overrides_that_overlap_count_once_and_old_ones_are_forgotten() -> None:
    known = Overrides()
    for event in events_of((BEGIN, ORDER)):
        known.apply(event)
    ninth = AWARDS[9]
    known.apply(limited(ninth.start_ms + MINUTE_MS, "grid-7"))
    (both,) = known.of(ninth, IDS)
    assert both.by == ("emergency-1", "grid-7")
    assert overridden_ms((both,), 0, 2 * T0) == INTERVAL_MS
    known.forget(END)
    assert known.of(ninth, IDS) == ()
