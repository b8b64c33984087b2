"""The day that a record belongs to: a local day of its region's or its market's time zone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from vpp_streams.domain.moments import DAY_MS

AHEAD_MS = 60 * DAY_MS
"""A record whose time is further ahead is refused."""


@dataclass(frozen=True, slots=True)
class Zones:
    """The time zones of a history: one for all, and those of regions and markets that differ."""

    default: ZoneInfo
    by_name: Mapping[str, ZoneInfo] = field(default_factory=dict)
    """Zone by the name of a region or a market."""

    def of(self, record: Any) -> ZoneInfo:
        """The zone of a record: its region's, else its market's, else the default."""
        for field_name in ("region", "market"):
            zone = self.by_name.get(getattr(record, field_name, ""))
            if zone is not None:
                return zone
        return self.default

    @property
    def all(self) -> tuple[ZoneInfo, ...]:
        """Every zone, the default first."""
        return (self.default, *self.by_name.values())


def parse_zones(default: str, listed: str) -> Zones:
    """Zones from ``VPP_HISTORY_ZONE`` and ``VPP_HISTORY_ZONES`` (``name=Zone,...``).

    Raises `ValueError` in plain words.
    """
    by_name: dict[str, ZoneInfo] = {}
    for word in filter(None, (word.strip() for word in listed.split(","))):
        name, equals, zone = word.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{word!r} is not REGION=ZONE, for example north=Europe/Berlin")
        by_name[name.strip()] = zone_named(zone.strip())
    return Zones(zone_named(default), by_name)


def zone_named(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises `ValueError` in plain words."""
    try:
        if not name.isascii():
            raise ValueError
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(
            f"there is no time zone {name[:64]!r}; it needs an IANA name such as Europe/Berlin"
        ) from None


def day_of(at_ms: int, zone: tzinfo) -> date:
    """The local day of a moment."""
    return datetime.fromtimestamp(at_ms / 1e3, zone).date()


def day_bounds_ms(day: date, zone: tzinfo) -> tuple[int, int]:
    """Start of a local day and of the one after it, which may be 23 or 25 hours later."""
    return _midnight_ms(day, zone), _midnight_ms(day + timedelta(days=1), zone)


def _midnight_ms(day: date, zone: tzinfo) -> int:
    return round(datetime.combine(day, time(), zone).timestamp() * 1e3)


def days_between(from_ms: int, to_ms: int) -> tuple[date, date]:
    """The first and last day, in any time zone, that records of [from, to) can belong to."""
    widest = timedelta(hours=26)  # zones reach from 12 hours behind UTC to 14 ahead
    first = datetime.fromtimestamp(from_ms / 1e3, UTC) - widest
    last = datetime.fromtimestamp(max(to_ms - 1, from_ms) / 1e3, UTC) + widest
    return first.date(), last.date()


def first_kept(today: date, keep_days: int) -> date:
    """The oldest day that a kind with this retention keeps."""
    return today - timedelta(days=keep_days)
