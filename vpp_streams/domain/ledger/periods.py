"""Closed months: which month an entry counts in, whatever was closed meanwhile.

It depends on the log alone (an entry's partition and offset, and the closings before), so a ledger
that is built again gives the same months.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.errors import RefusedError

LAST_PERIOD = "9999-12"
LAST_ZONE_MS = 12 * HOUR_MS
"""A month ends last where clocks are 12 h behind UTC."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A month that was closed, together with all months before it."""

    period: str
    """``YYYY-MM``."""
    through: tuple[int, ...]
    """By partition of ``settlement.entries``: the first offset that came too late."""


def next_period(period: str) -> str:
    """The month after a month, both ``YYYY-MM``; that of the last month of 9999 is itself."""
    if period == LAST_PERIOD:
        return period
    year, month = map(int, period.split("-"))
    return f"{year + month // 12:04}-{month % 12 + 1:02}"


def booked_period(stated: str, partition: int, offset: int, closings: Sequence[Closing]) -> str:
    """The month in which an entry counts: the one that it states, or the next that was open.

    ``closings`` are all of the ledger, oldest first.
    """
    period = stated
    for closing in closings:
        if offset >= closing.through[partition] and period <= closing.period:
            period = next_period(closing.period)
    return period


def check_is_over(period: str, at_ms: int) -> None:
    """Raise `RefusedError` where a month is not over in every time zone at a moment."""
    first = datetime.strptime(next_period(period), "%Y-%m").replace(tzinfo=UTC)
    if at_ms < first.timestamp() * 1000 + LAST_ZONE_MS:
        raise RefusedError(f"{period} is not over in every time zone; it cannot be closed yet")


def check_closing(new: Closing, closings: Sequence[Closing], at_ms: int) -> None:
    """Raise `RefusedError` where a month cannot be closed at a moment, after these."""
    check_is_over(new.period, at_ms)
    if not closings:
        return
    last = closings[-1]
    if new.period <= last.period:
        raise RefusedError(f"{new.period} is closed already: {last.period} was closed before")
    if any(a < b for a, b in zip(new.through, last.through, strict=True)):
        raise RefusedError(f"it ends before {last.period} does, which was closed earlier")
