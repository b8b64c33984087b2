"""Earlier days, for baselines that need them: which are needed, and what is known of them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from vpp_streams.domain.settle.intervals import SiteWindows, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a baseline needs to know of earlier days."""

    region: str
    site_ids: tuple[str, ...]
    spans: tuple[Span, ...]
    """The stretches of time whose energy is needed."""
    zone: ZoneInfo
    """Time zone of the days."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of earlier days."""

    windows: SiteWindows
    event_days: Collection[date] = ()
    """Days on which batteries of the region were called."""
