"""The loop closed: a target is followed, what is missing is announced, nothing outlives a kill."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from device_sim.device import Patience
from device_sim.fleet import demo_sites
from schemas.commands import FINAL
from schemas.dispatch import DispatchStatus, Notice, RequestEvent
from tests.support.control_world import Loop, control_loop
from tests.support.kafka_world import until
from vpp_streams import clock
from vpp_streams.local.broker import wait_until_it_works
from vpp_streams.local.kafka_process import KafkaProcess, fetch_jars, find_java
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

QUICK = Patience(reconnect_first_ms=200, reconnect_most_ms=1000)
REGION = "north"
WITHIN = 0.02


def sites(homes: int = 60):
    return demo_sites(homes=homes, solar=3, megapacks=0, regions=(REGION,))


def leased(loop: Loop) -> np.ndarray:
    """Which devices act on a lease now."""
    held = loop.fleet.world.leases.held
    now_ms = clock.now_ms()
    return held["stands"] & (held["not_before_ms"] <= now_ms) & (now_ms < held["valid_until_ms"])


def export_w(loop: Loop) -> float:
    """What the batteries do that are connected or on a lease: those that anybody can know of."""
    known = leased(loop) | np.array([client.live for client in loop.fleet.clients])
    return float(loop.fleet.world.flows.battery_w[known].sum())


def on_target(loop: Loop, asked_w: float) -> bool:
    return abs(export_w(loop) - asked_w) <= WITHIN * abs(asked_w)


async def capable(loop: Loop, share: float = 0.5) -> float:
    """A share of what the region can hold, once every battery that is to connect is counted."""
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


def no_breach(loop: Loop) -> None:
    broken = {n: c for n, c in loop.fleet.counters.items() if n.startswith("breach")}
    assert broken == {}


async def everything_ended(loop: Loop) -> None:
    """Wait until no device acts on a lease."""
    await loop.until(lambda: not leased(loop).any(), "every lease to end")


async def the_story_is_whole(loop: Loop) -> None:
    """Each command that was taken was made, taken once, and came to one end."""

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


async def beats(loop: Loop, count: int) -> list[float]:
    """What is exported at each of the next steps of the physics."""
    seen: list[float] = []
    times: set[int] = set()

    def look() -> bool:
        if loop.fleet._at_ms not in times:
            times.add(loop.fleet._at_ms)
            seen.append(export_w(loop))
        return len(seen) >= count

    await loop.until(look, f"{count} steps")
    return seen


async def test_a_dispatch_is_followed_and_what_is_missing_is_announced(
    settings: Settings, tmp_path: Path
) -> None:
    """10 % of homes are offline, 5 % refuse, and in the middle 30 % lose their link."""
    async with control_loop(
        settings, sites(), tmp_path, patience=QUICK, offline_share=0.1, refuse_share=0.05
    ) as loop:
        asked_w = await capable(loop)
        target = await loop.target(REGION, asked_w)
        await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
        seen = await beats(loop, 15)
        assert np.mean(np.abs(np.array(seen) / asked_w - 1) <= WITHIN) >= 0.9, seen
        loop.fleet.cut(0.3)
        # Their leases run on, and end; the others take over, or a notice says what is missing.
        await loop.until(
            lambda: not leased(loop)[~np.array([c.live for c in loop.fleet.clients])].any(),
            "the leases of those who are gone to end",
        )
        await loop.until(lambda: on_target(loop, asked_w), "the others to make it good")
        await loop.withdraw(target)
        await everything_ended(loop)
        await the_story_is_whole(loop)
        told, story = await loop.told(), await loop.events()
    no_breach(loop)
    states = [t.state for t in told if isinstance(t, RequestEvent) and t.request_id == "t1"]
    assert states == ["accepted", "active", "withdrawn"]
    followed = [t for t in told if isinstance(t, DispatchStatus) and t.request_id == "t1"]
    assert all(t.asked_w == asked_w for t in followed)
    refused = {e.device_id for events in story.values() for e in events if e.state == "rejected"}
    assert len(refused) == 3


async def test_more_than_there_is_gives_all_and_a_notice_with_causes(
    settings: Settings, tmp_path: Path
) -> None:
    async with control_loop(
        settings, sites(30), tmp_path, patience=QUICK, refuse_share=0.1
    ) as loop:
        most_w = await capable(loop, 1.0)
        await loop.target(REGION, 3 * most_w)

        async def noticed() -> bool:
            return any(isinstance(t, Notice) and t.missing_w > most_w for t in await loop.told())

        await until(noticed, "a notice")

        notice = next(t for t in await loop.told() if isinstance(t, Notice))
        hold = await loop.hold(REGION)
        await everything_ended(loop)
        await loop.withdraw(hold)
    no_breach(loop)
    assert notice.causes
    assert {cause.cause for cause in notice.causes} <= {
        "offline", "refused", "reserve", "connection", "rating", "not_following", "not_heard",
        "no_answer",
    }  # fmt: skip


@pytest.mark.parametrize("role", ["gateway", "fleet", "region"])
async def test_no_kill_leaves_a_zombie(settings: Settings, tmp_path: Path, role: str) -> None:
    """Killed in a dispatch: leases end, and with a successor the fleet is back by itself."""
    async with control_loop(settings, sites(30), tmp_path, patience=QUICK) as loop:
        asked_w = await capable(loop)
        target = await loop.target(REGION, asked_w)
        await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
        loop.roles.kill(role)
        await everything_ended(loop)
        loop.roles.start(role)
        await loop.until(lambda: on_target(loop, asked_w), "the successor to go on")
        await loop.withdraw(target)
        await everything_ended(loop)
        await the_story_is_whole(loop)
    no_breach(loop)


async def test_a_kafka_that_stops_leaves_no_zombie(settings: Settings, tmp_path: Path) -> None:
    """Killed, away for longer than any lease, and back: the fleet falls back, then goes on."""
    local = KafkaProcess(
        tmp_path / "kafka", free_port(), fetch_jars(Settings().state_dir), find_java(), heap="512m"
    )
    bootstrap = f"localhost:{local.port}"
    process = local.spawn(outlives_us=False)
    try:
        await asyncio.to_thread(wait_until_it_works, bootstrap)
        own = settings.model_copy(update={"kafka": bootstrap})
        async with control_loop(own, sites(30), tmp_path / "logs", patience=QUICK) as loop:
            asked_w = await capable(loop)
            target = await loop.target(REGION, asked_w)
            await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
            process.kill()
            process.wait()
            await everything_ended(loop)
            process = local.spawn(outlives_us=False)
            await asyncio.to_thread(wait_until_it_works, bootstrap)
            loop.roles.revive()
            await loop.until(lambda: on_target(loop, asked_w), "the fleet to be back")
            await loop.withdraw(target)
            await everything_ended(loop)
        no_breach(loop)
    finally:
        process.kill()
        process.wait()
