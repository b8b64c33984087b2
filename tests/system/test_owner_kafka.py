"""What owners decide, through the whole loop: devices obey while a dispatch runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.preferences import Preferences
from tests.support.closed_loop import (
    QUICK,
    REGION,
    assert_no_breach,
    demo_homes,
    on_lease,
    on_target,
    wait_for_capability_w,
    wait_until_leases_end,
)
from tests.support.control_world import Loop, control_loop
from tests.support.kafka_world import write
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


async def decide(loop: Loop, device: int, **choices: Any) -> None:
    record = Preferences(
        site_id=loop.fleet.sites_of_devices[device].site_id,
        set_at_ms=clock.now_ms(),
        by="owner:ann",
        **choices,
    )
    await write(loop.settings, topics.PREFERENCES, record)


async def test_a_running_dispatch_respects_a_raised_reserve_and_a_skip(
    settings: Settings, tmp_path: Path
) -> None:
    async with control_loop(settings, demo_homes(12), tmp_path, patience=QUICK) as loop:
        asked_w = await wait_for_capability_w(loop, 0.3)
        target = await loop.target(REGION, asked_w)
        await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
        flows, giving = loop.fleet.world.flows, on_lease(loop)
        reserved, skipping, other = np.flatnonzero(giving & (flows.battery_w > 100)).tolist()[:3]
        await decide(loop, reserved, backup_reserve=1.0)
        await decide(loop, skipping, skips=(target.request_id,))
        await loop.until(lambda: bool(flows_of(loop)[reserved] <= 1.0), "the reserve to be kept")
        await loop.until(lambda: not on_lease(loop)[skipping], "the home that skips to be released")
        await loop.until(lambda: on_target(loop, asked_w), "the others to make up for it")
        assert on_lease(loop)[other]
        await decide(loop, skipping)
        await loop.until(lambda: bool(on_lease(loop)[skipping]), "the home to take part again")
        await loop.withdraw(target)
        await wait_until_leases_end(loop)
    assert_no_breach(loop)


def flows_of(loop: Loop) -> np.ndarray:
    """Battery power of each device now, W, + = discharge."""
    return loop.fleet.world.flows.battery_w
