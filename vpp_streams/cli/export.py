"""``vpp export KIND``: the rows of history in one file."""

from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


def export(
    kind: Annotated[str, typer.Argument(help="site_windows, deliveries, ...; `list` lists them")],
    from_: Annotated[
        str | None,
        typer.Option("--from", help="local date or ISO 8601 time; else where history begins"),
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="the last day, or the time of the end; else now")
    ] = None,
    tz: Annotated[
        str | None, typer.Option(help="IANA time zone of days; else that of history")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="file to write: .parquet, .csv or .ndjson")
    ] = None,
) -> None:
    """Write what history has of a kind to a file, each record once and by its newest revision.

    It reads the history directory (VPP_HISTORY). Ctrl-C leaves no part of a file.
    """
    from vpp_streams import clock
    from vpp_streams.cli.screens.report_table import exporting, print_kinds
    from vpp_streams.domain.history.kinds import BY_NAME
    from vpp_streams.history.export import export as write
    from vpp_streams.history.questions import span_of
    from vpp_streams.history.reports import open_history

    settings = load_settings()
    history = open_history(settings.history_dir, settings.window_retention_s * 1000)
    if kind == "list":
        print_kinds(history.extent())
        return
    if kind not in BY_NAME:
        raise InputError(f"there is no kind {kind!r}; there are {', '.join(BY_NAME)}")
    if out is None:
        raise InputError(f"name the file to write, for example --out {kind}.parquet")
    chosen, now_ms = BY_NAME[kind], clock.now_ms()
    from_ms, to_ms, _ = span_of(history, [chosen], from_=from_, to=to, tz=tz, now_ms=now_ms)
    with exporting() as on_day:
        rows = write(history, chosen, from_ms, to_ms, out=out, on_day=on_day)
    typer.echo(f"{rows:,} rows in {out}")
