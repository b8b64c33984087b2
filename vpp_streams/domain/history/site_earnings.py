"""What sites earned by period, from sums over the ledger's entries: the rows of a report."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa

from vpp_streams.domain.history.periods import label
from vpp_streams.domain.history.reports import EACH, Question

MICROS = 1_000_000
_MEASURED = ("share", "energy")
"""Kinds that state what was measured: an owner's share of an interval or, in a program without one,
the payment per kWh of an event."""
Span = tuple[int, int]
"""From a moment to another, ms; the second one is not included."""

SCHEMA = pa.schema(
    [
        ("start", pa.string()),
        ("start_ms", pa.int64()),
        ("end_ms", pa.int64()),
        ("region", pa.string()),
        ("site_id", pa.string()),
        ("currency", pa.string()),
        ("money", pa.float64()),
        ("delivered_wh", pa.float64()),
        ("intervals", pa.int64()),
        ("coverage", pa.float64()),
        ("final", pa.bool_()),
    ]
)


class EntrySum(NamedTuple):
    """The entries of a site in a period, of one kind and currency, reversals taken off."""

    site_id: str
    region: str
    span: int
    """Number of the period."""
    kind: str
    currency: str
    micros: int
    entries: int
    delivered_wh: float | None
    """None = nothing was measured."""
    covered_ms: float
    length_ms: int


def earnings_rows(
    question: Question, spans: Sequence[Span], sums: Iterable[EntrySum], closed_until_ms: int
) -> pa.Table:
    """The report's rows: every period by site and currency, in the order of time.

    A period without an entry has a row without figures. Rows are final where all months up to
    their end are closed, which is so before ``closed_until_ms``.
    """
    found: dict[tuple[str, str], dict[int, list[EntrySum]]] = defaultdict(lambda: defaultdict(list))
    regions: dict[str, str] = {}
    for one in sums:
        found[one.site_id, one.currency][one.span].append(one)
        regions[one.site_id] = one.region
    if not found and question.site not in (None, EACH):
        found[question.site or "", ""] = defaultdict(list)
    rows = [
        {
            "start": label(start_ms, question.zone),
            "start_ms": start_ms,
            "end_ms": end_ms,
            "region": regions.get(site_id),
            "site_id": site_id,
            "currency": currency or None,
            **_figures(by_span.get(number, [])),
            "final": end_ms <= closed_until_ms,
        }
        for number, (start_ms, end_ms) in enumerate(spans)
        for (site_id, currency), by_span in sorted(found.items())
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def _figures(sums: Sequence[EntrySum]) -> dict[str, float | int | None]:
    if not sums:
        return {"money": None, "delivered_wh": None, "intervals": 0, "coverage": None}
    measured = next(
        (of for kind in _MEASURED if (of := [one for one in sums if one.kind == kind])), []
    )
    known = [one.delivered_wh for one in measured if one.delivered_wh is not None]
    length_ms = sum(one.length_ms for one in measured)
    return {
        "money": sum(one.micros for one in sums) / MICROS,
        "delivered_wh": sum(known) if known else None,
        "intervals": sum(one.entries for one in measured),
        "coverage": sum(one.covered_ms for one in measured) / length_ms if length_ms else None,
    }
