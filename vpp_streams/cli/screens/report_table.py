"""A report for a terminal or a file, and the progress of an export."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from vpp_streams.domain.history.kinds import KINDS
from vpp_streams.domain.history.periods import label
from vpp_streams.history.formats import FORMATS, encoded
from vpp_streams.history.reports import Answer, Extent

_HIDDEN = {"start_ms", "end_ms"}


def print_report(answer: Answer, format_: str) -> None:
    """Print a report: a table for people, or the bytes of a format on standard output."""
    if format_ != "table":
        sys.stdout.buffer.write(encoded(answer, FORMATS[FORMATS.index(format_)]))
        sys.stdout.buffer.flush()
        return
    question = answer.question
    columns = [column for column in question.columns if column.name not in _HIDDEN]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.name, justify="left" if column.name in _WORDS else "right")
    for row in answer.rows.to_pylist():
        table.add_row(*(_cell(column.name, row[column.name]) for column in columns))
    console = Console()
    if not console.is_terminal:
        console = Console(width=400)
    console.print(table)
    until = label(answer.complete_until_ms, question.zone) if answer.complete_until_ms else "-"
    typer.echo(f"\n{len(answer.rows):,} rows; history is complete until {until}", err=True)


_WORDS = {"start", "region", "site_id", "market", "currency", "final"}


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith(("coverage", "inside", "availability", "delivery_error")):
        return f"{value:.4f}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def print_kinds(extent: Extent) -> None:
    """Print the kinds of history with the number of days of each."""
    for kind in KINDS:
        typer.echo(f"{kind.name:16}{extent.days[kind.name]:>6} days  {kind.about}")


@contextmanager
def exporting() -> Iterator[Callable[[int, int], None]]:
    """Show the progress of an export on stderr; yields what to call with days done and all."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("days", total=None)
        yield lambda done, days: progress.update(task, completed=done, total=days)
