"""Statements on a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import track

from vpp_streams.domain.statements.arithmetic import amount
from vpp_streams.domain.statements.document import StatementDocument
from vpp_streams.domain.statements.words import (
    measured_said,
    month_name,
    state_said,
    storms_said,
    sums,
    terms_said,
)


def statement_lines(document: StatementDocument) -> str:
    """A statement as text."""
    lines = [
        f"{document.site_id}, {month_name(document.month)} ({document.zone})",
        state_said(document),
        "",
    ]
    for row in document.rows:
        lines += [
            f"{row.said:<58}{amount(row.amount.micros, row.amount.currency, 6):>22}",
            f"  {row.formula.text}",
            f"  {row.intervals:,} intervals; {terms_said(row)}",
        ]
        if row.formula.note:
            lines.append(f"  {row.formula.note}")
    if document.corrected.micros:
        corrected = amount(document.corrected.micros, document.currency, 6)
        lines.append(f"Of this, corrections of earlier months that had been closed: {corrected}")
    lines += ["", *(f"{what:<58}{much:>22}" for what, much in sums(document)), ""]
    return "\n".join([*lines, measured_said(document), f"Storms: {storms_said(document)}"])


def counted(sites: Sequence[str]) -> Iterator[str]:
    """The sites, with a bar of those that are done on stderr."""
    yield from track(sites, "statements", console=Console(stderr=True), transient=True)
