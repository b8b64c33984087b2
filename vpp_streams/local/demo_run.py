"""`vpp up`: the complete loop on one machine, opened for a person or for a check."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from schemas.assets import Site
from vpp_streams.domain.access.rights import Role
from vpp_streams.errors import InputError
from vpp_streams.local import broker, demo
from vpp_streams.local.demo_check import measure
from vpp_streams.local.edge_homes import edge_sites
from vpp_streams.local.loop_check import Expected, Report
from vpp_streams.local.simulated_fleet import sites_to_simulate
from vpp_streams.local.supervisor import Supervisor
from vpp_streams.process.private_files import locked
from vpp_streams.settings import Settings


@dataclass(frozen=True, slots=True)
class OpenDemo:
    """A demo whose broker answers and whose sites are registered; its processes do not run yet."""

    settings: Settings
    sites: list[Site]
    expected: Expected
    supervisor: Supervisor
    token: str | None
    """Of operator ``demo``; None where VPP_OPERATORS names the operators."""
    keys: demo.DemoKeys
    """Those of account ``demo``, which only reads where VPP_OPERATORS names the operators."""


@contextmanager
def open_demo(
    settings: Settings,
    fleet: demo.DemoFleet,
    seconds: float,
    say: Callable[[str], None],
    *,
    standby: bool = False,
    gateways: int = 1,
    split: bool = False,
) -> Iterator[OpenDemo]:
    """Open the demo of a fleet, to be measured for ``seconds``. Raises `VppError`.

    ``say`` is called with what a person should know before it starts; ``standby``,
    ``gateways`` and ``split`` are those of `demo.specs`.
    """
    if not settings.namespace:
        settings = settings.model_copy(update={"namespace": demo.DEMO_NAMESPACE})
    settings = demo.with_a_quick_market(settings)
    sites = sites_to_simulate(fleet.homes, fleet.solar, fleet.megapacks, seed=fleet.seed)
    sites += edge_sites(fleet.edge)
    expected = Expected(
        devices=sum(len(site.devices) for site in sites),
        regions=frozenset(site.region for site in sites),
        seconds=seconds,
    )
    logs = settings.state_dir / "logs" / settings.namespace
    with _alone_in(settings), broker.answering(settings, say), ExitStack() as ordering:
        settings, messages = demo.with_free_ports(settings)
        for line in messages:
            say(line)
        asyncio.run(demo.register(settings, sites))
        role: Role = "viewer" if settings.operators is not None else "operator"
        keys = ordering.enter_context(demo.demo_account(settings, role))
        settings, token = ordering.enter_context(demo.demo_operator(settings))
        specs = demo.specs(settings, fleet, standby=standby, gateways=gateways, split=split)
        if settings.status_port:
            say(demo.status_line(specs))
        supervisor = Supervisor(specs, logs)
        yield OpenDemo(settings, sites, expected, supervisor, token, keys)


@contextmanager
def _alone_in(settings: Settings) -> Iterator[None]:
    """Refuse to run two fleets in one namespace: their devices would replace each other."""
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


async def check_demo(opened: OpenDemo, say: Callable[[str], None]) -> Report:
    """Run the demo's processes and measure them. Ctrl-C raises `KeyboardInterrupt`."""
    supervisor = opened.supervisor
    say(f"starting {len(supervisor.children)} processes; logs: {supervisor.children[0].log.parent}")
    async with demo.loop_running(supervisor) as stopping:
        report = await measure(
            opened.settings,
            lambda: supervisor.restarts,
            opened.expected,
            opened.sites,
            stopping=stopping,
            token=opened.keys.reader,
        )
        if stopping.is_set():
            raise KeyboardInterrupt
        return report
