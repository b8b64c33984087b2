"""``vpp ledger``: what the ledger says, whether it is sound, and its closed months."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.cli.deciding_operator import deciding_operator
from vpp_streams.errors import InputError, LedgerError
from vpp_streams.settings import load_settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from vpp_streams.settings import Settings

app = typer.Typer(
    help="The ledger: balances, checks, closed months. `vpp settlement run` builds it.",
    no_args_is_help=True,
)
Month = Annotated[str, typer.Argument(help="for example 2026-10")]


def _opened(settings: "Settings") -> "sa.Engine":
    from vpp_streams.settlement.database import open_ledger

    return open_ledger(settings)


@app.command()
def balance(
    site: Annotated[str | None, typer.Option(help="what this site's owner is owed")] = None,
    region: Annotated[str | None, typer.Option(help="sums of a region, by day and kind")] = None,
    account: Annotated[
        str | None, typer.Option(help="any account, for example operator, bank, market:sim")
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="only intervals that start before, for example 2026-11-01")
    ] = None,
) -> None:
    """Show balances: credits less debits. A site's balance is what its owner is owed.

    \b
    vpp ledger balance --site site-home-0001
    vpp ledger balance --account operator --before 2026-11-01T00:00Z
    vpp ledger balance --region north
    """
    from schemas.bounds import MAX_TIME_MS
    from schemas.settlement import site_account
    from vpp_streams.cli.screens.ledger import balance_lines, region_table
    from vpp_streams.settlement.database import plain_errors
    from vpp_streams.settlement.queries import balances, region_days

    chosen = [word for word in (site, region, account) if word is not None]
    if len(chosen) != 1:
        raise InputError("choose one of --site, --region and --account")
    engine = _opened(load_settings())
    until_ms = None if before is None else _moment_ms(before)
    with plain_errors(engine), engine.connect() as connection:
        if region is not None:
            days = list(region_days(connection, 0, until_ms or MAX_TIME_MS, region))
            typer.echo(region_table(region, days))
            return
        name = account or site_account(site or "")
        found = balances(connection, name, until_ms)
    if not found:
        raise LedgerError(f"nothing was ever booked on account {name}")
    typer.echo(balance_lines(name, found))


def _moment_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no time: write it as 2026-11-01 or 2026-11-01T00:00Z"
        ) from None
    utc = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(utc.timestamp() * 1000)


@app.command()
def check() -> None:
    """Check the ledger against itself; exit code 5 if something is not in order.

    Every record's entries are as they were booked; what a market paid for an interval is what
    owners and operator received; closed months still have their balances; every payout is as it
    was approved. The digest is the same for two ledgers that say the same.
    """
    from vpp_streams.settlement.checks import digest, faults
    from vpp_streams.settlement.closings import closings_of
    from vpp_streams.settlement.database import plain_errors, shown

    engine = _opened(load_settings())
    with plain_errors(engine), engine.connect() as connection:
        found = list(faults(connection))
        closed = [closing.period for closing in closings_of(connection)]
        said = digest(connection)
    for fault in found:
        typer.echo(f"NOT IN ORDER: {fault}")
    typer.echo(f"closed months: {', '.join(closed) or 'none'}")
    typer.echo(f"digest: {said}")
    if found:
        raise LedgerError(f"{len(found)} things are not in order in {shown(engine.url)}")
    typer.echo(f"the ledger in {shown(engine.url)} is in order")


@app.command()
def rebuild() -> None:
    """Remove the ledger's tables and build them again from the beginning of the log.

    Stop `vpp settlement run` before, and start it again afterwards. The digests before and after
    are compared if both have booked the same records.
    """
    from vpp_streams.settlement.process import rebuild as build_again

    done = asyncio.run(build_again(load_settings(), _show_left))
    typer.echo(f"{done.records} records were booked; digest: {done.after}")
    if done.before is None:
        typer.echo("there was no ledger of the same records to compare it with")
    elif done.before == done.after:
        typer.echo("the ledger is the same as before")
    else:
        raise LedgerError(f"the ledger was another one before: its digest was {done.before}")


def _show_left(records: int) -> None:
    typer.echo(f"{records} records are left", err=True)


@app.command()
def close(month: Month) -> None:
    """Close a month and all before it: they never change again.

    A correction that comes later counts in the next open month, and states the closed one. The
    closing has your name (of VPP_TOKEN, right `settle`) and the time.
    """
    from vpp_streams import clock
    from vpp_streams.settlement.deciding import close as close_month

    settings = load_settings()
    by = deciding_operator(settings)
    applied = asyncio.run(
        close_month(settings, _opened(settings), month, by=by, now_ms=clock.now_ms())
    )
    state = "is closed" if applied else "will be closed when `vpp settlement run` reads it"
    typer.echo(f"{month} {state} (by {by})")


@app.command()
def periods() -> None:
    """List the closed months, with who closed them and when."""
    from vpp_streams.cli.screens.ledger import period_lines
    from vpp_streams.settlement.database import plain_errors
    from vpp_streams.settlement.queries import closed_periods

    engine = _opened(load_settings())
    with plain_errors(engine), engine.connect() as connection:
        typer.echo(period_lines(closed_periods(connection)))
