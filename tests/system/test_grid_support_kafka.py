"""Grid support through the whole loop: droop and its proof, storms, peaks, black-outs."""

from pathlib import Path

import numpy as np
import pytest

from schemas.dispatch import DispatchStatus, Notice
from schemas.grid import Alert, Droop
from tests.support.closed_loop import (
    QUICK,
    REGION,
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
from vpp_streams import clock
from vpp_streams.replay.frequency_proof import prove
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


async def newest_status(loop: Loop) -> DispatchStatus:
    return [t for t in await loop.told() if isinstance(t, DispatchStatus)][-1]


async def test_armed_devices_answer_the_frequency_and_it_can_be_proven(
    settings: Settings, tmp_path: Path
) -> None:
    droop = Droop(nominal_hz=60.0)
    async with control_loop(settings, demo_homes(20), tmp_path, patience=QUICK) as loop:
        asked_w = await wait_for_capability_w(loop, 0.3)
        target = await loop.target(REGION, asked_w, droop=droop)
        await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
        world = loop.fleet.world
        before_w = loop.battery_w(REGION)
        world.set_frequency(REGION, 59.5, clock.now_ms() + 6_000)
        # The next step of the physics: devices measure for themselves.
        during = await exported_at_steps_w(loop, 3)
        rated_w = float(world.battery_spec.discharge_w[on_lease(loop)].sum())
        assert during[-1] - before_w > 0.05 * rated_w
        await exported_at_steps_w(loop, 40)

        async def proven() -> bool:
            found = await prove(loop.settings, REGION, 5)
            return found is not None and len(found) >= 10

        await until(proven, "telemetry that proves the response")
        found = await prove(loop.settings, REGION, 5)
        assert found is not None
        # Homes whose connection has no room to export more give less than droop calls for.
        roomy = [
            response.share
            for device_id, response in found.items()
            if loop.site_of(device_id).export_limit_w is None
        ]
        assert np.median(roomy) == pytest.approx(1.0, abs=0.15)
        await loop.withdraw(target)
        await wait_until_leases_end(loop)
        await assert_commands_complete(loop)
    assert_no_breach(loop)


async def test_a_storm_fills_batteries_and_takes_them_from_the_pool(
    settings: Settings, tmp_path: Path
) -> None:
    async with control_loop(settings, demo_homes(20), tmp_path, patience=QUICK) as loop:
        asked_w = await wait_for_capability_w(loop)
        target = await loop.target(REGION, asked_w)
        await loop.until(lambda: on_target(loop, asked_w), "the target to be met")
        now_ms = clock.now_ms()
        await loop.alert(
            Alert(
                alert_id="gale",
                kind="storm",
                regions=(REGION,),
                prepare_from_ms=now_ms,
                starts_at_ms=now_ms + 3_600_000,
                ends_at_ms=now_ms + 7_200_000,
            )
        )
        battery = loop.fleet.world.battery_spec.energy_wh > 0
        await loop.until(
            lambda: bool((loop.fleet.world.flows.battery_w[battery] < 0).all()),
            "every battery to charge",
        )

        async def announced() -> bool:
            notices = [t for t in await loop.told() if isinstance(t, Notice) and t.missing_w > 0]
            return any(c.cause == "storm" for n in notices for c in n.causes)

        await until(announced, "a notice that names the storm")
        status = await newest_status(loop)
        assert status.states["storm"] == 20
        assert status.capability[0].up_w == 0.0
        await loop.withdraw(target)
    assert_no_breach(loop)


async def test_a_peak_is_shaved_and_an_islanded_home_leaves_the_pool(
    settings: Settings, tmp_path: Path
) -> None:
    async with control_loop(settings, demo_homes(20), tmp_path, patience=QUICK) as loop:
        most_w = await wait_for_capability_w(loop, 1.0)
        charging = await loop.target(REGION, -0.3 * most_w)
        await loop.until(lambda: on_target(loop, -0.3 * most_w), "the fleet to charge")
        limit_w = 0.1 * most_w
        limit = await loop.limit(REGION, limit_w)
        world = loop.fleet.world
        await loop.until(
            lambda: float(world.flows.grid_w.sum()) <= limit_w * 1.02, "the import to be held"
        )

        async def still_applies() -> bool:
            return (await newest_status(loop)).request_id == charging.request_id

        await until(still_applies, "the target to apply within the limit")
        await loop.withdraw(limit)
        out = np.flatnonzero(on_lease(loop))[:5]
        world.black_out(out, 600.0)
        await loop.until(
            lambda: not on_lease(loop)[out].any(), "islanded homes to end their leases"
        )
        served = world.flows.load_w[out]
        assert (world.flows.grid_w[out] == 0).all()
        assert (served > 0).all(), "they keep themselves alive"

        async def left() -> bool:
            return (await newest_status(loop)).states.get("islanded", 0) == len(out)

        await until(left, "islanded homes to leave the pool")
        await loop.withdraw(charging)
        await wait_until_leases_end(loop)
        await assert_commands_complete(loop)
    assert_no_breach(loop)
