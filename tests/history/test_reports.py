"""Reports: sums as pandas makes them, with coverage, and final only when nothing can change."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd
import pytest

from schemas.forecast import QuantityForecast, RegionForecast
from schemas.market import Award, Delivery, Shortfall
from tests.support.history_world import (
    BERLIN,
    HOUR_MS,
    LATENESS_MS,
    HistoryWorld,
    at_ms,
    plain_rows,
    quarter,
    region_quarter,
    starts,
)
from vpp_streams.domain.history.days import Zones
from vpp_streams.domain.history.kinds import BY_NAME
from vpp_streams.domain.history.periods import WINDOW_MS, moment_ms
from vpp_streams.domain.history.reports import REPORT_NAMES, Question, ReportName, checked
from vpp_streams.errors import InputError
from vpp_streams.history.duck import connection, time_limit
from vpp_streams.history.questions import question_of
from vpp_streams.history.reports import NoHistoryError, open_history

REGIONS, SITES = BY_NAME["region_windows"], BY_NAME["site_windows"]
UTC = ZoneInfo("UTC")


def a_week(world: HistoryWorld) -> None:
    """Two regions and three sites, with gaps, from two days before clocks go back to two after."""
    rng = np.random.default_rng(5)
    for day in pd.date_range("2026-10-23", "2026-10-27").strftime("%Y-%m-%d"):
        end = str((datetime.fromisoformat(day) + pd.Timedelta(days=1)).date())
        kept = [start for start in starts(day, end) if rng.random() > 0.1]
        world.write(
            "region.windows",
            [
                region_quarter(region, s, float(rng.integers(-500, 500)), covered=float(c))
                for region, c in (("north", 9.5), ("south", 7.25))
                for s in kept
            ],
        )
        world.write(
            "site.windows",
            [
                quarter(f"home-{n}", s, float(rng.integers(-500, 500)), coverage=0.75)
                for n in range(3)
                for s in kept
                if rng.random() > 0.2
            ],
        )


@pytest.mark.parametrize("merged", [False, True], ids=["files", "merged"])
@pytest.mark.parametrize(
    ("group", "zone"),
    [
        ("hour", "Europe/Berlin"),
        ("day", "Europe/Berlin"),
        ("day", "Australia/Adelaide"),
        ("month", "UTC"),
        ("total", "Europe/Berlin"),
    ],
)
def test_sums_are_those_that_pandas_makes_of_the_windows(
    tmp_path: Path, group: Any, zone: str, merged: bool
) -> None:
    world = HistoryWorld(tmp_path)
    a_week(world)
    plain = plain_rows(SITES, world.files(SITES))
    if merged:
        world.keep(SITES)
        assert list((tmp_path / "day_sums").rglob("*.parquet"))
    found = world.answer(
        "energy", "2026-10-24", "2026-10-26", group, ZoneInfo(zone), site="*"
    ).rows.to_pandas()
    local = pd.to_datetime(plain["start_ms"], unit="ms", utc=True).dt.tz_convert(zone)
    inside = plain[
        (local >= pd.Timestamp("2026-10-24", tz=zone))
        & (local < pd.Timestamp("2026-10-27", tz=zone))
    ]
    for row in found.itertuples():
        mine = inside[
            (inside.site_id == row.site_id) & inside.start_ms.between(row.start_ms, row.end_ms - 1)
        ]
        slots = (row.end_ms - row.start_ms) // WINDOW_MS
        assert row.windows_expected == slots
        assert row.windows == len(mine)
        assert row.coverage == pytest.approx(mine.coverage.sum() / slots)
        wanted = mine.battery_positive_wh.sum() if len(mine) else np.nan
        assert row.battery_discharge_wh == pytest.approx(wanted, nan_ok=True)
    assert found.battery_discharge_wh.sum() == pytest.approx(inside.battery_positive_wh.sum())


@pytest.mark.parametrize("merged", [False, True], ids=["files", "merged"])
def test_regions_together_are_the_sum_of_each(tmp_path: Path, merged: bool) -> None:
    world = HistoryWorld(tmp_path)
    a_week(world)
    if merged:
        world.keep(REGIONS)
    asked = ("energy", "2026-10-24", "2026-10-26")
    together, each = world.rows(*asked), world.rows(*asked, region="*")
    assert len(each) == 2 * len(together) == 6
    for row in together:
        parts = [one for one in each if one["start_ms"] == row["start_ms"]]
        for name in ("battery_discharge_wh", "battery_charge_wh", "windows", "windows_expected"):
            assert row[name] == pytest.approx(sum(part[name] for part in parts))
    one = world.rows(*asked, region="north")
    assert one == [row for row in each if row["region"] == "north"]


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)]
)
def test_a_day_with_a_change_of_clocks_has_its_own_number_of_windows(
    tmp_path: Path, day: str, hours: int
) -> None:
    world = HistoryWorld(tmp_path)
    first, end = moment_ms(day, BERLIN), moment_ms(day, BERLIN, is_end=True)
    world.write("site.windows", [quarter("home-1", s) for s in range(first, end, WINDOW_MS)])
    world.caught_up(end + LATENESS_MS)
    [row] = world.rows("energy", day, day, site="home-1")
    assert row["windows"] == row["windows_expected"] == 4 * hours
    assert row["battery_discharge_wh"] == 400 * hours
    assert row["coverage"] == 1
    assert row["final"]
    assert row["start"] == f"{day}T00:00:00{'+02:00' if day == '2026-10-25' else '+01:00'}"


def test_a_day_belongs_to_the_zone_of_its_region(tmp_path: Path) -> None:
    """Days of regions differ, and a report in one of the zones has all of its own."""
    adelaide = ZoneInfo("Australia/Adelaide")
    world = HistoryWorld(tmp_path, Zones(BERLIN, {"south": adelaide}))
    for region, zone in (("north", BERLIN), ("south", adelaide)):
        windows = [region_quarter(region, s) for s in starts("2026-11-27", "2026-11-30", zone)]
        world.write("region.windows", windows)
    world.keep(REGIONS)
    for region, zone in (("north", BERLIN), ("south", adelaide), ("south", BERLIN)):
        rows = world.rows("energy", "2026-11-28", "2026-11-28", zone=zone, region=region)
        assert [row["windows"] for row in rows] == [96], (region, zone)
        assert rows[0]["battery_discharge_wh"] == 9600


def test_not_measured_is_null_with_coverage_and_never_zero(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    half = starts("2026-11-28T12:00", "2026-11-29")
    world.write("site.windows", [quarter("home-1", s, 100.0, coverage=0.5) for s in half])
    world.write("region.windows", [region_quarter("north", s, covered=5.0) for s in half])
    for of in ({"site": "home-1"}, {"region": "north"}, {}):
        before, today = world.rows("energy", "2026-11-27", "2026-11-28", **of)
        assert before["battery_discharge_wh"] is None
        assert before["coverage"] == before["battery_coverage"] == 0
        assert today["battery_discharge_wh"] == 4800, "it is never scaled up"
        assert today["solar_wh"] is None, "no window has measured it"
        assert today["solar_coverage"] == 0
        assert today["battery_coverage"] == today["coverage"] == 0.25
        assert not before["final"]
        assert not today["final"]


def test_a_site_that_is_asked_for_has_rows_though_nothing_is_known(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    [row] = world.rows("energy", "2026-11-28", "2026-11-28", site="home-9")
    assert (row["site_id"], row["battery_discharge_wh"], row["coverage"]) == ("home-9", None, 0)
    assert world.rows("energy", "2026-11-28", "2026-11-28", site="*") == []


def final(world: HistoryWorld, **of: Any) -> bool:
    [row] = world.rows("energy", "2026-11-28", "2026-11-28", **of)
    return bool(row["final"])


@pytest.mark.parametrize("of", [{"site": "home-1"}, {"region": "north"}, {}])
@pytest.mark.parametrize("merged", [False, True], ids=["files", "merged"])
def test_final_needs_every_window_and_history_past_the_lateness(
    tmp_path: Path, of: dict[str, str], merged: bool
) -> None:
    world = HistoryWorld(tmp_path)
    day = starts("2026-11-28", "2026-11-29")
    world.write("site.windows", [quarter("home-1", s) for s in day[:-1]])
    world.write("region.windows", [region_quarter("north", s) for s in day[:-1]])
    closed_ms = day.stop + LATENESS_MS
    if merged:
        world.keep(SITES)
        world.keep(REGIONS)
    assert not final(world, **of), "nobody has said how far history reaches"
    world.caught_up(closed_ms)
    assert not final(world, **of), "a window is missing"
    world.write("site.windows", [quarter("home-1", day[-1])])
    world.write("region.windows", [region_quarter("north", day[-1])])
    assert final(world, **of)
    world.caught_up(closed_ms - 1)
    assert not final(world, **of), "a correction may be on its way"


def test_regions_together_are_final_only_if_each_is(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    day = starts("2026-11-28", "2026-11-29")
    world.write("region.windows", [region_quarter("north", s) for s in day])
    world.caught_up(day.stop + LATENESS_MS)
    assert final(world)
    world.write("region.windows", [region_quarter("south", day[0])])
    assert not final(world)
    [row] = world.rows("energy", "2026-11-28", "2026-11-28")
    assert row["windows_expected"] == 2 * 96
    assert row["coverage"] == pytest.approx(97 / 192)


def test_availability_is_measured_of_expected_site_time(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    day = starts("2026-11-28", "2026-11-29")
    world.write("region.windows", [region_quarter("north", s, covered=9.0) for s in day[:48]])
    world.write("site.windows", [quarter("home-1", s, coverage=0.5) for s in day[:48]])
    [region] = world.rows("availability", "2026-11-28", "2026-11-28", region="north")
    assert region["availability"] == pytest.approx(0.9)
    assert (region["measured_h"], region["expected_h"]) == (108, 120)
    assert (region["sites_expected"], region["coverage"]) == (10, 0.5)
    [site] = world.rows("availability", "2026-11-28", "2026-11-28", site="home-1")
    # A silent site has no windows: the rest of the day counts as not measured.
    assert site["availability"] == 0.25
    assert (site["measured_h"], site["expected_h"], site["coverage"]) == (6, 24, 0.5)


def award(start_ms: int, energy_w: float = 1000.0, region: str = "north", **changes: Any) -> Award:
    made = Award(
        bid_id=f"sim:{region}:{start_ms}",
        market="sim",
        region=region,
        start_ms=start_ms,
        interval_ms=HOUR_MS,
        cleared_at_ms=start_ms,
        energy_w=energy_w,
        prices={"energy": 50.0},
        currency="EUR",
    )
    return msgspec.structs.replace(made, **changes)


def delivery(of: Award, measured_w: float, money: float, **changes: Any) -> Delivery:
    made = Delivery(
        bid_id=of.bid_id,
        market=of.market,
        region=of.region,
        start_ms=of.start_ms,
        interval_ms=of.interval_ms,
        awarded_w=of.energy_w,
        measured_w=measured_w,
        coverage=1.0,
        money=money,
        currency=of.currency,
    )
    return msgspec.structs.replace(made, **changes)


def test_earnings_are_by_market_and_currency_and_final_with_every_delivery(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    first = at_ms("2026-11-28T10:00")
    awards = [award(first), award(first + HOUR_MS, -500.0)]
    other = award(first, region="south", currency="SEK", bid_id="nord:south:1", market="nord")
    world.write("market.awards", [*awards, other])
    world.write("market.deliveries", [delivery(awards[0], 900.0, 4.5)])
    world.caught_up(at_ms("2026-11-29T12:00"))
    asked = ("earnings", "2026-11-27", "2026-11-28")
    rows = {(r["market"], r["start"][:10]): r for r in world.rows(*asked)}
    assert len(rows) == 4
    sim = rows["sim", "2026-11-28"]
    assert (sim["currency"], sim["money"], sim["awarded_wh"]) == ("EUR", 4.5, 500)
    assert (sim["delivered_wh"], sim["intervals"], sim["awards"]) == (900, 1, 2)
    assert sim["coverage"] == 0.5
    assert not sim["final"], "one delivery is missing"
    nord = rows["nord", "2026-11-28"]
    assert (nord["money"], nord["currency"], nord["coverage"]) == (None, "SEK", 0)
    assert rows["sim", "2026-11-27"]["money"] is None
    # Of a bid the first delivery counts.
    last = delivery(awards[1], -500.0, -2.0)
    world.write("market.deliveries", [last, msgspec.structs.replace(last, money=99.0)])
    rows = {(r["market"], r["start"][:10]): r for r in world.rows(*asked)}
    assert rows["sim", "2026-11-28"]["money"] == 2.5
    assert rows["sim", "2026-11-28"]["final"]
    assert {r["region"] for r in world.rows(*asked, region="*")} == {"north", "south"}


def test_delivery_is_measured_against_what_was_called_for(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    first = at_ms("2026-11-28T10:00")
    awards = [award(first + n * HOUR_MS, 1000.0 if n else -1000.0) for n in range(5)]
    world.write("market.awards", awards)
    told = [
        delivery(awards[0], -900.0, 0.0),
        delivery(awards[1], 1100.0, 0.0),
        delivery(awards[2], 0.0, 0.0, overridden_s=60.0, needed_w=500.0, given_w=400.0),
        delivery(awards[3], 0.0, 0.0, overridden_s=3600.0),
        delivery(awards[4], 0.0, 0.0, coverage=0.0),
    ]
    world.write("market.deliveries", told)
    short = Shortfall(
        bid_id=awards[1].bid_id, market="sim", region="north", at_ms=first, start_ms=first,
        awarded_w=1000.0, deliverable_w=0.0, missing_w=1000.0,
    )  # fmt: skip
    world.write("market.deliveries", [short])
    [row] = world.rows("delivery", "2026-11-28", "2026-11-28")
    assert (row["needed_wh"], row["given_wh"], row["off_wh"]) == (2500, 2400, 300)
    assert row["delivery_error"] == pytest.approx(300 / 2500)
    assert (row["shortfalls"], row["overridden_s"]) == (1, 3660)
    assert (row["intervals"], row["awards"]) == (5, 5)
    over = msgspec.structs.replace(short, at_ms=first + 1, missing_w=0.0)
    world.write("market.deliveries", [over])
    assert world.rows("delivery", "2026-11-28", "2026-11-28")[0]["shortfalls"] == 0


def forecast(start_ms: int, known_at_ms: int, load_w: float, slots: int = 4) -> RegionForecast:
    def of(w: float) -> QuantityForecast:
        return QuantityForecast(
            by="profile", mean_w=(w,) * slots, low_w=(w - 10,) * slots, high_w=(w + 10,) * slots
        )

    return RegionForecast(
        region="north", known_at_ms=known_at_ms, start_ms=start_ms, slot_s=900,
        load=of(load_w), solar=of(50.0),
    )  # fmt: skip


def test_the_first_forecast_of_a_slot_is_compared_with_what_was_measured(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    first = at_ms("2026-11-28T00:00")
    world.write(
        "region.forecasts",
        [
            # It begins on the day before, and reaches two slots into the day.
            forecast(first - 2 * WINDOW_MS, first - HOUR_MS, 100.0),
            forecast(first, first - 1, 500.0),
        ],
    )
    measured = (105.0, 120.0, 480.0, 500.0)
    windows = [
        region_quarter("north", first + n * WINDOW_MS, mean_load_w=w, mean_solar_w=None)
        for n, w in enumerate(measured)
    ]
    poor = region_quarter("north", first + 4 * WINDOW_MS, covered=4.0, mean_load_w=9e9)
    world.write("region.windows", [*windows, poor])
    [row] = world.rows("forecast", "2026-11-28", "2026-11-28", region="north")
    assert (row["load_slots"], row["solar_slots"]) == (4, 0)
    assert row["load_error_w"] == pytest.approx((5 + 20 + 20 + 0) / 4)
    assert row["load_bias_w"] == pytest.approx((5 + 20 - 20 + 0) / 4)
    assert row["load_inside"] == 0.5
    assert row["solar_error_w"] is None
    assert (row["windows"], row["coverage"]) == (5, 0)


def test_words_become_a_question(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    world.write("site.windows", [quarter("home-1", at_ms("2026-11-20T12:00"))])
    # Not of this report: it does not begin with them.
    world.write("market.awards", [award(at_ms("2026-11-01T12:00"))])
    history = open_history(tmp_path, 0)
    nothing: dict[str, Any] = dict.fromkeys(("from_", "to", "region", "site", "tz"))
    now_ms = at_ms("2026-11-28T12:00")
    asked = question_of(history, "energy", group="day", now_ms=now_ms, **nothing)
    assert (asked.from_ms, asked.to_ms) == (moment_ms("2026-11-20", BERLIN), now_ms)
    assert asked.zone == BERLIN
    for wrong, reason in (
        ({"tz": "Mars"}, "no time zone"),
        ({"from_": "x"}, "neither a date"),
        ({"site": "a b"}, "no name of a site"),
        ({"region": "'; DROP"}, "no name of a region"),
        ({"to": "2026-11-01"}, "later than"),
        ({"from_": "1990-01-01", "group": "interval"}, "longer group"),
    ):
        given = {"group": "day", **nothing, **wrong}
        with pytest.raises(InputError, match=reason):
            question_of(history, "energy", now_ms=now_ms, **given)
    with pytest.raises(InputError, match="there are energy"):
        question_of(history, "weather", group="day", now_ms=now_ms, **nothing)


@pytest.mark.parametrize("report", REPORT_NAMES)
def test_reports_on_windows_and_money_are_by_site(report: ReportName) -> None:
    question = Question(
        report=report, from_ms=0, to_ms=HOUR_MS, group="day", zone=UTC, site="home-1"
    )
    if report in ("energy", "availability", "earnings"):  # the last one from the ledger
        assert checked(question) is question
        return
    with pytest.raises(ValueError, match="by site there are energy, earnings, availability"):
        checked(question)


def test_a_report_that_takes_too_long_is_given_up() -> None:
    with connection() as db, pytest.raises(InputError, match="shorter span"), time_limit(db, 0.1):
        db.sql("SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(10_000_000) b").show()


def test_where_there_is_no_history_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoHistoryError, match="vpp worker historian"):
        open_history(tmp_path / "none", 0)
