"""What a reader of price files returns: prices by zone, and all that was found and done.

Nothing is corrected without a finding. Where a price is not certain its interval is left out: a
gap in the prices, never a guess.
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
    "other_contract",
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
"""Kinds of finding: stable, for programs; a `Finding`'s texts are for people."""

NO_MARKET_ZONE = (
    "Times in UTC, and no time zone of the market is given.",
    "the market's days are taken as those of UTC; a time zone can be given",
)
"""What is found and done where a file's times are certain, but not where its days begin."""


class RefusedError(Exception):
    """A file gives no price; the message says why and what to do, in one line."""


EXAMPLES = 3
"""Number of examples that are kept of a finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file that its reader reports."""

    kind: FindingKind
    count: int
    what: str
    """What was found, in words."""
    done: str
    """What was done about it."""
    examples: tuple[str, ...] = ()
    """The first `EXAMPLES` places in the file."""
    lost: int = 0
    """Prices that are missing because of it; another finding may count the same ones."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found in a file."""

    format: str
    """The format that was recognised; empty = none."""
    zones: tuple[str, ...] = ()
    """All zones of the file, also those that were not requested."""
    findings: tuple[Finding, ...] = ()
    failure: str = ""
    """Why there are no prices, and what to do, in one line; empty where there are some."""

    @property
    def lost(self) -> int:
        """Number of prices that are missing, as the findings count them."""
        return sum(finding.lost for finding in self.findings)

    def of(self, kind: FindingKind) -> tuple[Finding, ...]:
        """The findings of a kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)


@dataclass(frozen=True, slots=True, eq=False)
class PriceReading:
    """The prices of a file by zone; none where `Report.failure` gives a reason."""

    prices: Mapping[str, Prices]
    report: Report
    extra: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    """Columns requested by name, by zone: a value for each interval of its prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to read from a file. None = as the file has it."""

    zone: str | None = None
    """Only this zone; for a table that names no zone: its name."""
    time_zone: str | None = None
    """IANA name, for local stamps."""
    currency: str | None = None
    """ISO 4217 code, for a file that names no currency; refused where it names another."""
    unit: str | None = None
    """Unit of energy prices, such as ``EUR/MWh``, for a table whose header does not say it."""
    decimal: Literal[".", ","] | None = None
    """Decimal mark, for a table whose numbers leave it open."""
    interval_ms: int | None = None
    """Only prices of this resolution."""
    columns: Mapping[Product, str] = field(default_factory=dict)
    """Columns to use instead of the usual ones, by product."""
    extra: tuple[str, ...] = ()
    """Names of further columns, for `PriceReading.extra`; of tables only."""
    power: bool = False
    """Whether the column read as energy is no price but a power; its values are then in MW."""


class Notes:
    """Collects the findings of one file; equal ones are merged."""

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
        """Add a finding; one with a count of 0 is ignored."""
        if not count:
            return
        key = (kind, what, done)
        before = self._found.get(key) or Finding(kind, 0, what, done)
        kept = (*before.examples, *examples[:EXAMPLES])[:EXAMPLES]
        self._found[key] = Finding(kind, before.count + count, what, done, kept, before.lost + lost)

    def has(self, kind: FindingKind) -> bool:
        """Whether there is a finding of a kind."""
        return any(found == kind for found, _, _ in self._found)

    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order in which they were first added."""
        return tuple(self._found.values())
