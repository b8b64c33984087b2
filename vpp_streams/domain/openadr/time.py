"""The times of an event's intervals: inheritance, loops, open ends. Times are ms UTC.

An interval has start and duration from its own intervalPeriod, else from the event's; without a
start of its own it begins at the end of the previous one. An event's own ``duration`` repeats its
intervals until it ends (or cuts them).
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from openadr3.entities.raw import RawEvent, RawIntervalPeriod, RawValuesMap

from schemas.bounds import MAX_TIME_MS

MAX_SPANS = 20_000
"""Largest number of intervals that one event has, or repeats within the time that is read."""
_ENDLESS_YEARS = 1000
"""``P9999Y`` means infinity; a thousand years or more has no other meaning."""
# The specification's pattern (3.1.1, schema `duration`), digits bounded.
_DURATION = re.compile(
    r"P(?=\d|T\d)(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,6})([DW]))?"
    r"(?:T(?:(\d{1,8})H)?(?:(\d{1,8})M)?(?:(\d{1,10}(?:\.\d{1,9})?)S)?)?"
)
_NO_PERIOD = RawIntervalPeriod.model_validate({})
_NOW = re.compile(r"0001-01-01(T00:00(:00(\.0+)?)?(Z|[+-]00:00)?)?")


@dataclass(frozen=True, slots=True)
class Length:
    """A duration: months (12 a year) have no fixed length, the rest has."""

    months: int
    rest_ms: int


@dataclass(frozen=True, slots=True)
class Span:
    """One interval with its time."""

    number: int
    """Its number from 0; a repetition of an interval has a number of its own."""
    interval_id: int
    start_ms: int
    end_ms: int | None
    """`MAX_TIME_MS` = open-ended; None = no duration is given."""
    payloads: tuple[RawValuesMap, ...]


def moment_ms(text: str, now_ms: int) -> int:
    """A date-time of the specification, ms UTC; year 1 means *now*. Raises `ValueError`."""
    if _NOW.fullmatch(text):
        return now_ms
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no date-time of RFC 3339") from None
    if at.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no offset from UTC")
    ms = round(at.timestamp() * 1000) if at.year > 1 else -1
    if not 0 <= ms <= MAX_TIME_MS:
        raise ValueError(f"{text[:40]!r} is not in the years 1970 to 9999")
    return ms


def length_of(text: str) -> Length | None:
    """A duration; None = without end. Raises `ValueError`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no duration of ISO 8601 that an interval can have")
    years, months, days, unit, hours, minutes, seconds = found.groups()
    if int(years or 0) >= _ENDLESS_YEARS:
        return None
    full_days = int(days or 0) * (7 if unit == "W" else 1)
    rest_s = full_days * 86_400 + int(hours or 0) * 3600 + int(minutes or 0) * 60
    return Length(
        int(years or 0) * 12 + int(months or 0), rest_s * 1000 + round(float(seconds or 0) * 1000)
    )


def later_ms(start_ms: int, length: Length | None) -> int:
    """The end of a time of this length, ms; `MAX_TIME_MS` if it is after the year 9999."""
    if length is None:
        return MAX_TIME_MS
    if length.months:
        start = datetime.fromtimestamp(start_ms / 1000, UTC)
        year, month = divmod(start.year * 12 + start.month - 1 + length.months, 12)
        if year > 9999:
            return MAX_TIME_MS
        day = min(start.day, monthrange(year, month + 1)[1])
        moved = start.replace(year=year, month=month + 1, day=day)
        start_ms += round((moved - start).total_seconds() * 1000)
    return min(start_ms + length.rest_ms, MAX_TIME_MS)


@dataclass(frozen=True, slots=True)
class Timeline:
    """An event's intervals in order, and until when they are repeated."""

    spans: tuple[Span, ...]
    until_ms: int | None
    """End set by the event's own duration, ms; None = that of the last interval."""
    round_ms: int | None
    """Period of the repetition, ms; None = not repeated."""

    def at(self, number: int) -> Span | None:
        """The interval with this number, cut at the event's end; None if there is none."""
        if not self.spans or number < 0:
            return None
        turn, place = divmod(number, len(self.spans))
        if turn and self.round_ms is None:
            return None
        span, moved_ms = self.spans[place], turn * (self.round_ms or 0)
        end_ms = span.end_ms
        if end_ms is not None and end_ms < MAX_TIME_MS:
            end_ms += moved_ms
        if self.until_ms is not None and span.start_ms + moved_ms >= self.until_ms:
            return None
        if self.until_ms is not None and end_ms is not None:
            end_ms = min(end_ms, self.until_ms)
        return replace(span, number=number, start_ms=span.start_ms + moved_ms, end_ms=end_ms)

    def within(self, from_ms: int, to_ms: int) -> Iterator[Span]:
        """The intervals with a part in [from_ms, to_ms).

        Raises `ValueError` if they are more than `MAX_SPANS`.
        """
        count, first = len(self.spans), 0
        last = count
        if self.round_ms is not None:
            first = max((from_ms - self.spans[0].start_ms) // self.round_ms - 1, 0) * count
            last = first + MAX_SPANS + 2 * count
        given = 0
        for number in range(first, last):
            span = self.at(number)
            if span is None or span.start_ms >= to_ms:
                continue
            if (MAX_TIME_MS if span.end_ms is None else span.end_ms) > from_ms:
                given += 1
                if given > MAX_SPANS:
                    raise ValueError(f"it has more than {MAX_SPANS} intervals ahead")
                yield span


def timeline(event: RawEvent, issued_ms: int) -> Timeline:
    """An event's intervals with their times; *now* is the time when it was issued.

    Raises `ValueError` with a sentence if a time cannot be read or is missing.
    """
    default = event.interval_period or _NO_PERIOD
    next_ms = moment_ms(default.start, issued_ms) if default.start else None
    begins_ms = next_ms
    spans: list[Span] = []
    for number, interval in enumerate(event.intervals or ()):
        own = interval.interval_period or _NO_PERIOD
        start_ms = moment_ms(own.start, issued_ms) if own.start else next_ms
        if start_ms is None:
            raise ValueError(f"interval {interval.id} has no start and inherits none")
        duration = own.duration or default.duration
        length = length_of(duration) if duration else Length(0, 0)
        # 3.0.1: a duration of PT0S is "instantaneous or infinity, depending on payloadType".
        end_ms = None if length == Length(0, 0) else later_ms(start_ms, length)
        spans.append(Span(number, interval.id, start_ms, end_ms, tuple(interval.payloads)))
        next_ms = end_ms
        begins_ms = start_ms if begins_ms is None else begins_ms
    until_ms = None
    if event.duration and begins_ms is not None:
        length = length_of(event.duration)
        until_ms = None if length == Length(0, 0) else later_ms(begins_ms, length)
    return Timeline(tuple(spans), until_ms, _round_ms(spans, until_ms))


def _round_ms(spans: list[Span], until_ms: int | None) -> int | None:
    last_ms = spans[-1].end_ms if spans else None
    if until_ms is None or last_ms is None or last_ms >= until_ms:
        return None
    return last_ms - spans[0].start_ms if last_ms > spans[0].start_ms else None
