"""``vpp sim``: a simulated fleet of homes, solar sites and Megapacks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams import clock
from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    import ssl

    from device_sim.runner import Fleet, SimOptions
    from schemas.assets import Site
    from schemas.grid import FrequencyEvent
    from vpp_streams.kafka.decode import Read
    from vpp_streams.kafka.follower import Feed

_FIRST_STATUS_S, _STATUS_S = 3.0, 10.0


def sim(
    homes: Annotated[int, typer.Option(help="homes with batteries and solar", min=0)] = 200,
    solar: Annotated[int, typer.Option(help="sites with solar only", min=0)] = 20,
    megapacks: Annotated[int, typer.Option(help="grid batteries", min=0)] = 2,
    url: Annotated[
        str | None,
        typer.Option(help="the gateway, ws:// or wss://; default: VPP_HOST and VPP_GATEWAY_PORT"),
    ] = None,
    seed: Annotated[int, typer.Option(help="the same seed simulates the same fleet", min=0)] = 1,
    secret: Annotated[
        str | None,
        typer.Option(
            help="secret from which the device tokens are derived", envvar="VPP_SIM_SECRET"
        ),
    ] = None,
    vendor_share: Annotated[
        float, typer.Option(help="share that uses a vendor's form", min=0, max=1)
    ] = 0.3,
    outage_rate: Annotated[
        float, typer.Option(help="lost links per device and hour (about 30 s each)", min=0)
    ] = 0.0,
    grid_outage_rate: Annotated[
        float, typer.Option(help="grid outages per site and day (about 10 min each)", min=0)
    ] = 0.0,
    offline_share: Annotated[
        float, typer.Option(help="share of homes that never connect", min=0, max=1)
    ] = 0.0,
    refuse_share: Annotated[
        float, typer.Option(help="share of homes that reject every setpoint", min=0, max=1)
    ] = 0.0,
    cut_share: Annotated[
        float, typer.Option(help="share of homes that lose their link for good", min=0, max=1)
    ] = 0.0,
    cut_after: Annotated[
        float, typer.Option(help="seconds after the start when --cut-share is cut off", min=0)
    ] = 60.0,
    recorded_home: Annotated[
        Path | None,
        typer.Option(help="CSV of a home's load and solar that drives every home", dir_okay=False),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="CA certificate (PEM) of the gateway, for wss://")
    ] = None,
    import_assets: Annotated[
        bool, typer.Option("--import-assets", help="first import the sites into the registry")
    ] = False,
    health: Annotated[
        bool,
        typer.Option(
            "--health", help="on VPP_KAFKA: publish counters, follow the grid's frequency"
        ),
    ] = False,
) -> None:
    """Simulate a fleet: real WebSocket clients over seeded physics. Ctrl-C stops it.

    The gateway refuses unknown devices: the first time, add --import-assets.
    A CSV for --recorded-home has the columns time_utc,load_w,pv_w or time_local,GC,GG (kW).

    vpp sim --import-assets                     200 homes, 20 solar sites, 2 Megapacks

    vpp sim --homes 1000 --outage-rate 2        each device loses its link twice an hour

    vpp sim --offline-share 0.1 --refuse-share 0.05     a realistic fleet
    """
    from device_sim.fleet import DEMO_SECRET, demo_sites
    from device_sim.recorded import read_recorded
    from device_sim.runner import SimOptions

    settings = load_settings()
    url = url or f"{'wss' if settings.tls_cert else 'ws'}://{settings.host}:{settings.gateway_port}"
    if not url.startswith(("ws://", "wss://")):
        raise InputError(f"--url {url}: a gateway's address starts with ws:// or wss://")
    secret = secret or DEMO_SECRET
    sites = demo_sites(homes, solar, megapacks, seed=seed, secret=secret)
    if not sites:
        raise InputError("nothing to simulate: give --homes, --solar or --megapacks")
    try:
        recorded = read_recorded(recorded_home) if recorded_home else None
    except ValueError as error:
        raise InputError(f"--recorded-home {error}") from None
    options = SimOptions(
        url=url,
        seed=seed,
        secret=secret,
        vendor_share=vendor_share,
        outages_per_hour=outage_rate,
        grid_outages_per_day=grid_outage_rate,
        recorded=recorded,
        offline_share=offline_share,
        refuse_share=refuse_share,
        cut_share=cut_share,
        cut_after_s=cut_after,
        tls=_tls(url, ca),
    )
    asyncio.run(_simulate(settings, sites, options, import_assets, health))


def _tls(url: str, ca: Path | None) -> "ssl.SSLContext | None":
    import ssl

    if not url.startswith("wss://"):
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"--ca {ca}: the certificate cannot be used ({error})") from None


async def _simulate(
    settings: Settings,
    sites: "list[Site]",
    options: "SimOptions",
    import_assets: bool,
    health: bool,
) -> None:
    import signal

    from device_sim.runner import running_fleet
    from vpp_streams.local import demo

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if import_assets:
        await demo.register(settings, sites)
        typer.echo(f"registered {len(sites)} sites on {settings.kafka}")
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(running_fleet(sites, options))
        if health:
            await stack.enter_async_context(_reporting(settings, fleet))
        typer.echo(f"{len(fleet.clients)} devices connect to {options.url}; Ctrl-C stops them")
        async with asyncio.TaskGroup() as tasks:
            reporting = tasks.create_task(_print_status(fleet))
            await fleet.until(stop.is_set)
            reporting.cancel()
    typer.echo(f"stopped: {_status(fleet)}")


async def _print_status(fleet: "Fleet") -> None:
    """Print the fleet's status and its troubles, every few seconds."""
    remedy = {
        "refused": "--import-assets registers these devices with the tokens of --secret",
        "unreachable": "is it running? `vpp gateway` starts one; trying again",
    }
    await asyncio.sleep(_FIRST_STATUS_S)
    while True:
        typer.echo(_status(fleet))
        for kind, sentence in fleet.troubles.items():
            typer.echo(f"gateway {kind}: {sentence}; {remedy.get(kind, 'it does not retry')}")
        fleet.troubles.clear()
        await asyncio.sleep(_STATUS_S)


