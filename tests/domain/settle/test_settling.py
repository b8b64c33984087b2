"""A region from closed windows to entries: late readings, other orders, owners who leave."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.entry_frames import encode_entries
from schemas.programs import OptOut, Program
from schemas.windows import SiteWindow
from tests.support.settle_world import (
    BERLIN,
    BOOKS,
    DAY,
    INTERVAL,
    MINUTE,
    SHARE_60,
    START,
    amounts,
    award,
    delivery,
    enrolled,
    fleet,
    opt_out,
    site_window,
    terms,
)
from vpp_streams.domain.arrays import Mask
from vpp_streams.domain.market.overrides import Override
from vpp_streams.domain.settle.baselines import Calendar
from vpp_streams.domain.settle.corrections import (
    AWARD_KINDS,
    EVENT_KINDS,
    Standing,
    balances,
    standing,
)
from vpp_streams.domain.settle.events import Event
from vpp_streams.domain.settle.intervals import SiteWindows
from vpp_streams.domain.settle.settling import Region

IDS = ["a", "b"]
AWARD = award()
DELIVERY = delivery(AWARD, 6_000.0)


def never(_day: date) -> Mask:
    return np.zeros(len(IDS), bool)


def region(windows: SiteWindows, *programs: Program, opt_outs: tuple[OptOut, ...] = ()) -> Region:
    return Region(
        fleet=fleet(*IDS),
        windows=windows,
        enrolled=enrolled(IDS, *programs),
        calendar=Calendar(BERLIN, never),
        books=BOOKS,
        opt_outs=opt_outs,
    )


def five(site_id: str, minute_wh: float, revision: int = 0) -> list[SiteWindow]:
    """The five minutes of the interval."""
    return [
        site_window(site_id, START + k * MINUTE, minute_wh, -minute_wh, revision=revision)
        for k in range(5)
    ]


def holding(*windows: SiteWindow) -> SiteWindows:
    found = SiteWindows()
    for window in windows:
        found.apply(window)
    return found


def settle(
    of: Region, before: Standing | None = None, **more: tuple[Override, ...]
) -> pa.RecordBatch:
    stands = {} if before is None else {"before": before}
    entries = of.settle_award(AWARD, DELIVERY, START, **more, **stands)  # type: ignore[arg-type]  # by name
    assert entries is not None
    return entries


def test_windows_become_entries() -> None:
    entries = settle(region(holding(*five("a", 80.0), *five("b", 20.0))))
    assert amounts(entries) == {"a": 24_000, "b": 6_000}


def test_late_readings_are_a_correction_of_what_they_change() -> None:
    windows = holding(*five("a", 80.0), *five("b", 20.0)[:3])
    first = settle(region(windows))
    assert amounts(first) == {"a": 26_086, "b": 3_913}
    for window in five("b", 20.0, revision=1):
        windows.apply(window)
    found = settle(region(windows), standing([first], AWARD_KINDS))
    assert balances(found)["revenue:sim:north"] == 0
    both = {site: amounts(first)[site] + amounts(found)[site] for site in IDS}
    assert both == {"a": 24_000, "b": 6_000}
    again = region(windows).settle_award(
        AWARD, DELIVERY, START, before=standing([first, found], AWARD_KINDS)
    )
    assert again is None


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(
        [*five("a", 80.0), *five("b", -1.0), *five("b", 20.0, revision=2), *five("b", 3.0)[:2]]
    )
)
def test_the_order_in_which_windows_arrive_does_not_matter(order: list[SiteWindow]) -> None:
    expected = settle(region(holding(*five("a", 80.0), *five("b", 20.0, revision=2))))
    assert encode_entries(settle(region(holding(*order)))) == encode_entries(expected)


def test_time_that_an_operators_order_took_counts_neither_for_nor_against() -> None:
    """b charged by that order in the first two minutes, and gave as much as a afterwards."""
    charged = [site_window("b", START + k * MINUTE, -80.0, 80.0) for k in range(2)]
    windows = holding(*five("a", 80.0), *charged, *five("b", 80.0)[2:])
    order = Override(START, START + 2 * MINUTE, ("operator-1",))
    assert amounts(settle(region(windows), overrides=(order,))) == {"a": 15_000, "b": 15_000}
    unaware = amounts(settle(region(windows)))
    assert unaware["b"] < unaware["a"]


def test_an_owner_who_left_is_not_paid_and_the_others_are() -> None:
    windows = holding(*five("a", 80.0), *five("b", 20.0))
    left = opt_out("b", START, START + INTERVAL, START - DAY)
    assert amounts(settle(region(windows, opt_outs=(left,)))) == {"a": 30_000, "b": 0}


def test_energy_beyond_the_rating_earns_nothing() -> None:
    """500 Wh a minute are 30 kW; a battery of 5 kW gives 417 Wh in five minutes."""
    entries = settle(region(holding(*five("a", 500.0), *five("b", 5_000 / 60))))
    found = amounts(entries)
    assert found["a"] == pytest.approx(found["b"], abs=1)


def test_a_program_of_similar_days_reads_the_history() -> None:
    """b usually takes 100 Wh a minute at this time of a Sunday, and takes 20 now."""
    days = terms(program_id="days", baseline="ten_of_ten")
    windows = holding(*five("a", 80.0), *five("b", -20.0))
    for back in (1, 7, 8, 14):
        for k in range(5):
            windows.apply(site_window("b", START - back * DAY + k * MINUTE, None, 100.0))
    entries = settle(region(windows, SHARE_60, days))
    assert amounts(entries) == {"a": 15_000, "b": 15_000}
    row = next(row for row in entries.to_pylist() if row["site_id"] == "b")
    assert (row["energy_wh"], row["baseline_wh"], row["delivered_wh"]) == pytest.approx(
        (-100.0, -500.0, 400.0)
    )


def test_an_event_is_paid_by_rate_and_corrected_like_an_award() -> None:
    program = terms(program_id="rate", owner_share=0.0, per_kwh_micros=300_000)
    windows = holding(*five("a", 80.0))
    event = Event("north", (START, START + INTERVAL), 1)
    first = region(windows, program).settle_event(event)
    assert first is not None
    assert amounts(first, "energy") == {"a": 120_000, "b": 0}
    for window in five("b", 20.0):
        windows.apply(window)
    found = region(windows, program).settle_event(event, before=standing([first], EVENT_KINDS))
    assert found is not None
    assert {row["site_id"] for row in found.to_pylist()} == {"b"}
    assert amounts(found, "energy") == {"b": 30_000}
