"""Views of history in the API."""

import msgspec


class KindView(msgspec.Struct, frozen=True):
    """A kind of records that history keeps; `vpp export` writes them to a file."""

    kind: str
    about: str
    days: int
    """Number of days that history has."""


class ReportInfo(msgspec.Struct, frozen=True):
    """A report that can be requested."""

    report: str
    about: str
    by_site: bool


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """What history has, and the reports over it."""

    tz: str
    """Time zone of its days."""
    first_day: str | None
    last_day: str | None
    groups: list[str]
    formats: list[str]
    """Media types that a report can have."""
    reports: list[ReportInfo]
    kinds: list[KindView]
