"""Reads times that are in two columns, a day and its hour, into stamps.

Hours are counted from 0 or from 1; the file shows which. On a day on which local clocks change,
a file counts the hours that there are (1 to 23 or 25), or writes those of the clock.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from vpp_streams.domain.files.price_files.report import Notes, RefusedError
from vpp_streams.domain.files.price_files.stamps import hours_of_day, parse_stamp
from vpp_streams.domain.files.price_files.time_columns import JOIN

_COUNT = re.compile(r"(?:h|he|hour)?\s*(\d{1,2})(?:\.0)?", re.I | re.A)
_CLOCK = re.compile(r"(\d{1,2}:\d\d(?::\d\d)?)(?:\s*[-\u2013]\s*\d{1,2}:\d\d(?::\d\d)?)?", re.A)
_MOST = 24
"""Greatest number of an hour that is counted from 0: that of the last of a day of 25 hours."""


def first_hour(hours: Sequence[str], names_end: bool, names_start: bool) -> int | None:
    """The number of a day's first hour, 0 or 1; None where the hours are clock times.

    Raises `RefusedError` where the numbers leave it open.
    """
    found = [int(match[1]) for text in hours if (match := _COUNT.fullmatch(text))]
    if not found:
        return None
    least, most = min(found), max(found)
    if most > _MOST + 1:
        raise RefusedError(f"a number of its hours is {most}, and no day has so many; {JOIN}")
    if (names_end and least == 0) or (names_start and most > _MOST):
        raise RefusedError(
            f"its hours go from {least} to {most}, which does not fit their name; {JOIN}"
        )
    if names_end or (least > 0 and most >= 24 and not names_start):
        return 1
    if names_start or least == 0:
        return 0
    raise RefusedError(
        f"its hours go from {least} to {most}: they can count from 0 or from 1; {JOIN}"
    )


def stamps_of(
    days: Sequence[str],
    hours: Sequence[str],
    first: int | None,
    *,
    is_day_first: bool,
    zone: ZoneInfo,
    notes: Notes,
) -> list[datetime | None]:
    """The stamp of each row: naive local time, or UTC on days whose hours are counted.

    None = a row that cannot be read. Raises `RefusedError` for a 25th hour on a day of 24.
    """
    dates = [stamp.date() if (stamp := parse_stamp(day, is_day_first)) else None for day in days]
    numbers = [_number(text, first) for text in hours]
    counted = _counted(dates, numbers, zone)
    what = f"Days whose hours are counted, though clocks of {zone.key} change on them."
    examples = [f"{day} ({hours_of_day(day, zone):g} h)" for day in sorted(counted)]
    notes.add("dst_day", what, "read in their order", count=len(counted), examples=examples)
    return [
        _stamp_of(day, number, text, zone, is_counted=day in counted)
        for day, number, text in zip(dates, numbers, hours, strict=True)
    ]


def _stamp_of(
    day: date | None, number: int | None, text: str, zone: ZoneInfo, *, is_counted: bool
) -> datetime | None:
    """The stamp of one row; ``number`` is its hour from 0, None where it is written as a time."""
    if day is None or number is None:
        clock = _CLOCK.fullmatch(text)
        return parse_stamp(f"{day} {clock[1]}", True) if day and clock else None
    if is_counted:
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
        return midnight.astimezone(UTC) + timedelta(hours=number)
    if number == _MOST:
        raise RefusedError(
            f"{day} has 25 hours, but not in {zone.key}; give the time zone of its times"
        )
    return datetime(day.year, day.month, day.day, number)


def _number(text: str, first: int | None) -> int | None:
    """The number of a day's hour from 0; None where it is none."""
    match = _COUNT.fullmatch(text)
    if match is None or first is None:
        return None
    number = int(match[1]) - first
    return number if 0 <= number <= _MOST else None


def _counted(
    dates: Sequence[date | None], numbers: Sequence[int | None], zone: ZoneInfo
) -> set[date]:
    """The days of 23 or 25 hours in whose rows the hours are counted."""
    by_day: dict[date, set[int]] = defaultdict(set)
    for day, number in zip(dates, numbers, strict=True):
        if day is not None and number is not None:
            by_day[day].add(number)
    return {
        day
        for day, found in by_day.items()
        if (length := hours_of_day(day, zone)) != 24
        and (found == set(range(int(length))) or max(found) == _MOST == length - 1)
    }
