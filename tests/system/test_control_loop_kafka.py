"""The loop closed: a target is followed, what is missing is announced, nothing outlives a kill."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from schemas.dispatch import DispatchStatus, Notice, RequestEvent
from tests.support.closed_loop import (
    QUICK,
    REGION,
    TOLERANCE,
    assert_commands_complete,
    assert_no_breach,
    demo_homes,
    exported_at_steps_w,
    on_lease,
    on_target,
    wait_for_capability_w,
    wait_until_leases_end,
)
from tests.support.control_world import Loop, control_loop
from tests.support.kafka_world import until
from vpp_streams.local.broker import wait_until_it_works
from vpp_streams.local.kafka_process import (
    SHORT_LIVED,
    KafkaProcess,
    fetch_jars,
    find_java,
)
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


async def test_a_dispatch_is_followed_and_what_is_missing_is_announced(
    settings: Settings, tmp_path: Path
) -> None:
    """10 % of homes are offline, 5 % refuse, and in the middle 30 % lose their link.

    More than there is gives all, and a notice with causes.
    """
    async with control_loop(
        settings, demo_homes(), tmp_path, patience=QUICK, offline_share=0.1, refuse_share=0.05
    ) as loop:
        asked_w = await wait_for_capability_w(loop)
        target = await loop.target(REGION, asked_w)
        await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
        seen = await exported_at_steps_w(loop, 15)
        assert np.mean(np.abs(np.array(seen) / asked_w - 1) <= TOLERANCE) >= 0.9, seen
        loop.fleet.cut(0.3)
        # Their leases run on, and end; the others take over, or a notice says what is missing.
        await loop.until(
            lambda: not on_lease(loop)[~np.array([c.live for c in loop.fleet.clients])].any(),
            "the leases of those who are gone to end",
        )
        await loop.until(lambda: on_target(loop, asked_w), "the others to make it good")
        await loop.withdraw(target)
        await wait_until_leases_end(loop)
        await assert_commands_complete(loop)
        told, story = await loop.told(), await loop.events()
        notice = await asked_for_too_much(loop, 2 * asked_w)
    assert_no_breach(loop)
    assert notice.causes
    assert {cause.cause for cause in notice.causes} <= {
        "offline", "refused", "reserve", "connection", "rating", "not_following", "not_heard",
        "no_answer",
    }  # fmt: skip
    states = [t.state for t in told if isinstance(t, RequestEvent) and t.request_id == "t1"]
    assert states == ["accepted", "active", "withdrawn"]
    followed = [t for t in told if isinstance(t, DispatchStatus) and t.request_id == "t1"]
    assert all(t.asked_w == asked_w for t in followed)
    refused = {e.device_id for events in story.values() for e in events if e.state == "rejected"}
    assert len(refused) == 3


async def asked_for_too_much(loop: Loop, most_w: float) -> Notice:
    """Ask for three times what there is, and hold the region once a notice says so."""
    await loop.target(REGION, 3 * most_w)
    found: list[Notice] = []

    async def noticed() -> bool:
        told = [t for t in await loop.told() if isinstance(t, Notice)]
        found[:] = [t for t in told if t.missing_w > most_w]
        return bool(found)

    await until(noticed, "a notice")
    hold = await loop.hold(REGION)
    await wait_until_leases_end(loop)
    await loop.withdraw(hold)
    return found[0]


@pytest.mark.parametrize(
    "role",
    [
        "fleet",
        pytest.param("gateway", marks=pytest.mark.nightly),
        pytest.param("region", marks=pytest.mark.nightly),
    ],
)
async def test_no_kill_leaves_a_zombie(settings: Settings, tmp_path: Path, role: str) -> None:
    """Killed in a dispatch: leases end, and with a successor the fleet is back by itself."""
    async with control_loop(settings, demo_homes(30), tmp_path, patience=QUICK) as loop:
        asked_w = await wait_for_capability_w(loop)
        target = await loop.target(REGION, asked_w)
        await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
        loop.roles.kill(role)
        await wait_until_leases_end(loop)
        loop.roles.start(role)
        await loop.until(lambda: on_target(loop, asked_w), "the successor to go on")
        await loop.withdraw(target)
        await wait_until_leases_end(loop)
        await assert_commands_complete(loop)
    assert_no_breach(loop)


async def test_a_kafka_that_stops_leaves_no_zombie(settings: Settings, tmp_path: Path) -> None:
    """Killed, away for longer than any lease, and back: the fleet falls back, then goes on."""
    local = KafkaProcess(
        tmp_path / "kafka", free_port(), fetch_jars(Settings().state_dir), find_java(), SHORT_LIVED
    )
    bootstrap = f"localhost:{local.port}"
    process = local.spawn(outlives_us=False)
    try:
        await asyncio.to_thread(wait_until_it_works, bootstrap)
        own = settings.model_copy(update={"kafka": bootstrap})
        async with control_loop(own, demo_homes(30), tmp_path / "logs", patience=QUICK) as loop:
            asked_w = await wait_for_capability_w(loop)
            target = await loop.target(REGION, asked_w)
            await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
            process.kill()
            process.wait()
            await wait_until_leases_end(loop)
            process = local.spawn(outlives_us=False)
            await asyncio.to_thread(wait_until_it_works, bootstrap)
            loop.roles.revive()
            await loop.until(lambda: on_target(loop, asked_w), "the fleet to be back")
            await loop.withdraw(target)
            await wait_until_leases_end(loop)
        assert_no_breach(loop)
    finally:
        process.kill()
        process.wait()
