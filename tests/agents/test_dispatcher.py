"""The dispatcher decides on a request also while Kafka takes long to save an earlier decision."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

from agents.dispatcher import Dispatcher
from agents.expected import ExpectedSites
from schemas.dispatch import Hold, Request, RequestEvent
from tables.partitions import Partitions
from tests.support.waiting import until
from vpp_streams.domain.fleet.columnar import Snapshot
from vpp_streams.domain.fleet.region_state import RegionState
from vpp_streams.kafka.decode import Read
from vpp_streams.settings import Settings

NOW_MS = 1_763_855_000_000


class SlowPartitions:
    """One partition, whose snapshots are taken at once and stored when the test says so."""

    def __init__(self) -> None:
        self.stored = asyncio.Event()
        self.snapshots: list[Snapshot] = []
        self._slot = SimpleNamespace(state=RegionState(), changing=asyncio.Lock(), outputs=[])

    def slot(self, _partition: int) -> SimpleNamespace:
        return self._slot

    async def flush(self) -> None:
        self.snapshots.append(self._slot.state.snapshot())
        await self.stored.wait()


class Events:
    """An outlet that keeps the states of requests."""

    def __init__(self) -> None:
        self.decided: list[tuple[str, str]] = []

    async def send(self, _topic: object, record: object) -> asyncio.Future[None]:
        if isinstance(record, RequestEvent):
            self.decided.append((record.request_id, record.state))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class TwoRegions:
    """Regions of which no partition reports a supply."""

    def __init__(self) -> None:
        self.cycles = 0

    def of(self, _region: str, _now_ms: int) -> Mapping[int, int]:
        return {}

    def regions(self, _now_ms: int) -> set[str]:
        self.cycles += 1  # each cycle looks at them once
        return set()

    def feeders(self, _now_ms: int) -> Mapping[str, set[str]]:
        return {"north": set(), "south": set()}


def hold(request_id: str) -> Hold:
    return Hold(
        request_id=request_id, region=request_id, source="operator:test", issued_at_ms=NOW_MS
    )


async def test_a_request_does_not_wait_until_the_decision_before_is_saved() -> None:
    known = asyncio.Event()
    known.set()
    partitions, events, sites = SlowPartitions(), Events(), TwoRegions()
    context: Any = SimpleNamespace(
        settings=Settings(),
        registry_ready=known,
        now_ms=lambda: NOW_MS,
        outlet=events,
        health=MagicMock(),
        figures=MagicMock(),
    )
    dispatcher = Dispatcher(
        context,
        cast(ExpectedSites, sites),
        cast(Partitions[RegionState], partitions),
    )
    dispatcher._caught_up.set()  # noqa: SLF001  # its feed does it

    def receive(request_id: str) -> None:
        read: Read[Request] = Read(hold(request_id), 0, 0, NOW_MS, {})
        dispatcher._on_request(read)  # noqa: SLF001  # the feed itself calls it

    ruling = asyncio.create_task(dispatcher.rule_for_ever())
    saving = asyncio.create_task(dispatcher.save_for_ever())
    try:
        receive("north")
        await until(lambda: bool(partitions.snapshots))
        receive("south")
        await until(lambda: ("south", "active") in events.decided)
        assert len(partitions.snapshots) == 1, "the first one is still being stored"
        partitions.stored.set()
        await until(lambda: len(partitions.snapshots) == 2)
        seen = sites.cycles
        await until(lambda: sites.cycles >= seen + 2)
        assert len(partitions.snapshots) == 2, "a cycle without a decision saves nothing"
    finally:
        for task in (ruling, saving):
            task.cancel()
        await asyncio.gather(ruling, saving, return_exceptions=True)
    assert [name for snapshot in partitions.snapshots for name in snapshot.blocks] == [
        "request|north",
        "request|south",
    ]
