"""Days by time zone."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from tests.support.market_feed import bid
from tests.support.web_records import site_window
from vpp_streams.domain.history.days import (
    Zones,
    day_bounds_ms,
    day_of,
    days_between,
    first_kept,
    parse_zones,
)

BERLIN, ADELAIDE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Adelaide")


def test_a_record_has_the_zone_of_its_region_or_of_its_market() -> None:
    zones = parse_zones("UTC", "north=Europe/Berlin, sim=Australia/Adelaide")
    assert zones.of(site_window("s", 0)) == BERLIN
    assert zones.of(bid(1_795_867_200_000, region="south")) == ADELAIDE
    assert zones.of(object()) == ZoneInfo("UTC")
    assert zones.all == (ZoneInfo("UTC"), BERLIN, ADELAIDE)


def test_a_day_begins_at_local_midnight() -> None:
    start_ms, end_ms = day_bounds_ms(date(2026, 10, 25), BERLIN)
    assert end_ms - start_ms == 25 * 3_600_000
    assert day_of(start_ms, BERLIN) == date(2026, 10, 25)
    assert day_of(start_ms - 1, BERLIN) == date(2026, 10, 24)
    assert day_of(end_ms - 1, BERLIN) == date(2026, 10, 25)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin"])
def test_the_days_of_a_span_are_those_of_any_zone(zone: str) -> None:
    start_ms, end_ms = day_bounds_ms(date(2026, 11, 28), ZoneInfo(zone))
    first, last = days_between(start_ms, end_ms)
    assert first <= date(2026, 11, 28) <= last
    assert (last - first).days <= 4


def test_retention_counts_days() -> None:
    assert first_kept(date(2026, 11, 28), 90) == date(2026, 8, 30)


@pytest.mark.parametrize(
    ("default", "listed", "reason"),
    [
        ("Berlin", "", "no time zone 'Berlin'"),
        ("UTC", "north", "REGION=ZONE"),
        ("UTC", "north=../../etc/passwd", "no time zone"),
        ("UTC", "=UTC", "REGION=ZONE"),
        ("", "", "no time zone"),
    ],
)
def test_a_zone_that_does_not_exist_is_named(default: str, listed: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_zones(default, listed)
    assert parse_zones("UTC", "") == Zones(ZoneInfo("UTC"), {})
