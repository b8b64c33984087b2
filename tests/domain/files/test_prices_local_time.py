"""Price tables in local time: hours that occur twice or never, and resolutions that change."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.price_tables import BERLIN, HOUR_MS, energy, found, ms_of, read, starts
from vpp_streams.domain.files.price_files.report import PriceReading


def local_rows(first: datetime, last: datetime, minutes: int) -> list[tuple[int, str]]:
    """The true UTC starts from one UTC time to another, with their naive local stamps."""
    count = int((last - first) / timedelta(minutes=minutes))
    utc = [first + timedelta(minutes=minutes * at) for at in range(count)]
    return [
        (ms_of(at), at.replace(tzinfo=UTC).astimezone(BERLIN).strftime("%Y-%m-%d %H:%M"))
        for at in utc
    ]


def marked(ms: int) -> int:
    """A price that tells its time."""
    return ms // 60_000 % 10_000


def of_local(rows: Sequence[tuple[int, str]]) -> PriceReading:
    lines = [f"{stamp},{marked(ms)}" for ms, stamp in rows]
    return read("\n".join(["start,price", *lines]), time_zone="Europe/Berlin")


@pytest.mark.parametrize("minutes", [60, 30, 15])
@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("month", [3, 10])
def test_true_local_time_is_read_without_a_gap(
    minutes: int, newest_first: bool, month: int
) -> None:
    rows = local_rows(datetime(2024, month, 25), datetime(2024, month, 31, 23), minutes)
    reading = of_local(rows[::-1] if newest_first else rows)
    assert starts(reading) == [ms for ms, _ in rows]
    assert energy(reading) == [marked(ms) for ms, _ in rows]
    told = found(reading)
    told.pop("unsorted", None)
    # Clocks change on the last Sunday: 2024-03-31 and 2024-10-27.
    twice = {"ambiguous_hour": (2 * 60 // minutes, 0)} if month == 10 else {}
    assert told == {"dst_day": (1, 0), **twice}


def test_an_hour_twice_whose_order_does_not_tell_is_left_out() -> None:
    rows = local_rows(datetime(2024, 10, 26), datetime(2024, 10, 28), 30)
    # 02:00, 02:00, 02:30, 02:30: not in the order of time.
    first = next(at for at, (_, stamp) in enumerate(rows) if stamp.endswith("27 02:00"))
    a, b, c, d = rows[first : first + 4]
    reading = of_local([*rows[:first], a, c, b, d, *rows[first + 4 :]])
    assert set(starts(reading)) == {ms for ms, _ in rows} - {ms for ms, _ in (a, b, c, d)}
    assert found(reading)["ambiguous_hour"] == (4, 4)
    assert found(reading)["gap"] == (4, 4)


def test_a_time_that_never_was_is_left_out() -> None:
    rows = local_rows(datetime(2024, 3, 30), datetime(2024, 4, 1), 60)
    reading = of_local([*rows, (0, "2024-03-31 02:00")])
    assert starts(reading) == [ms for ms, _ in rows]
    assert found(reading)["no_such_hour"] == (1, 1)


def test_stamps_with_their_offset_need_no_order() -> None:
    rows = ["2024-10-27T02:00+01:00,2", "2024-10-27T02:00+02:00,1", "2024-10-27T03:00+01:00,3"]
    reading = read("\n".join(["start,price", *rows]), time_zone="Europe/Berlin")
    assert energy(reading) == [1, 2, 3]
    assert found(reading) == {"unsorted": (1, 0)}


def utc_rows(first: datetime, minutes: int, count: int) -> list[str]:
    at = (first + timedelta(minutes=minutes * n) for n in range(count))
    return [f"{stamp:%Y-%m-%dT%H:%MZ},{n}" for n, stamp in enumerate(at)]


def test_a_file_that_goes_from_hours_to_quarters() -> None:
    hours = utc_rows(datetime(2025, 9, 29), 60, 48)
    quarters = utc_rows(datetime(2025, 10, 1), 15, 96)
    text = "\n".join(["start,price", *hours, *quarters])
    fine, coarse = read(text), read(text, interval_ms=HOUR_MS)
    assert energy(fine) == list(range(96))
    assert found(fine) == {"mixed_resolution": (48, 48)}
    assert energy(coarse) == list(range(48))
    assert found(coarse) == {"mixed_resolution": (96, 0)}


def test_ends_tell_the_interval_before_them() -> None:
    hours = utc_rows(datetime(2025, 9, 30, 20), 60, 5)
    quarters = utc_rows(datetime(2025, 10, 1, 0, 15), 15, 8)
    text = "\n".join(["interval ending,price", *hours, *quarters])
    assert starts(read(text)) == [ms_of(datetime(2025, 10, 1)) + 900_000 * at for at in range(8)]
    assert starts(read(text, interval_ms=HOUR_MS)) == [
        ms_of(datetime(2025, 9, 30, 19)) + HOUR_MS * at for at in range(5)
    ]


def test_a_resolution_that_is_not_there_is_told() -> None:
    text = "\n".join(["start,price", *utc_rows(datetime(2025, 1, 1), 60, 5)])
    failure = read(text, interval_ms=900_000).report.failure
    assert failure == "it has no prices of 15 min; it has those of 60 min"
