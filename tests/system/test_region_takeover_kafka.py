"""The instance of the region role that works is killed, or frozen, while a region delivers."""

import asyncio
import itertools
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from schemas.dispatch import Dispatch
from tests.support.closed_loop import (
    QUICK,
    REGION,
    demo_homes,
    on_lease,
    wait_for_capability_w,
)
from tests.support.control_world import Loop, control_loop
from tests.support.kafka_world import read_all, until
from tests.support.standbys import LOST_DUTY, standbys, until_ended
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

WITHIN = 0.02


class Watch:
    """The fleet, looked at whenever something happens."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._held = on_lease(loop)
        self.lapsed = 0
        """Leases that ended without another one."""
        self.power_w: list[float] = []

    def look(self) -> bool:
        """Note what is the case now; False, so that it is called again."""
        holds = on_lease(self._loop)
        self.lapsed += int((self._held & ~holds).sum())
        self._held = holds
        self.power_w.append(self._loop.battery_w(REGION))
        return False


@asynccontextmanager
async def watched(loop: Loop) -> AsyncIterator[Watch]:
    watch = Watch(loop)
    looking = asyncio.create_task(loop.fleet.until(watch.look))
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def orders(loop: Loop) -> dict[int, list[str]]:
    """The requests of the orders to each partition, in the order of its log."""
    found: dict[int, list[str]] = defaultdict(list)
    for record in await read_all(loop.settings, topics.DISPATCH.full(loop.settings.namespace)):
        order = msgspec.json.decode(record.value, type=Dispatch)
        if order.region == REGION and order.shares:
            found[record.partition].append(order.request_id)
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_a_region_is_taken_over_while_it_delivers(
    how: signal.Signals, settings: Settings, tmp_path: Path
) -> None:
    others = ("ingest", "fleet", "gateway")
    async with (
        control_loop(
            settings, demo_homes(12), tmp_path, patience=QUICK, roles=others, lease_s=30.0
        ) as loop,
        standbys("region", loop.settings, tmp_path) as regions,
    ):
        first = regions.start()
        await regions.until_on_duty(first)
        second = regions.start()
        await regions.until_warm(second)
        first_w = await wait_for_capability_w(loop, 0.4)
        second_w = first_w / 2
        before = await loop.target(REGION, first_w)
        await loop.until_exports(REGION, first_w)

        async with watched(loop) as watch:
            first.send_signal(how)
            await regions.until_on_duty(second)
        assert watch.lapsed == 0
        assert watch.power_w == pytest.approx([first_w] * len(watch.power_w), rel=WITHIN)

        async with watched(loop) as watch:
            after = await loop.target(REGION, second_w)
            await loop.until_exports(REGION, second_w)
            if how is signal.SIGSTOP:
                first.send_signal(signal.SIGCONT)
                assert await until_ended(first) == LOST_DUTY
            made = {p: len(found) for p, found in (await orders(loop)).items()}
            await loop.until_exports(REGION, second_w)

            async def goes_on() -> bool:
                newest = await orders(loop)
                return all(len(newest[p]) >= count + 3 for p, count in made.items())

            await until(goes_on, "orders of the successor")
        assert watch.lapsed == 0
        for found in (await orders(loop)).values():
            changes = [name for name, _ in itertools.groupby(found)]
            assert changes == [before.request_id, after.request_id], (
                "no order of an instance of before"
            )
        assert loop.battery_w(REGION) == pytest.approx(second_w, rel=WITHIN)
        terms = {report.term: report.process_id for report in regions.reports}
        assert [terms[n].rpartition("-")[2] for n in sorted(terms)] == [
            str(first.pid),
            str(second.pid),
        ]
