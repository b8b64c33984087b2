"""``vpp settlement``: the role that builds the ledger."""

import typer

from vpp_streams.settings import load_settings

app = typer.Typer(help="The role that books entries into the ledger.", no_args_is_help=True)


@app.callback()
def settlement() -> None:
    """The role that books entries into the ledger."""


@app.command()
def run() -> None:
    """Book topic `settlement.entries` into the ledger's database, until Ctrl-C.

    The database (VPP_LEDGER) is PostgreSQL, or a file of SQLite in VPP_STATE_DIR if none is named.
    Each transaction has the rows and the offset that they came from: after a kill at any moment,
    the next start continues with the first record that is not booked. One process is enough.

    \b
    VPP_LEDGER=postgresql://vpp:SECRET@db.example/ledger vpp settlement run
    VPP_LEDGER=sqlite:////var/lib/vpp/ledger.sqlite vpp settlement run

    Records that cannot be booked are in topic `records.rejected`, with the reason.
    """
    import uvloop

    from vpp_streams.process.logs import set_up_logs
    from vpp_streams.settlement.process import run_settlement

    settings = load_settings()
    set_up_logs(settings)
    uvloop.run(run_settlement(settings))
