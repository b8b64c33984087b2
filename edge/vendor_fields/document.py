"""Reading documents that may be anything: paths, numbers and times."""

import math
from datetime import UTC, datetime

from schemas.bodies import JsonValue
from schemas.bounds import MAX_TIME_MS

NAN = math.nan
EARLIEST_MS = 946_684_800_000
"""2000-01-01 UTC, ms: an older time is from a clock that was never set."""


def at(document: JsonValue, *path: str | int) -> JsonValue:
    """The value at a path of keys and indexes; None if there is none."""
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and step < len(document):
            document = document[step]
        else:
            return None
    return document


def items(document: JsonValue, *path: str | int) -> list[JsonValue]:
    """The list at a path, or the values of the object there; empty if there is neither."""
    found = at(document, *path)
    if isinstance(found, dict):
        return list(found.values())
    return found if isinstance(found, list) else []


def number(value: JsonValue) -> float:
    """A finite number, else NaN (null, text, bool, out of range)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NAN
    try:
        result = float(value)
    except OverflowError:
        return NAN
    return result if math.isfinite(result) else NAN


def total(values: list[JsonValue]) -> float:
    """Sum of numbers; NaN if one of them is not measured, or there are none."""
    return sum(map(number, values)) if values else NAN


def time_ms(value: JsonValue) -> int | None:
    """ISO 8601 text or Unix seconds as ms; None for anything else, or a clock never set."""
    if isinstance(value, str):
        try:
            stamp = datetime.fromisoformat(value)
        except ValueError:
            return None
        seconds = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    else:
        seconds = number(value)
    ms = seconds * 1000
    return int(ms) if EARLIEST_MS <= ms <= MAX_TIME_MS else None


def latest_ms(values: list[JsonValue]) -> int | None:
    """The newest of some times, ms; None if none of them is a time."""
    return max((ms for ms in map(time_ms, values) if ms is not None), default=None)
