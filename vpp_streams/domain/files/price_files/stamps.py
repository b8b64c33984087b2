"""Converts the stamps of a table to UTC, also on the two days a year when local clocks change.

Local times that occur twice are distinguished by the file's order: where a night lists all of them
and then lists them again, they are the earlier hour and then the later one. Otherwise they are
left out. A local time that does not exist is left out.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from vpp_streams.domain.files.price_files.report import Notes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\d{9,13}", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})([/.-])(\d{1,2})\2(\d{1,2})(?:[ T]+(\d.*))?", re.ASCII)
_DAY_OR_MONTH = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?:[ T]+(\d.*))?", re.ASCII)


def day_first(texts: Sequence[str]) -> bool | None:
    """Whether dates like 1/2/2024 are the first of February; None where the file leaves it open."""
    found = [match for text in texts if (match := _DAY_OR_MONTH.fullmatch(text))]
    if not found or found[0][2] == ".":
        return True
    first = any(int(match[1]) > 12 for match in found)
    second = any(int(match[3]) > 12 for match in found)
    return None if first == second else first


def parse_stamp(text: str, is_day_first: bool) -> datetime | None:
    """A stamp with its offset, or naive where it has none; None where it is not a time.

    ISO 8601, 2024/01/31 13:00, 31.1.2024 13:00, 1/31/2024 13:00, 24:00 as a day's end, and
    seconds or milliseconds since 1970.
    """
    try:
        if _NUMBER.fullmatch(text):
            number = int(text)
            return _EPOCH + timedelta(milliseconds=number if len(text) > 10 else number * 1000)
        match = _YEAR_FIRST.fullmatch(text)
        if match:
            year, month, day = match[1], match[3], match[4]
        elif match := _DAY_OR_MONTH.fullmatch(text):
            year = match[4]
            day, month = (match[1], match[3]) if is_day_first else (match[3], match[1])
        if match:
            clock = match[5] or "00:00"
            clock = f"0{clock}" if clock[1:2] == ":" else clock
            ends = clock.startswith("24:00")
            clock = clock.replace("24:00", "00:00", 1) if ends else clock
            text = f"{year}-{month:0>2}-{day:0>2} {clock}"
            stamp = datetime.fromisoformat(text) + timedelta(days=int(ends))
        else:
            stamp = datetime.fromisoformat(text)
        return stamp if 1971 <= stamp.year <= 9990 else None
    except (ValueError, OverflowError):
        return None


def to_utc_ms(stamps: Sequence[datetime], zone: ZoneInfo, notes: Notes) -> list[int | None]:
    """Milliseconds since 1970 UTC of a zone's stamps, in the file's order; None = left out.

    Naive stamps are in time zone ``zone``.
    """
    found: list[int | None] = []
    nights: dict[date, list[int]] = defaultdict(list)
    skipped: list[str] = []
    for at, stamp in enumerate(stamps):
        if stamp.tzinfo is not None:
            found.append(_ms(stamp))
            continue
        early = stamp.replace(tzinfo=zone)
        late = early.replace(fold=1)
        found.append(_ms(early))
        if early.utcoffset() != late.utcoffset():
            if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != stamp:
                found[at] = None
                skipped.append(str(stamp))
            else:
                nights[stamp.date()].append(at)
    what = f"Times that never were in {zone.key}: its clocks went forward."
    count = len(skipped)
    notes.add("no_such_hour", what, "left out", count=count, lost=count, examples=skipped)
    naive = [stamp for stamp in stamps if stamp.tzinfo is None]
    falls = bool(naive) and naive[0] > naive[-1]
    for rows in nights.values():
        _tell_apart(stamps, rows, falls, found, zone=zone, notes=notes)
    _note_clock_changes(naive, zone, notes)
    return found


def _ms(stamp: datetime) -> int:
    return (stamp - _EPOCH) // timedelta(milliseconds=1)


def _tell_apart(
    stamps: Sequence[datetime],
    rows: Sequence[int],
    falls: bool,
    found: list[int | None],
    *,
    zone: ZoneInfo,
    notes: Notes,
) -> None:
    """Set the times of the rows of a night in which an hour occurs twice, by their order."""
    night = [stamps[at] for at in rows]
    half = len(night) // 2
    in_order = sorted(set(night), reverse=falls)
    if night == in_order * 2:
        for at in rows[:half] if falls else rows[half:]:
            found[at] = _ms(stamps[at].replace(tzinfo=zone, fold=1))
        what = f"Times that {zone.key} had twice: its clocks went back."
        done = "distinguished by the order of the rows"
        notes.add("ambiguous_hour", what, done, count=len(rows), examples=[str(night[0])])
        return
    for at in rows:
        found[at] = None
    what = f"Times that {zone.key} had twice, and the order of the rows does not show which."
    count, first = len(rows), [str(night[0])]
    notes.add("ambiguous_hour", what, "left out", count=count, lost=count, examples=first)


def _note_clock_changes(stamps: Sequence[datetime], zone: ZoneInfo, notes: Notes) -> None:
    """Note days on which clocks change, and those of them that have as many rows as others."""
    rows = Counter(stamp.date() for stamp in stamps)
    hours = {day: hours_of_day(day, zone) for day in rows}
    changes = [day for day, length in hours.items() if length != 24]
    if not changes:
        return
    examples = [f"{day} ({hours[day]:g} h)" for day in changes]
    what = f"Days of another length than 24 hours in {zone.key}."
    notes.add("dst_day", what, "read as such", count=len(changes), examples=examples)
    usual = Counter(rows.values()).most_common(1)[0][0]
    naive = [str(day) for day in changes if rows[day] == usual]
    if naive:
        what = f"Days with as many rows as others, though clocks of {zone.key} changed on them."
        done = "hours that never were, or were twice, are left out: the file is not in local time"
        notes.add("naive_days", what, done, count=len(naive), examples=naive)


def hours_of_day(day: date, zone: ZoneInfo) -> float:
    """Length of a local day, hours: 23 or 25 where clocks change."""
    begin = datetime(day.year, day.month, day.day, tzinfo=zone)
    end = (begin + timedelta(days=1)).replace(tzinfo=zone)
    return (end.astimezone(UTC) - begin.astimezone(UTC)) / timedelta(hours=1)