def _status(fleet: "Fleet") -> str:
    count = fleet.counters
    return (
        f"{fleet.connected}/{len(fleet.clients)} connected, {count['made']} readings made,"
        f" {count['acked']} acked, {fleet.unacked} kept, {count['backfilled']} backfilled,"
        f" {count['reconnects']} reconnects, {count['setpoint_accepted']} setpoints accepted"
    )


@asynccontextmanager
async def _reporting(settings: Settings, fleet: "Fleet") -> "AsyncIterator[None]":
    """Publish the fleet's health, and follow the grid's frequency, during the body."""
    from vpp_streams.kafka.clients import KafkaClients
    from vpp_streams.process.connection import connected
    from vpp_streams.process.health import HealthReporter

    reporter = HealthReporter("sim")
    reporter.counters = fleet.counters
    reporter.gauges["connected"] = lambda: fleet.connected
    reporter.gauges["unacked"] = lambda: fleet.unacked
    async with (
        connected(KafkaClients(settings), reporter) as kafka,
        kafka.follower.following(frequency_into(fleet)),
    ):
        yield


def frequency_into(fleet: "Fleet") -> "Feed[FrequencyEvent]":
    """The feed that sets the simulated grid's frequency by the events of ``grid.frequency``."""

    from vpp_streams.kafka import topics
    from vpp_streams.kafka.follower import Feed

    def apply(read: "Read[FrequencyEvent]") -> None:
        event = read.record
        until_ms = event.at_ms + event.for_ms
        if until_ms > clock.now_ms():
            fleet.world.set_frequency(event.region, event.hz, until_ms)

    return Feed(topics.GRID_FREQUENCY, apply, since_ms=None)
