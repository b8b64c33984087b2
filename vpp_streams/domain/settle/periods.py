"""Months of the books: the local month in which an entry counts. A closed month never changes.

Days and months are those of a time zone, so a day has 23 or 25 hours when clocks change.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from schemas.bounds import MAX_TIME_MS


@dataclass(frozen=True, slots=True)
class Books:
    """The months of the books of one operator, and which of them are closed."""

    zone: ZoneInfo
    closed: frozenset[str] = frozenset()
    """Closed months, ``YYYY-MM``."""

    def period_of(self, start_ms: int) -> str:
        """The month in which an entry of this moment counts: the first from it on that is open."""
        found = month_of(start_ms, self.zone)
        while found in self.closed:
            found = month_after(found)
        return found


def local_date(at_ms: int, zone: ZoneInfo) -> date:
    """The day on which a moment is."""
    return datetime.fromtimestamp(at_ms / 1000, zone).date()


def day_start_ms(day: date, zone: ZoneInfo) -> int:
    """The first moment of a local day; where clocks skip midnight, the moment after it."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return round(midnight.astimezone(UTC).timestamp() * 1000)


def half_day_end_ms(at_ms: int, zone: ZoneInfo) -> int:
    """The first noon or midnight after a moment."""
    day = local_date(at_ms, zone)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    noon_ms = round(noon.astimezone(UTC).timestamp() * 1000)
    return noon_ms if at_ms < noon_ms else day_start_ms(day + timedelta(days=1), zone)


def month_of(at_ms: int, zone: ZoneInfo) -> str:
    """The month of a moment, ``YYYY-MM``."""
    return f"{local_date(min(at_ms, MAX_TIME_MS), zone):%Y-%m}"


def month_after(month: str) -> str:
    """The next month."""
    first = date.fromisoformat(f"{month}-01")
    return f"{first.replace(day=28) + timedelta(days=4):%Y-%m}"


def month_bounds_ms(month: str, zone: ZoneInfo) -> tuple[int, int]:
    """The first moment of a month, and the first of the next one."""
    first, following = (date.fromisoformat(f"{m}-01") for m in (month, month_after(month)))
    return day_start_ms(first, zone), day_start_ms(following, zone)
