"""A backtest's progress while it runs, and its result as text, JSON or an HTML file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vpp_streams.cli.screens.backtest import summary_table
from vpp_streams.cli.screens.backtest_page import page
from vpp_streams.cli.screens.documents import print_json
from vpp_streams.cli.screens.tables import console
from vpp_streams.errors import InputError
from vpp_streams.replay.backtest import BacktestResult


@contextmanager
def progress(unit: str, total: int) -> Iterator[Callable[[], None]]:
    """Show progress on stderr; yields the function to call after each unit."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("bidding", total=total)
        yield lambda: shown.advance(task)


def show_result(result: BacktestResult, html: Path | None, as_json: bool) -> None:
    """Print a result, and write its report where a file is named. Raises `InputError`."""
    summary, trace, market = result.summary, result.trace, result.market
    if html is not None:
        try:
            html.write_text(page(summary, trace, market), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {html}: {error.strerror}") from None
    if as_json:
        print_json(summary)
        return
    console().print(summary_table(summary, trace, market))
    if html is not None:
        typer.echo(f"report: {html}")
