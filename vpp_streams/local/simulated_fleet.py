"""A simulated fleet as a process: its options, its status, its health, the grid's frequency."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from device_sim.fleet import DEMO_SECRET, demo_sites
from device_sim.recorded import RecordedHome, read_recorded
from device_sim.runner import Fleet, SimOptions, running_fleet
from schemas.assets import Site
from schemas.grid import FrequencyEvent
from vpp_streams import clock
from vpp_streams.errors import InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.local import demo
from vpp_streams.process.connection import connected_role
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

_FIRST_STATUS_S, _STATUS_S = 3.0, 10.0
_REMEDIES = {
    "refused": "--import-assets registers these devices with the tokens of --secret",
    "unreachable": "is it running? `vpp gateway` starts one; trying again",
}


def gateway_url(settings: Settings, url: str | None) -> str:
    """The address of the gateway, or several, separated by commas; None = that of the settings.

    Raises `InputError`.
    """
    scheme = "wss" if settings.tls_cert else "ws"
    url = url or f"{scheme}://{settings.host}:{settings.gateway_port}"
    schemes = {one.partition("://")[0] for one in url.split(",")}
    if schemes not in ({"ws"}, {"wss"}):
        raise InputError(
            f"--url {url}: a gateway's address starts with ws:// or wss://, several with the same"
        )
    return url


def tls_of(url: str, ca: Path | None) -> ssl.SSLContext | None:
    """TLS for a gateway, by a CA certificate; None without TLS. Raises `InputError`."""
    if not url.startswith("wss://"):
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"--ca {ca}: the certificate cannot be used ({error})") from None


def recorded_of(file: Path | None) -> RecordedHome | None:
    """A recorded home from its CSV. Raises `InputError`."""
    try:
        return read_recorded(file) if file else None
    except ValueError as error:
        raise InputError(f"--recorded-home {error}") from None


def sites_to_simulate(
    homes: int, solar: int, megapacks: int, *, seed: int, secret: str = DEMO_SECRET
) -> list[Site]:
    """The sites of a simulated fleet, at least one. Raises `InputError`."""
    sites = demo_sites(homes, solar, megapacks, seed=seed, secret=secret)
    if not sites:
        raise InputError("nothing to simulate: give --homes, --solar or --megapacks")
    return sites


async def simulate(
    settings: Settings,
    sites: list[Site],
    options: SimOptions,
    *,
    registers: bool,
    reports: bool,
    say: Callable[[str], None],
) -> None:
    """Run a fleet until SIGINT or SIGTERM; ``say`` receives its status every few seconds.

    ``registers``: the sites are first added to the registry. ``reports``: the fleet's health is
    published, and the grid's frequency followed.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if registers:
        await demo.register(settings, sites)
        say(f"registered {len(sites)} sites on {settings.kafka}")
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(running_fleet(sites, options))
        if reports:
            await stack.enter_async_context(_reporting(settings, fleet))
        say(f"{len(fleet.clients)} devices connect to {options.url}; Ctrl-C stops them")
        async with asyncio.TaskGroup() as tasks:
            reporting = tasks.create_task(_say_status(fleet, say))
            await fleet.until(stop.is_set)
            reporting.cancel()
    say(f"stopped: {_status(fleet)}")


async def _say_status(fleet: Fleet, say: Callable[[str], None]) -> None:
    """Report the fleet's status and its troubles, every few seconds."""
    await asyncio.sleep(_FIRST_STATUS_S)
    while True:
        say(_status(fleet))
        for kind, sentence in fleet.troubles.items():
            say(f"gateway {kind}: {sentence}; {_REMEDIES.get(kind, 'it does not retry')}")
        fleet.troubles.clear()
        await asyncio.sleep(_STATUS_S)


def _status(fleet: Fleet) -> str:
    count = fleet.counters
    return (
        f"{fleet.connected}/{len(fleet.clients)} connected, {count['made']} readings made,"
        f" {count['acked']} acked, {fleet.unacked} kept, {count['backfilled']} backfilled,"
        f" {count['reconnects']} reconnects, {count['setpoint_accepted']} setpoints accepted"
    )


@asynccontextmanager
async def _reporting(settings: Settings, fleet: Fleet) -> AsyncIterator[None]:
    """Publish the fleet's health, and follow the grid's frequency, during the body."""
    reporter = HealthReporter("sim")
    reporter.counters = fleet.counters
    reporter.gauges["connected"] = lambda: fleet.connected
    reporter.gauges["unacked"] = lambda: fleet.unacked
    async with (
        connected_role(KafkaClients(settings), reporter) as kafka,
        kafka.follower.following(frequency_into(fleet)),
    ):
        yield


def frequency_into(fleet: Fleet) -> Feed[FrequencyEvent]:
    """The feed that sets the simulated grid's frequency by the events of ``grid.frequency``."""

    def apply(read: Read[FrequencyEvent]) -> None:
        event = read.record
        until_ms = event.at_ms + event.for_ms
        if until_ms > clock.now_ms():
            fleet.world.set_frequency(event.region, event.hz, until_ms)

    return Feed(topics.GRID_FREQUENCY, apply, since_ms=None)
