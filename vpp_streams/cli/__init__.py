"""The command line ``vpp``. Each command is in a file of its own name in this folder.

A command file imports only typer, errors and settings at its top, and the rest inside its
functions, so that ``vpp --help`` answers at once.
"""

from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

_PANELS: dict[str, tuple[str, ...]] = {
    "Start here": ("up", "doctor", "broker", "kafka"),
    "Control": (
        "dispatch",
        "hold",
        "limit",
        "storm",
        "openadr",
        "audit",
        "explain",
        "accounts",
        "operators",
        "incidents",
        "frequency",
    ),
    "Fleet and data": (
        "assets",
        "ca",
        "normalize",
        "report",
        "export",
        "record",
        "replay",
        "prices",
        "publish",
        "backtest",
    ),
    "Money": ("programs", "ledger", "statement", "statements", "payout"),
    "Processes (what `vpp up` runs)": (
        "sim",
        "gateway",
        "worker",
        "market",
        "web",
        "rpc",
        "settlement",
    ),
    "In a home": ("edge",),
    "Development": ("device", "contracts"),
}

_HELP = """A virtual power plant: home batteries, solar and grid batteries as one power station.

Devices connect to a gateway over WebSockets; their readings become clean telemetry, a twin of
every device, and live and windowed tables by site and region, on Apache Kafka."""

# \b keeps the lines of the block that follows it as they are.
_FIRST_STEPS = """First steps:

\b
  vpp doctor            what is missing on this machine, and how to get it
  vpp up                the complete loop here: 200 simulated homes and a dashboard
  vpp up --check        the same without a terminal: a JSON report, exit 0 if healthy
  vpp dispatch REGION   request power from a region: --export-w W --for 15m --watch
  vpp normalize FILE    the reading in a device's payload, or why there is none

Settings are VPP_* environment variables; `vpp doctor --settings` explains each."""


class _InOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for names in _PANELS.values() for name in names if name in self.commands]


def build_app() -> typer.Typer:
    """The command line with every command registered."""
    app = typer.Typer(
        name="vpp",
        cls=_InOrder,
        help=_HELP,
        epilog=_FIRST_STEPS,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_version_option)
    for panel, names in _PANELS.items():
        for name in names:
            _register(app, name, panel)
    return app


def _register(app: typer.Typer, name: str, panel: str) -> None:
    module = import_module(f"{__name__}.{name}")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name, rich_help_panel=panel)
    else:
        app.command(name, rich_help_panel=panel)(getattr(module, name))


def _version_option(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(f"vpp {metadata.version('vpp-streams')}")
        raise typer.Exit
