"""What a reader of price files gives back: prices by zone, and all that was found and done.

Nothing is put right without a finding. Where a price cannot be had with certainty its interval
is left out: a gap in the prices, never a guess.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from schemas.market import Product
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.rules import Prices

FindingKind = Literal[
    "gap",
    "duplicate",
    "contradiction",
    "other_zone",
    "other_table",
    "other_series",
    "unknown_column",
    "unreadable_row",
    "unreadable_price",
    "not_firm",
    "intervention",
    "at_floor",
    "at_cap",
    "off_grid",
    "mixed_resolution",
    "unsorted",
    "row_count",
    "overlap",
    "revision",
    "held_price",
    "mixed_currency",
    "dst_day",
    "ambiguous_hour",
    "no_such_hour",
    "naive_days",
    "converted",
    "assumed",
]
"""Kinds of finding: stable, for programs; a `Finding`'s words are for people."""

EXAMPLES = 3
"""As many examples are kept of a finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file that its reader did not take silently."""

    kind: FindingKind
    count: int
    what: str
    """What was found, in words."""
    done: str
    """What was done about it."""
    examples: tuple[str, ...] = ()
    """The first few."""
    lost: int = 0
    """Prices that are missing because of it; another finding may tell of the same ones."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found in a file."""

    format: str
    """What the file was recognised as; empty = it was not."""
    zones: tuple[str, ...] = ()
    """All zones that the file has, also those that were not asked for."""
    findings: tuple[Finding, ...] = ()
    failure: str = ""
    """Why there are no prices: one line with the way out; empty where there are some."""

    @property
    def lost(self) -> int:
        """Prices that are missing, as counted by the findings."""
        return sum(finding.lost for finding in self.findings)

    def of(self, kind: FindingKind) -> tuple[Finding, ...]:
        """The findings of a kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)


@dataclass(frozen=True, slots=True, eq=False)
class PriceReading:
    """The prices of a file by zone, none where `Report.failure` says why."""

    prices: Mapping[str, Prices]
    report: Report
    extra: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    """Columns that were asked for by name, by zone: a value for each interval of its prices."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a file. None = as the file has it."""

    zone: str | None = None
    """Only this zone; for a table that names no zone: its name."""
    time_zone: str | None = None
    """IANA name, for local stamps."""
    currency: str | None = None
    """For a table that names none."""
    interval_ms: int | None = None
    """Only prices of this resolution."""
    columns: Mapping[Product, str] = field(default_factory=dict)
    """Other columns than usual, by product."""
    extra: tuple[str, ...] = ()
    """Further columns by their names, for `PriceReading.extra`; of tables only."""


class Notes:
    """Collects the findings of one file; those that say the same become one."""

    def __init__(self) -> None:
        self._found: dict[tuple[FindingKind, str, str], Finding] = {}

    def add(
        self,
        kind: FindingKind,
        what: str,
        done: str,
        *,
        count: int = 1,
        lost: int = 0,
        examples: Sequence[str] = (),
    ) -> None:
        """Take a finding down; a count of 0 is none."""
        if not count:
            return
        key = (kind, what, done)
        before = self._found.get(key) or Finding(kind, 0, what, done)
        kept = (*before.examples, *examples[:EXAMPLES])[:EXAMPLES]
        self._found[key] = Finding(kind, before.count + count, what, done, kept, before.lost + lost)

    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order in which they were first made."""
        return tuple(self._found.values())
