"""``vpp up``: the complete loop on one machine."""

import asyncio
from typing import Annotated

import typer

from schemas.bounds import GATEWAY_SLOTS
from vpp_streams.settings import load_settings


def up(
    homes: Annotated[int, typer.Option(help="homes with a battery", min=0, max=10_000)] = 200,
    solar: Annotated[int, typer.Option(help="sites with solar only", min=0, max=10_000)] = 20,
    megapacks: Annotated[int, typer.Option(help="grid batteries", min=0, max=1000)] = 2,
    edge: Annotated[
        int,
        typer.Option(
            help="homes whose agents are real processes, on inverters that speak Modbus",
            min=0,
            max=50,
        ),
    ] = 0,
    standby: Annotated[
        bool,
        typer.Option(
            "--standby",
            help="two of region, market, optimizer, settlement and incidents: kill one, and watch",
        ),
    ] = False,
    gateways: Annotated[
        int,
        typer.Option(
            help="gateways, which share one port: end one, and its devices are with another",
            min=1,
            max=GATEWAY_SLOTS,
        ),
    ] = 1,
    split: Annotated[
        bool,
        typer.Option(
            "--split", help="ingest and fleet as two workers, instead of one that does both (flow)"
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="the same seed simulates the same fleet")] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="no terminal: print a JSON report, exit 0 if healthy")
    ] = False,
    seconds: Annotated[
        float,
        typer.Option(
            help="with --check: how long to measure, before a dispatch drill",
            min=1,
            max=86_400,
        ),
    ] = 60.0,
) -> None:
    """Run the complete loop here: broker, gateway, workers, market, dashboard, simulated fleet.

    It shows a live status and the dashboard's address; Ctrl-C ends every process. It uses namespace
    `demo` of the broker unless VPP_NAMESPACE is set.
    """
    from vpp_streams.cli.screens.documents import print_json
    from vpp_streams.cli.screens.up import watch_demo
    from vpp_streams.local.demo import DemoFleet
    from vpp_streams.local.demo_run import check_demo, open_demo

    def say(text: str) -> None:
        typer.echo(text, err=True)

    fleet = DemoFleet(homes=homes, solar=solar, megapacks=megapacks, edge=edge, seed=seed)
    with open_demo(
        load_settings(), fleet, seconds, say, standby=standby, gateways=gateways, split=split
    ) as opened:
        if check:
            report = asyncio.run(check_demo(opened, say))
        else:
            asyncio.run(watch_demo(opened))
    if check:
        print_json(report)
        raise typer.Exit(0 if report.healthy else 1)
