"""What tests of the closed control loop measure on the simulated fleet, and what they wait for."""

import numpy as np

from device_sim.fleet import demo_sites
from edge.session import Patience
from schemas.assets import Site
from schemas.commands import FINAL
from schemas.dispatch import DispatchStatus
from tests.support.control_world import Loop
from tests.support.kafka_world import until
from vpp_streams import clock

QUICK = Patience(reconnect_first_ms=200, reconnect_most_ms=1000)
"""Devices that reconnect within a second."""
REGION = "north"
TOLERANCE = 0.02
"""A target is met within this fraction of it."""


def demo_homes(homes: int = 60) -> list[Site]:
    """Return the sites of one region: homes with batteries, and three with solar alone."""
    return demo_sites(homes=homes, solar=3, megapacks=0, regions=(REGION,))


def on_lease(loop: Loop) -> np.ndarray:
    """Return a mask of the devices that act on a lease now."""
    held = loop.fleet.world.leases.held
    now_ms = clock.now_ms()
    return held["stands"] & (held["not_before_ms"] <= now_ms) & (now_ms < held["valid_until_ms"])


def export_w(loop: Loop) -> float:
    """Return the export of all batteries that are connected or on a lease."""
    known = on_lease(loop) | np.array([client.live for client in loop.fleet.clients])
    return float(loop.fleet.world.flows.battery_w[known].sum())


def on_target(loop: Loop, asked_w: float) -> bool:
    """Return whether the export is within the tolerance of the target."""
    return abs(export_w(loop) - asked_w) <= TOLERANCE * abs(asked_w)


async def wait_for_capability_w(loop: Loop, share: float = 0.5) -> float:
    """Return this share of the region's export capability, once it counts every battery."""
    batteries = sum(
        not away and device.rated_energy_wh > 0
        for away, site in zip(loop.fleet.away, loop.fleet.sites_of_devices, strict=True)
        for device in site.devices
    )
    newest: list[DispatchStatus] = []

    async def known() -> bool:
        newest[:] = [t for t in await loop.told() if isinstance(t, DispatchStatus)][-1:]
        return bool(newest) and newest[0].states.get("none", 0) == batteries

    await until(known, f"{batteries} batteries that can be commanded")
    return share * newest[0].capability[0].up_w


def assert_no_breach(loop: Loop) -> None:
    """Assert that no device broke a rule of its lease or its site."""
    broken = {n: c for n, c in loop.fleet.counters.items() if n.startswith("breach")}
    assert broken == {}


async def wait_until_leases_end(loop: Loop) -> None:
    """Wait until no device acts on a lease."""
    await loop.until(lambda: not on_lease(loop).any(), "every lease to end")


async def assert_commands_complete(loop: Loop) -> None:
    """Wait until every accepted command ends, and assert that each was accepted once, in time."""

    async def ended() -> bool:
        story = (await loop.events()).values()
        return all(
            any(e.state in FINAL for e in events)
            for events in story
            if any(e.state == "accepted" for e in events)
        )

    await until(ended, "every command that was taken to end")
    asked = await loop.commands()
    for name, events in (await loop.events()).items():
        assert name in asked, "an event of a command that nobody made"
        taken = [e for e in events if e.state == "accepted"]
        assert len(taken) <= 1, events
        assert all(e.at_ms < asked[name].valid_until_ms for e in taken)


async def exported_at_steps_w(loop: Loop, count: int) -> list[float]:
    """Return the export at each of the next steps of the simulation."""
    seen: list[float] = []
    times: set[int] = set()

    def look() -> bool:
        if loop.fleet._at_ms not in times:  # noqa: SLF001  # one sample a step
            times.add(loop.fleet._at_ms)  # noqa: SLF001  # one sample a step
            seen.append(export_w(loop))
        return len(seen) >= count

    await loop.until(look, f"{count} steps")
    return seen
