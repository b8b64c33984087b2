"""The API's answers about what a home was paid, and why."""

import msgspec

from vpp_streams.domain.statements.entry_details import EntryDetail
from vpp_streams.domain.statements.past_events import PastEvent
from vpp_streams.statements.reading import MonthLine


class PastEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Past events of a home, newest first: what it gave, why, and what it was paid."""

    site_id: str
    zone: str
    """Time zone of the books, in which days and months are."""
    from_ms: int
    to_ms: int
    total: int
    """Events in that time; at most ``limit`` of them are in the answer."""
    events: list[PastEvent]


class Months(msgspec.Struct, frozen=True, kw_only=True):
    """The months in which a home has entries, newest first."""

    site_id: str
    zone: str
    this_month: str
    """The month that it is now."""
    months: list[MonthLine]


class EntryLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where the measurements and the commands behind an entry are found."""

    windows: str | None
    """Path of the site's windows; null = they are older than those kept here."""
    commands: list[str]
    """Paths of the commands of each device since then; empty = older than a month."""


class LinkedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry, and what is behind it."""

    entry: EntryDetail
    links: EntryLinks


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of a home that count in a month, in order of time."""

    site_id: str
    month: str
    zone: str
    total: int
    """Entries of that month and kind; ``offset`` and ``limit`` choose a part of them."""
    entries: list[LinkedEntry]
