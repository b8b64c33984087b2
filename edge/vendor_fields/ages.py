"""Values of one document with a time for each: those that are far older than the newest are empty.

A gateway keeps repeating the last value of a meter that it no longer reaches. Such a value is not
measured now, however plausible it is.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from edge.vendor_fields.document import NAN, latest_ms, time_ms
from edge.vendor_fields.fields import Fields
from schemas.bodies import JsonValue

MAX_LAG_MS = 60_000
"""A value this much older than the newest in its document is not measured now, ms. Meters of one
document are read within 1 s of each other in every recording, and the shortest window is 1 min."""
MAX_REPORT_LAG_MS = 900_000
"""The same for inverters that report by themselves, at most 15 min apart, ms."""


class Aged(NamedTuple):
    """A value and the time at which its own meter was last read."""

    value: float
    time: JsonValue
    """As the document has it; None = the document does not state it."""
    max_lag_ms: int = MAX_LAG_MS


def current(aged: Mapping[str, Aged], *also: JsonValue) -> Fields:
    """The values, with those empty that are too old or whose meter was never read.

    A value whose age is not known while that of another is, is an estimate. ``also`` has further
    times of the same document, such as that of the answer.
    """
    measured = {name: one for name, one in aged.items() if not math.isnan(one.value)}
    newest_ms = latest_ms([*(one.time for one in measured.values()), *also])
    found = Fields(dict.fromkeys(aged, NAN), newest_ms)
    for name, one in measured.items():
        at_ms = time_ms(one.time)
        if at_ms is None and _is_time(one.time):
            continue  # 0, or the year 1: the meter was never read
        if at_ms is not None and newest_ms is not None and newest_ms - at_ms > one.max_lag_ms:
            continue
        if at_ms is None and newest_ms is not None:
            found.estimated.add(name)
        found.values[name] = one.value
    return found


def _is_time(value: JsonValue) -> bool:
    """Whether the document states a time, be it of a clock that was never set."""
    return value is not None and value != ""
