"""Finds a table's columns of time by their names and contents: one of stamps, or day and hour."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vpp_streams.domain.files.price_files.report import RefusedError
from vpp_streams.domain.files.price_files.stamps import parse_stamp

STARTS = {"start", "starts", "begin", "beginning", "from"}
ENDS = {"end", "ends", "ending", "he"}
_HOURS = {"hour", "hours", "hr", "h", "stunde", "hora", "heure", "uhrzeit"}
_DAYS = {"date", "day", "datum", "dato", "tag", "fecha", "utc"}
_TIMES = {"time", "timestamp", "datetime", "zeit", *_DAYS, *_HOURS, *STARTS, *ENDS}
_FINER = {"minute", "minutes", "min", "quarter", "qh"}
_PARTS = {"year", "month", "day"}
_HOUR = re.compile(r"(?:h|he|hour)?\s*\d{1,2}(?:\.0)?|\d{1,2}:\d\d.*", re.I | re.A)
_SAMPLE = 500
"""Rows that are looked at to decide what a column holds."""

_Content = Literal["stamp", "day", "hour", ""]


@dataclass(frozen=True, slots=True)
class TimeColumns:
    """The columns of a table that say when its intervals are, by their place from 0."""

    stamp: int
    """The column of complete stamps, or of days."""
    hour: int | None
    """The column of a day's hours or clock times; None where stamps are complete."""
    names_end: bool
    """Whether they say the ends of the intervals."""
    names_start: bool
    """Whether they say that they are the starts."""
    is_utc: bool
    """Whether the header says that times are UTC."""


def time_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], is_price: Callable[[str], bool]
) -> TimeColumns | None:
    """The columns of time; None where the header names none.

    ``rows`` are those that have as many cells as the header. Raises `RefusedError` where time is
    in columns that cannot be joined for certain.
    """
    words = [set(re.split(r"[\W_]+", name.lower())) for name in header]
    named = [at for at, name in enumerate(header) if words[at] & _TIMES and not is_price(name)]
    if not named and header[:1] == [""]:
        named = [0]  # tables of pandas do not name their index
    if not named:
        return None
    every = set[str]().union(*words)
    if every >= _PARTS:
        raise _several(header, [at for at in range(len(header)) if words[at] & _PARTS])
    contents = {at: _content([row[at] for row in rows[:_SAMPLE]]) for at in named}
    finer = [at for at in range(len(header)) if words[at] & _FINER and not is_price(header[at])]
    return _chosen(header, words, contents, finer)


def _chosen(
    header: Sequence[str],
    words: Sequence[set[str]],
    contents: Mapping[int, _Content],
    finer: list[int],
) -> TimeColumns:
    """The columns to read of those of time, by their ``contents``; ``finer`` divide an hour."""
    named = list(contents)
    stamps = [at for at in named if contents[at] == "stamp"]
    days = [at for at in named if contents[at] == "day"]
    hours = [at for at in named if contents[at] == "hour"]
    if stamps or not (days and hours):
        if hours and not (stamps or days):
            name = header[hours[0]][:30]
            raise RefusedError(f"its column {name!r} names hours, and no column names the day")
        stamp = _preferred(stamps or days or named, words)
        return _columns(stamp, None, words)
    if finer:
        raise _several(header, [days[0], hours[0], *finer])
    starting = [at for at in hours if words[at] & STARTS] or hours
    if len(starting) > 1:
        raise _several(header, [days[0], *starting])
    return _columns(_preferred(days, words), starting[0], words)


def _columns(stamp: int, hour: int | None, words: Sequence[set[str]]) -> TimeColumns:
    said = words[stamp if hour is None else hour]
    is_utc = "utc" in words[stamp] | said
    return TimeColumns(stamp, hour, bool(said & ENDS), bool(said & STARTS), is_utc)


def _preferred(columns: Sequence[int], words: Sequence[set[str]]) -> int:
    return next((at for at in columns if words[at] & STARTS), columns[0])


def _several(header: Sequence[str], columns: Sequence[int]) -> RefusedError:
    names = ", ".join(repr(header[at][:30]) for at in columns[:5])
    return RefusedError(f"its time is in several columns ({names}); {JOIN}")


JOIN = "write it into one column, start, as 2024-01-31 13:00"
"""What to do about times that cannot be read as they are."""


def _content(cells: Sequence[str]) -> _Content:
    """What most cells hold: complete stamps, days (or midnights), or hours."""
    filled = [cell for cell in cells if cell]
    hours = sum(_HOUR.fullmatch(cell) is not None for cell in filled)
    if filled and 2 * hours > len(filled):
        return "hour"
    times = [parse_stamp(cell, True) or parse_stamp(cell, False) for cell in filled]
    found = [time for time in times if time is not None]
    if not found:
        return ""
    return "day" if all(time.hour == time.minute == time.second == 0 for time in found) else "stamp"
