"""``vpp payout``: pay owners what a closed month owes them, approved by a second person."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.cli.deciding_operator import deciding_operator
from vpp_streams.errors import InputError
from vpp_streams.settings import load_settings

app = typer.Typer(
    help="Pay owners: proposed by one person, approved by another, exported for the bank.",
    no_args_is_help=True,
)
Payees = Annotated[
    Path, typer.Option(help="CSV file of bank accounts: columns site_id, name, iban")
]
PayoutId = Annotated[str, typer.Argument(help="as `vpp payout propose` printed it")]


@app.command()
def propose(
    payees: Payees,
    currency: Annotated[str, typer.Option(help="ISO 4217, for example EUR")] = "EUR",
) -> None:
    """Propose to pay the balances of the month that was closed last.

    Amounts are rounded down to the currency's smallest unit; the rest stays on the account. Sites
    without a bank account in the file are left out, and stay owed.
    """
    from vpp_streams import clock
    from vpp_streams.cli.screens.ledger import proposal_lines
    from vpp_streams.settlement.database import open_ledger
    from vpp_streams.settlement.deciding import propose as propose_payout
    from vpp_streams.settlement.payees import read_payees

    settings = load_settings()
    by, accounts = deciding_operator(settings), read_payees(payees)
    proposed = asyncio.run(
        propose_payout(
            settings,
            open_ledger(settings),
            accounts,
            currency=currency.upper(),
            by=by,
            now_ms=clock.now_ms(),
        )
    )
    typer.echo(proposal_lines(proposed))


@app.command()
def approve(payout_id: PayoutId) -> None:
    """Approve a payout. The person who proposed it cannot.

    What it pays is then debited from the sites' accounts. It cannot be taken back.
    """
    from vpp_streams import clock
    from vpp_streams.settlement.database import open_ledger
    from vpp_streams.settlement.deciding import approve as approve_payout

    settings = load_settings()
    by = deciding_operator(settings)
    applied = asyncio.run(
        approve_payout(settings, open_ledger(settings), payout_id, by=by, now_ms=clock.now_ms())
    )
    state = "is approved" if applied else "is approved once `vpp settlement run` reads it"
    typer.echo(f"{payout_id} {state} (by {by})")


@app.command()
def export(
    payout_id: PayoutId,
    payees: Payees,
    debtor_name: Annotated[str, typer.Option(help="who pays, as the bank knows you")],
    debtor_iban: Annotated[str, typer.Option(help="the account that is paid from")],
    xml: Annotated[
        Path | None, typer.Option(help="write ISO 20022 pain.001.001.09 there, for the bank")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="write a CSV file there")] = None,
    on: Annotated[
        datetime | None, typer.Option(help="day of execution; default: today", formats=["%Y-%m-%d"])
    ] = None,
) -> None:
    """Write an approved payout for the bank, as XML or CSV.

    The bank accounts must be those that were approved. The files of a payout have the same
    identifiers each time, so that a bank recognizes one that it has executed.
    """
    from vpp_streams.settlement.database import open_ledger
    from vpp_streams.settlement.export import PayoutFiles, export_payout
    from vpp_streams.settlement.payees import checked_iban, read_payees

    if xml is None and csv is None:
        raise InputError("choose --xml, --csv or both")
    files = PayoutFiles(
        xml=xml,
        csv=csv,
        debtor_name=debtor_name,
        debtor_iban=checked_iban(debtor_iban),
        execute_on=on.date() if on else datetime.now(UTC).date(),
    )
    transfers = export_payout(open_ledger(load_settings()), payout_id, read_payees(payees), files)
    typer.echo(f"{payout_id}: {transfers} transfers were written")


@app.command("list")
def list_() -> None:
    """List the payouts, with who proposed and approved them."""
    from vpp_streams.cli.screens.ledger import payout_lines
    from vpp_streams.settlement.database import open_ledger, plain_errors
    from vpp_streams.settlement.queries import payouts

    engine = open_ledger(load_settings())
    with plain_errors(engine), engine.connect() as connection:
        typer.echo(payout_lines(payouts(connection)))
