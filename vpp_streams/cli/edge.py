"""``vpp edge``: the agent of one home; ``vpp-edge`` is the same with fewer libraries."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Run the agent of one home: its battery in the power station."
)


@app.command("run")
def run(
    config: Annotated[Path, typer.Argument(help="a TOML file; see `vpp edge example-config`")],
) -> None:
    """Run the agent until Ctrl-C or SIGTERM, which release the inverter.

    It reads the inverter once a second, keeps the readings until the cloud has them, and carries
    out commands within the owner's reserve and the limits of the grid connection.
    """
    from edge.run import run as run_agent

    raise typer.Exit(run_agent(config))


@app.command("example-config")
def example_config() -> None:
    """Print a configuration with every key.

    vpp edge example-config > edge.toml
    """
    from edge.config import EXAMPLE

    typer.echo(EXAMPLE, nl=False)


@app.command("enrol")
def enrol(
    config: Annotated[Path, typer.Argument(help="the configuration, with [gateway] enrol_url")],
    code: Annotated[str, typer.Option(help="the operator's one-time code (`vpp ca code`)")],
    fingerprint: Annotated[
        str, typer.Option(help="SHA-256 of the operator's authority, which came with the code")
    ],
) -> None:
    """Make this home's key, and fetch its certificate with a one-time code.

    Writes certificate_file, key_file and ca_file; the key never leaves the home. A running agent
    takes them up by itself.
    """
    from edge.identity.enrol import enrol as enrol_home

    raise typer.Exit(enrol_home(config, code, fingerprint))


@app.command("check")
def check(
    config: Annotated[Path, typer.Argument(help="the home's configuration")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Check a home's installation: link, meters, clock, limits, and a pulse of 500 W each way.

    It runs in place of the agent, commands the inverter within the owner's limits, and releases it
    at the end. A line for each step; exit code 1 if one failed.
    """
    from edge.commissioning.command import check as check_home

    raise typer.Exit(check_home(config, as_json=as_json))


@app.command("probe")
def probe(
    address: Annotated[str, typer.Argument(help="HOST or HOST:PORT")],
    unit: Annotated[int, typer.Option(min=0, max=255, help="the Modbus unit")] = 1,
    driver: Annotated[str, typer.Option(help="another driver than sunspec")] = "sunspec",
    option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE of that driver, as in [driver]; repeatable")
    ] = None,
) -> None:
    """Say what inverter is at an address: its SunSpec models, readings, signs and balance.

    vpp edge probe 192.0.2.7 --driver enphase --option token_file=token

    It only reads. Exit code 0 = what it reads fits together, 1 = it does not, or nothing answers.
    """
    from edge.commissioning.probe_command import probe as probe_home

    raise typer.Exit(probe_home(address, unit, driver, option or []))
