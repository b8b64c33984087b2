"""What was delivered of an award, and what of it will be missing."""

from typing import Any

import msgspec
import pytest

from schemas.dispatch import DispatchStatus, Notice
from schemas.market import Award, Shortfall
from schemas.windows import Deliverable, EnergySums, RegionWindow, RegionWindowSums
from vpp_streams.domain.market.delivery import (
    FRESH_MS,
    SETTLE_MS,
    delivery_error,
    is_whole,
    measured,
    paid_for_energy,
    shortfall,
    window_s,
)
from vpp_streams.domain.market.overrides import Override

MINUTE = 60_000
START = 300_000
AWARD = Award(
    bid_id="sim:north:300000",
    market="sim",
    region="north",
    start_ms=START,
    interval_ms=5 * MINUTE,
    cleared_at_ms=START - 30_000,
    energy_w=60_000.0,
    prices={"energy": 100.0, "reg_up": 12.0},
    capacity_w={"reg_up": 10_000.0},
    currency="USD",
)
NOTHING = EnergySums(0.0, 0.0, 0.0)


def window(start_ms: int, power_w: float, coverage: float = 1.0) -> RegionWindow:
    energy_wh = power_w * coverage / 60
    return RegionWindow(
        window_id=f"north|60|{start_ms}",
        region="north",
        start_ms=start_ms,
        size_s=60,
        revision=0,
        coverage=coverage,
        mean_battery_w=power_w * coverage,
        mean_grid_w=0.0,
        mean_solar_w=0.0,
        mean_load_w=0.0,
        soc_first=None,
        soc_last=None,
        sums=RegionWindowSums(
            sites_expected=1,
            sites_reporting=1,
            readings=60,
            coverage_sum=coverage,
            battery=EnergySums(energy_wh, energy_wh, 0.0),
            grid=NOTHING,
            solar=NOTHING,
            load=NOTHING,
            stored_first_wh=0.0,
            stored_last_wh=0.0,
            usable_wh=0.0,
        ),
    )


def windows(*powers: float) -> dict[int, RegionWindow]:
    return {START + k * MINUTE: window(START + k * MINUTE, w) for k, w in enumerate(powers)}


def test_an_interval_is_the_mean_of_its_windows() -> None:
    told = measured(AWARD, windows(50e3, 60e3, 60e3, 60e3, 65e3))
    assert told.measured_w == pytest.approx(59_000.0)
    assert told.coverage == 1.0
    assert told.money == pytest.approx((0.059 * 100 + 59 / 60 * 0.01 * 12) / 12)


def test_what_is_not_measured_is_not_delivered() -> None:
    """It used to be scaled up from what was, and paid for."""
    told = measured(AWARD, windows(60e3, 60e3, 60e3) | {START + 4 * MINUTE: window(0, 60e3, 0.5)})
    assert told.measured_w == pytest.approx(0.7 * 60_000.0)
    assert told.coverage == pytest.approx(0.7)
    assert told.money == pytest.approx((0.042 * 100 + 0.7 * 0.01 * 12) / 12)


def test_nothing_is_delivered_by_sites_that_never_connected() -> None:
    """25 of 1,025 sites report: a region rated 1.95 MW had "delivered 36.08 MW of 970.89 kW"."""
    told = measured(AWARD, {START + k * MINUTE: window(0, 880e3 * 41, 1 / 41) for k in range(5)})
    assert told.measured_w == pytest.approx(880e3)
    assert told.coverage == pytest.approx(1 / 41)


def test_windows_of_other_intervals_do_not_count() -> None:
    beside = {START - MINUTE: window(START - MINUTE, 1e6), START + 5 * MINUTE: window(0, 1e6)}
    told = measured(AWARD, windows(*[60e3] * 5) | beside)
    assert told.measured_w == pytest.approx(60_000.0)


def test_nothing_measured_is_no_coverage() -> None:
    assert measured(AWARD, {}).coverage == 0.0


def test_an_interval_is_whole_with_all_of_its_windows() -> None:
    assert is_whole(AWARD, windows(1, 2, 3, 4, 5))
    assert not is_whole(AWARD, windows(1, 2, 3, 4))


def test_short_intervals_have_windows_of_their_own_length() -> None:
    assert (window_s(300_000), window_s(60_000), window_s(4_000)) == (60, 60, 4)


def test_an_error_of_one_interval_does_not_make_up_for_anothers() -> None:
    given = [measured(AWARD, windows(*[power_w] * 5)) for power_w in (54_000.0, 66_000.0)]
    assert delivery_error(given) == pytest.approx(0.1)
    assert delivery_error([*given, measured(AWARD, {})]) == pytest.approx(0.1)
    assert delivery_error([measured(AWARD, {})]) is None
    assert delivery_error([]) is None


def test_energy_is_paid_as_measured() -> None:
    assert paid_for_energy(AWARD, 0.0) == 0.0
    assert paid_for_energy(AWARD, -60_000.0) == pytest.approx(-6 / 12)


def test_an_award_that_is_missed_completely_earns_nothing() -> None:
    """Its capacity used to be paid as awarded."""
    missed = measured(AWARD, windows(0.0, 0.0, 0.0, 0.0, 0.0))
    assert (missed.money, missed.capacity_money, missed.capacity_share) == (0.0, 0.0, 0.0)
    against = measured(AWARD, windows(*[-60e3] * 5))
    assert against.money == pytest.approx(-6 / 12)
    assert measured(AWARD, {}).money == 0.0


