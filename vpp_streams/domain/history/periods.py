"""The periods of a report: local hours, days, months and years, also where clocks change.

A period is [start, end). A day with a change of clocks has 23 or 25 hours, and 92 or 100 windows
of a quarter of an hour.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from vpp_streams.domain.arrays import Ints
from vpp_streams.domain.history.days import day_bounds_ms, day_of
from vpp_streams.domain.moments import HOUR_MS, MINUTE_MS

Group = Literal["interval", "hour", "day", "month", "year", "total"]
GROUPS: tuple[Group, ...] = get_args(Group)
WINDOW_MS = 15 * MINUTE_MS
MOST_PERIODS = 40_000
"""More than a year of quarters of an hour."""
_FIRST, _LAST = date(1970, 1, 2), date(9998, 12, 31)


def moment_ms(text: str, zone: tzinfo, *, is_end: bool = False) -> int:
    """A local date or an ISO 8601 time, as ms since 1970 UTC.

    A date stands for the complete day: as the end of a span, for the start of the day after it. A
    time without an offset is local; of two that clocks show when they go back, the earlier one.
    Raises `ValueError` in plain words.
    """
    parsed = _parsed(text)
    day = parsed.date() if isinstance(parsed, datetime) else parsed
    if not _FIRST <= day <= _LAST:
        raise ValueError(f"{text!r} is not between {_FIRST} and {_LAST}")
    if not isinstance(parsed, datetime):
        return day_bounds_ms(day, zone)[is_end]
    if parsed.tzinfo is None:
        local = parsed.replace(tzinfo=zone)
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != parsed:
            raise ValueError(f"{text!r} never was in {zone}: clocks went forward")
        parsed = local
    return round(parsed.timestamp() * 1e3)


def _parsed(text: str) -> date | datetime:
    try:
        if len(text) == len("2026-11-28"):
            return date.fromisoformat(text)
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:64]!r} is neither a date such as 2026-11-28 nor an ISO 8601 time such as"
            " 2026-11-28T06:00:00+01:00 (in an address, + is written %2B)"
        ) from None


def boundaries_ms(from_ms: int, to_ms: int, group: Group, zone: tzinfo) -> Ints:
    """Starts of the periods of [from, to), and ``to``; the first and last may be cut.

    Raises `ValueError` where there would be more than `MOST_PERIODS`, or ``to`` is not later.
    """
    if to_ms <= from_ms:
        raise ValueError("the span ends before it begins: `to` must be later than `from`")
    least_ms = {"interval": WINDOW_MS, "hour": HOUR_MS, "day": 23 * HOUR_MS}.get(group, 0)
    if least_ms and (to_ms - from_ms) // least_ms > MOST_PERIODS:
        raise ValueError(
            f"group {group} gives more than {MOST_PERIODS:,} periods here; choose a longer group or"
            " a shorter span"
        )
    inner = [at for at in _starts_ms(from_ms, to_ms, group, zone) if from_ms < at < to_ms]
    return np.array([from_ms, *inner, to_ms], np.int64)


def _starts_ms(from_ms: int, to_ms: int, group: Group, zone: tzinfo) -> list[int]:
    match group:
        case "total":
            return []
        case "interval":
            return list(range(from_ms - from_ms % WINDOW_MS + WINDOW_MS, to_ms, WINDOW_MS))
        case "hour":
            midnights = _starts_ms(from_ms, to_ms, "day", zone)
            bounds = [*midnights, midnights[-1] + 26 * HOUR_MS]
            return [at for first, end in pairwise(bounds) for at in range(first, end, HOUR_MS)]
    first, last = day_of(from_ms, zone), day_of(to_ms, zone)
    return [day_bounds_ms(day, zone)[0] for day in _days(first, last, group)]


def _days(first: date, last: date, group: Group) -> list[date]:
    """The days from ``first`` to ``last`` on which a period begins."""
    if group == "day":
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]
    months = range(1, 13) if group == "month" else (1,)
    return [
        day
        for year in range(first.year, last.year + 1)
        for month in months
        if first <= (day := date(year, month, 1)) <= last
    ]


def windows_in(boundaries: Ints, window_ms: int = WINDOW_MS) -> Ints:
    """The number of windows that begin in each period."""
    starts = -(-boundaries // window_ms)
    return np.diff(starts)


def label(start_ms: int, zone: tzinfo) -> str:
    """A period's start as an ISO 8601 local time with its offset."""
    return datetime.fromtimestamp(start_ms / 1e3, zone).isoformat(timespec="seconds")
