"""``vpp report NAME``: sums over history."""

from typing import Annotated

import typer

from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings


def report(
    name: Annotated[
        str, typer.Argument(help="energy, earnings, availability, delivery or forecast")
    ],
    from_: Annotated[
        str | None,
        typer.Option("--from", help="local date or ISO 8601 time; else where history begins"),
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="the last day, or the time of the end; else now")
    ] = None,
    group: Annotated[
        str, typer.Option(help="rows by interval, hour, day, month, year or total")
    ] = "day",
    region: Annotated[
        str | None, typer.Option(help="only this one; '*' = a row for each; else all together")
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="this site; '*' = a row for each (of the region)")
    ] = None,
    tz: Annotated[
        str | None, typer.Option(help="IANA time zone of days; else that of history")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="table, csv, json or parquet")] = "table",
) -> None:
    """Print a report over the history directory (VPP_HISTORY).

    It reads the files, so it needs neither Kafka nor a web process, and reads a copy just as well.
    Each sum has its coverage and says whether it is final; what was not measured is left empty.
    Earnings of sites are read from the ledger (VPP_LEDGER):

    \b
    vpp report earnings --site site-home-0001 --group month
    vpp report earnings --site '*' --region north --group total --format csv
    """
    from vpp_streams import clock
    from vpp_streams.cli.screens.report_table import print_report
    from vpp_streams.domain.history.periods import GROUPS
    from vpp_streams.history.formats import FORMATS
    from vpp_streams.history.questions import question_of
    from vpp_streams.history.reports import Answering, open_history
    from vpp_streams.statements.earnings import LedgerEarnings, is_in_ledger
    from vpp_streams.statements.reading import LedgerReader

    if format_ not in ("table", *FORMATS):
        raise InputError(f"there is no format {format_!r}; there are table, {', '.join(FORMATS)}")
    if group not in GROUPS:
        raise InputError(f"there is no group {group!r}; there are {', '.join(GROUPS)}")
    settings = load_settings()
    source: Answering
    if is_in_ledger(name, site):
        source = LedgerEarnings(LedgerReader(settings), site or "")
    else:
        source = open_history(settings.history_dir, settings.window_retention_s * 1000)
    question = question_of(
        source,
        name,
        from_=from_,
        to=to,
        group=GROUPS[GROUPS.index(group)],
        region=region,
        site=site,
        tz=tz,
        now_ms=clock.now_ms(),
    )
    print_report(source.answer(question), format_)