def test_capacity_is_paid_as_far_as_it_was_delivered() -> None:
    half = measured(AWARD, windows(*[30e3] * 5))
    assert half.capacity_share == pytest.approx(0.5)
    assert half.capacity_money == pytest.approx(0.5 * 0.01 * 12 / 12)
    assert half.money == pytest.approx((0.03 * 100 + 0.5 * 0.01 * 12) / 12)
    more = measured(AWARD, windows(*[90e3] * 5))
    assert more.capacity_share == 1.0


def test_capacity_that_was_only_held_is_paid_as_far_as_it_was_measured() -> None:
    held = msgspec.structs.replace(AWARD, energy_w=0.0)
    assert measured(held, windows(*[0.0] * 5)).capacity_share == 1.0
    two = {START + k * MINUTE: window(START + k * MINUTE, 0.0) for k in range(2)}
    assert measured(held, two).capacity_share == pytest.approx(0.4)


def test_capacity_is_not_paid_while_another_request_took_the_region() -> None:
    taken = Override(START, START + MINUTE, ("operator-1",))
    told = measured(AWARD, windows(-60e3, *[60e3] * 4), (taken,))
    assert told.capacity_share == pytest.approx(0.8)


def test_an_award_without_capacity_has_no_share_of_it() -> None:
    alone = msgspec.structs.replace(AWARD, capacity_w={})
    assert measured(alone, windows(*[60e3] * 5)).capacity_share is None


def status(at_ms: int, **changes: Any) -> DispatchStatus:
    fields: dict[str, Any] = {
        "region": "north",
        "at_ms": at_ms,
        "mode": "target",
        "request_id": AWARD.bid_id,
        "asked_w": AWARD.energy_w,
        "allocated_w": AWARD.energy_w,
        "measured_w": AWARD.energy_w,
        "net_load_w": 0.0,
        "capability": (Deliverable(900, 80e3, 90e3), Deliverable(3600, 20e3, 25e3)),
        "states": {},
        "partitions_expected": 1,
        "partitions_heard": 1,
    }
    return DispatchStatus(**(fields | changes))


def notice(missing_w: float, request_id: str = AWARD.bid_id) -> Notice:
    return Notice(
        region="north", request_id=request_id, at_ms=START, missing_w=missing_w, from_ms=START
    )


def look(
    now_ms: int,
    seen: DispatchStatus | None,
    notice: Notice | None = None,
    told: Shortfall | None = None,
) -> float | None:
    """Missing power that is told at a time; None = nothing is told."""
    found = shortfall(AWARD, seen, notice, told, now_ms)
    return None if found is None else found.missing_w


RUNNING = START + 10_000
BEFORE = START - 20_000


def test_an_award_that_is_delivered_needs_no_words() -> None:
    assert look(RUNNING, status(RUNNING)) is None
    assert look(BEFORE, status(BEFORE)) is None


def test_what_cannot_be_shared_out_is_missing() -> None:
    assert look(RUNNING, status(RUNNING, missing_w=20e3)) == 20e3


def test_energy_that_will_run_out_is_missing_before_it_does() -> None:
    assert look(RUNNING, status(RUNNING), notice(15e3)) == 15e3
    assert look(RUNNING, status(RUNNING), notice(15e3, "another")) is None


def test_an_award_to_come_is_held_against_the_capability() -> None:
    low = (Deliverable(900, 45e3, 90e3),)
    assert look(BEFORE, status(BEFORE, request_id="", capability=low)) == pytest.approx(15e3)


def test_another_request_that_rules_leaves_the_award_to_chance() -> None:
    other = {"request_id": "operator-1", "missing_w": 0.0}
    assert look(RUNNING, status(RUNNING, **other, asked_w=-5e3)) == 60e3
    assert look(RUNNING, status(RUNNING, **other, asked_w=50e3)) == 10e3
    assert look(RUNNING, status(RUNNING, **other, asked_w=None, measured_w=61e3)) is None


def test_a_region_is_given_a_moment_to_take_the_award_up() -> None:
    seen = {"request_id": "sim:north:0", "asked_w": 0.0}
    assert look(START + SETTLE_MS - 1, status(START + SETTLE_MS - 1, **seen)) is None
    assert look(START + SETTLE_MS, status(START + SETTLE_MS, **seen)) == 60e3
    end = START + 5 * MINUTE
    assert look(end - SETTLE_MS, status(end - SETTLE_MS, **seen)) is None
    assert look(end - SETTLE_MS - 1, status(end - SETTLE_MS - 1, **seen)) == 60e3


def test_a_region_that_is_not_heard_says_nothing() -> None:
    assert look(RUNNING, None) is None
    assert look(RUNNING, status(RUNNING - FRESH_MS - 1, missing_w=20e3)) is None


def test_a_shortfall_is_told_once_anew_when_it_changes_and_when_it_is_over() -> None:
    told = shortfall(AWARD, status(RUNNING, missing_w=20e3), None, None, RUNNING)
    assert told
    assert look(RUNNING, status(RUNNING, missing_w=21e3), told=told) is None
    assert look(RUNNING, status(RUNNING, missing_w=30e3), told=told) == 30e3
    assert look(RUNNING, status(RUNNING, missing_w=1e3), told=told) == 0.0
    over = shortfall(AWARD, status(RUNNING), None, told, RUNNING)
    assert over
    assert look(RUNNING, status(RUNNING), told=over) is None
