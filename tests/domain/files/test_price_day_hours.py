"""Times in two columns, a day and its hour: read for what they are, never as days."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pytest

from tests.support.paths import SHARED_DATA
from tests.support.price_tables import BERLIN, HOUR_MS, assumed, energy, found, ms_of, read, starts
from vpp_streams.domain.files.price_files.read import read_price_file

TABLES = SHARED_DATA / "public_reports" / "prices" / "tables"
reported = pytest.mark.skipif(not TABLES.exists(), reason="no public_reports in ../shared/data")
FIRST = ms_of(datetime(2024, 12, 12))


@reported
def test_the_reported_day_has_24_hours_counted_from_1() -> None:
    name = "date_hour.csv"
    reading = read_price_file((TABLES / name).read_bytes(), name=name)
    assert starts(reading) == [FIRST + HOUR_MS * hour for hour in range(24)]
    assert energy(reading)[17:19] == [1006.28, 1236.28]
    assert "hour 1 begins at 00:00" in assumed(reading)


@reported
def test_reported_days_of_equal_prices_are_no_prices_of_days() -> None:
    name = "date_hour_days.csv"
    reading = read_price_file((TABLES / name).read_bytes(), name=name)
    assert starts(reading) == [FIRST + HOUR_MS * hour for hour in range(6 * 24)]
    assert energy(reading) == [20.0 + day for day in range(6) for _ in range(24)]


def days(hours: Sequence[object], header: str = "date,hour,price", count: int = 2) -> str:
    """Days with these hours, priced 0, 1, 2, ..."""
    cells = [
        (date(2024, 12, 12) + timedelta(days=day), hour) for day in range(count) for hour in hours
    ]
    return "\n".join([header, *(f"{day},{hour},{at}" for at, (day, hour) in enumerate(cells))])


@pytest.mark.parametrize(
    ("header", "hours"),
    [
        ("date,hour,price", range(24)),
        ("date,hour,price", range(1, 25)),
        ("date,hour,price", [f"{hour:02}" for hour in range(24)]),
        ("date,hour,price", [f"H{hour}" for hour in range(1, 25)]),
        ("Date,Hour Ending,price", range(1, 25)),
        ("Date,HE,price", [f"HE{hour:02}" for hour in range(1, 25)]),
        ("Date,Hour Ending,price", [f"{hour:02}:00" for hour in range(1, 25)]),
        ("date,time,price", [f"{hour:02}:00" for hour in range(24)]),
        ("date,time,price", [f"{hour}:00:00" for hour in range(24)]),
        ("date,hour,price", [f"{hour:02}:00 - {hour + 1:02}:00" for hour in range(24)]),
        ("Delivery Date,Hour Beginning,price", range(24)),
    ],
)
def test_hours_of_two_columns_are_read(header: str, hours: Sequence[object]) -> None:
    reading = read(days(hours, header))
    assert starts(reading) == [FIRST + HOUR_MS * hour for hour in range(48)]
    assert energy(reading) == list(range(48))
    assert "two columns" in assumed(reading)
    midnights = days(hours, header).replace("2024-12-12,", "2024-12-12 00:00:00,")
    assert starts(read(midnights.replace("2024-12-13,", "2024-12-13 00:00:00,"))) == starts(reading)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (days(range(1, 24)), "count from 0 or from 1"),
        (days(range(1, 49)), "no day has so many"),
        (days(range(24), "date,hour ending,price"), "does not fit their name"),
        (days(range(1, 26)), "has 25 hours, but not in UTC; give the time zone"),
        (days(["a", "b", "c"]), "name days only, and 2024-12-12 has 3 rows"),
        (days(range(24), "date,period,price"), "name days only, and 2024-12-12 has 24 rows"),
        ("hour,price\n1,2\n2,3\n", "no column names the day"),
        ("date,hour,minute,price\n2024-01-01,0,0,1\n2024-01-01,0,30,2\n", "several columns"),
        ("year,month,day,hour,price\n2024,1,1,0,1\n2024,1,1,1,2\n", "several columns"),
        ("date,price\n2024-01-01,1\n2024-01-01,1\n2024-01-02,2\n2024-01-02,2\n", "name days only"),
    ],
)
def test_times_that_are_not_certain_are_refused_with_what_to_do(text: str, said: str) -> None:
    reading = read(text)
    assert not reading.prices
    assert said in reading.report.failure
    assert "\n" not in reading.report.failure


def test_prices_of_days_are_still_prices_of_days() -> None:
    reading = read("date,price\n2024-01-01,1\n2024-01-02,2\n2024-01-03,3\n")
    (prices,) = reading.prices.values()
    assert (prices.energy.tolist(), prices.interval_ms) == ([1, 2, 3], 24 * HOUR_MS)


def local(first: date, count: int, style: str) -> str:
    """Hours of local days in Berlin, counted as they come, or as the clock shows them."""
    lines = ["date,hour,price"]
    for at in range(count):
        day = first + timedelta(days=at)
        begin = datetime(day.year, day.month, day.day, tzinfo=BERLIN).timestamp()
        following = day + timedelta(days=1)
        end = datetime(following.year, following.month, following.day, tzinfo=BERLIN).timestamp()
        for number, second in enumerate(range(round(begin), round(end), 3600)):
            clock = datetime.fromtimestamp(second, BERLIN).hour
            hour = {"count": number + 1, "count0": number, "clock": clock + 1}[style]
            lines.append(f"{day},{hour},{second // 3600 % 1000}")
    return "\n".join(lines)


@pytest.mark.parametrize("style", ["count", "count0", "clock"])
@pytest.mark.parametrize(("month", "hours"), [(3, 3 * 24 - 1), (10, 3 * 24 + 1)])
def test_days_of_23_and_25_hours_have_each_hour_once(style: str, month: int, hours: int) -> None:
    first = date(2024, month, 30 if month == 3 else 26)
    reading = read(local(first, 3, style), time_zone="Europe/Berlin")
    begin = ms_of(datetime(first.year, month, first.day, tzinfo=BERLIN))
    assert starts(reading) == [begin + HOUR_MS * hour for hour in range(hours)]
    assert energy(reading) == [ms // HOUR_MS % 1000 for ms in starts(reading)]
    assert reading.report.of("dst_day")
    assert reading.report.lost == 0


def test_a_25th_hour_needs_the_time_zone() -> None:
    text = local(date(2024, 10, 26), 3, "count")
    assert "give the time zone" in read(text).report.failure


def test_an_hour_that_cannot_be_read_costs_its_row() -> None:
    text = days(range(24)).replace("2024-12-12,5,5", "2024-12-12,?,5")
    reading = read(text)
    assert energy(reading) == [at for at in range(48) if at != 5]
    assert found(reading) == {"unreadable_row": (1, 1), "gap": (1, 1)}


def test_utc_times_without_a_zone_of_the_market_are_said() -> None:
    rows = "start,price\n2024-01-01T00:00Z,1\n2024-01-01T01:00Z,2\n"
    for text in (rows, rows.replace("start", "start_utc").replace("Z", "")):
        assert "the market's days are taken as those of UTC" in assumed(read(text))
        assert "market's days" not in assumed(read(text, time_zone="Europe/Berlin"))
