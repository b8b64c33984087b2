"""``vpp up``: the complete loop on one machine."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from schemas.assets import Site
    from vpp_streams.local.loop_check import Expected, Report, Summary
    from vpp_streams.local.supervisor import Supervisor


def up(
    homes: Annotated[int, typer.Option(help="homes with a battery", min=0, max=10_000)] = 200,
    solar: Annotated[int, typer.Option(help="sites with solar only", min=0, max=10_000)] = 20,
    megapacks: Annotated[int, typer.Option(help="grid batteries", min=0, max=1000)] = 2,
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
    from device_sim.fleet import demo_sites
    from vpp_streams.errors import InputError
    from vpp_streams.local import broker, demo
    from vpp_streams.local.loop_check import Expected
    from vpp_streams.local.supervisor import Supervisor

    settings = load_settings()
    if not settings.namespace:
        settings = settings.model_copy(update={"namespace": demo.DEMO_NAMESPACE})
    settings = demo.with_a_quick_market(settings)
    fleet = demo.DemoFleet(homes=homes, solar=solar, megapacks=megapacks, seed=seed)
    sites = demo_sites(homes=homes, solar=solar, megapacks=megapacks, seed=seed)
    if not sites:
        raise InputError("nothing to simulate: give --homes, --solar or --megapacks")
    expected = Expected(
        devices=sum(len(site.devices) for site in sites),
        regions=frozenset(site.region for site in sites),
        seconds=seconds,
    )
    logs = settings.state_dir / "logs" / settings.namespace
    with _alone_in(settings), broker.answering(settings, _say), ExitStack() as ordering:
        settings, messages = demo.with_free_ports(settings)
        for line in messages:
            _say(line)
        asyncio.run(demo.register(settings, sites))
        settings, token = ordering.enter_context(demo.demo_operator(settings))
        supervisor = Supervisor(demo.specs(settings, fleet), logs)
        if check:
            report = asyncio.run(_check(settings, supervisor, expected, sites))
        else:
            asyncio.run(_watch(settings, supervisor, expected, token))
    if check:
        _print_report(report)
        raise typer.Exit(0 if report.healthy else 1)


@contextmanager
def _alone_in(settings: Settings) -> Iterator[None]:
    """Refuse to run two fleets in one namespace: their devices would replace each other."""
    from vpp_streams.errors import InputError
    from vpp_streams.process.private_files import locked

    name = settings.namespace
    with ExitStack() as held:
        try:
            held.enter_context(locked(settings.state_dir / f"up-{name}.lock", wait=False))
        except BlockingIOError:
            raise InputError(
                f"`vpp up` already runs in namespace {name}; end that one,"
                f" or choose another: VPP_NAMESPACE={name}-2 vpp up"
            ) from None
        yield


def _say(text: str) -> None:
    typer.echo(text, err=True)


async def _check(
    settings: Settings,
    supervisor: "Supervisor",
    expected: "Expected",
    sites: "Sequence[Site]",
) -> "Report":
    from vpp_streams.local import demo

    _say(
        f"starting {len(supervisor.children)} processes; logs: {supervisor.children[0].log.parent}"
    )
    async with demo.loop_running(supervisor) as stopping:
        report = await demo.measure(settings, supervisor, expected, sites, stopping)
        if stopping.is_set():
            raise KeyboardInterrupt
        return report


def _print_report(report: "Report") -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())


async def _watch(
    settings: Settings, supervisor: "Supervisor", expected: "Expected", token: str | None
) -> None:
    import httpx
    from rich.console import Console
    from rich.live import Live

    from vpp_streams.cli.screens.up import status_screen
    from vpp_streams.local import demo

    console = Console()
    # Awards of the market can apply at any time, and outrank an operator's other orders.
    console.print("orders      vpp dispatch REGION --export-w WATTS --for 15m --emergency --watch")
    if token is not None:
        console.print(f"token       {token}   (needed by the dashboard)", soft_wrap=True)
    async with (
        demo.loop_running(supervisor) as stopping,
        httpx.AsyncClient(base_url=demo.web_url(settings), timeout=5.0) as client,
    ):
        before: Summary | None = None
        with Live(console=console, auto_refresh=False) as live:
            while await demo.pause(stopping):
                now = await demo.read_summary(client)
                screen = status_screen(settings, supervisor, expected, before, now)
                live.update(screen, refresh=True)
                before = now
        console.print("ending every process …")
