"""A heartbeat says no more than what was applied, as of when Kafka said that it is all."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from aiokafka import ConsumerRecord, TopicPartition

from agents.faust_seam import Membership
from agents.in_flight import committed_as, position_of
from agents.ingest import IngestWorker
from schemas.encoding import LIVE
from schemas.raw_frames import (
    ARROW,
    HEADER_CONTENT_TYPE,
    RAW_COLUMNS_V1,
    encode_raw,
)
from schemas.telemetry import Rejected
from tables.group import Share
from tables.log_reader import Position, Records, mark_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings

NOW_MS = 1_800_000_000_000


class Reader:
    """Knows each log's end, and when Kafka said so."""

    def __init__(self) -> None:
        self.ends: dict[str, tuple[int, int] | None] = {}
        self.told = 0

    def seen(self, tp: TopicPartition) -> tuple[int, int] | None:
        return self.ends[tp.topic]

    def lag(self, tp: TopicPartition, applied: int) -> int:
        seen = self.ends[tp.topic]
        return seen[0] - applied if seen else 0

    def read(self, _positions: Any) -> None:
        self.told += 1


@pytest.fixture
def world() -> SimpleNamespace:
    clients = KafkaClients(Settings())
    context = SimpleNamespace(
        clients=clients,
        now_ms=lambda: NOW_MS,
        registry=Registry(),
        outlet=None,
        group=lambda role: role,
        health=HealthReporter("ingest"),
    )
    worker = IngestWorker(context, SimpleNamespace())  # type: ignore[arg-type]  # stand-ins
    reader = Reader()
    names = [clients.full(topic) for topic in topics.LIVE_RAW]
    worker._readers = dict.fromkeys([*names, clients.full(topics.RAW_BACKFILL)], reader)  # type: ignore[arg-type]  # noqa: SLF001  # no thread runs here
    worker._read({TopicPartition(name, 2): Position(10) for name in names})  # noqa: SLF001  # no thread runs here
    reader.ends = dict.fromkeys(names, (10, NOW_MS - 40))
    return SimpleNamespace(
        worker=worker, reader=reader, names=names, health=context.health, context=context
    )


def test_all_is_applied_as_of_the_oldest_answer(world: SimpleNamespace) -> None:
    world.reader.ends[world.names[1]] = (10, NOW_MS - 700)
    assert world.worker._read_up_to_ms(2) == NOW_MS - 700  # noqa: SLF001  # no thread runs here


def test_what_waits_to_be_applied_holds_the_heartbeat_back(world: SimpleNamespace) -> None:
    """K15: records that were read and not applied counted as done, and windows closed early."""
    world.reader.ends[world.names[0]] = (11, NOW_MS)
    assert world.worker._read_up_to_ms(2) is None  # noqa: SLF001  # no thread runs here


async def test_lag_counts_what_was_not_applied_and_not_what_was_not_read(
    world: SimpleNamespace,
) -> None:
    """K15: records that a queue held were read, so lag was 0 while they waited."""
    lag = world.health.gauges["lag"]
    assert lag() == 0
    tp = TopicPartition(world.names[0], 2)
    world.reader.ends[tp.topic] = (13, NOW_MS)  # read, and in the queue of the lane
    assert lag() == 3
    record = ConsumerRecord(tp.topic, 2, 10, NOW_MS, 0, None, b"", 0, 0, 0, ())
    await world.worker.apply(Records(tp, 10, [record]), LIVE)
    assert lag() == 2


async def test_a_header_states_that_a_frame_is_columns(world: SimpleNamespace) -> None:
    row = dict.fromkeys(RAW_COLUMNS_V1.names, 1) | {"device_id": "pw-1"}
    value = encode_raw(pa.RecordBatch.from_pylist([row, row | {"seq": 2}], schema=RAW_COLUMNS_V1))
    reasons = []

    async def send(_topic: object, letter: Rejected, **_options: object) -> asyncio.Future[None]:
        reasons.append(letter.reason)
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent

    world.context.outlet = SimpleNamespace(send=send)
    tp = TopicPartition(world.names[0], 2)
    for offset, headers in ((10, ((HEADER_CONTENT_TYPE, ARROW),)), (11, ())):
        record = ConsumerRecord(tp.topic, 2, offset, NOW_MS, 0, None, value, 0, 0, 0, headers)
        await world.worker.apply(Records(tp, offset, [record]), LIVE)
    assert reasons[:2] == ["unknown_device"] * 2
    assert {"bad_columns", "unknown_device"}.isdisjoint(reasons[2:])


def test_a_log_whose_end_is_not_known_holds_it_back(world: SimpleNamespace) -> None:
    world.reader.ends[world.names[2]] = None
    assert world.worker._read_up_to_ms(2) is None  # noqa: SLF001  # no thread runs here
    assert world.worker._read_up_to_ms(3) is None, "not ours"  # noqa: SLF001  # no thread runs here


def test_what_is_committed_says_how_to_know_the_log_again() -> None:
    record = ConsumerRecord("raw.solar", 1, 41, NOW_MS, 0, None, b"lines", 0, 0, 5, ())
    assert position_of(committed_as(record)) == Position(42, mark_of(record))


class Waiting(Membership):
    """A membership whose share stays the same, however often one waits for another."""

    def __init__(self, share: Share, times: int) -> None:
        self._share, self._left = share, times
        self.asked_in_vain = asyncio.Event()

    async def changes(self, known: Share | None, patience_s: float) -> Share | None:
        if self._left == 0:
            self.asked_in_vain.set()
            await asyncio.Event().wait()
        self._left -= 1
        return self._share


async def test_a_share_that_stays_the_same_is_read_on(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every three minutes all was read again from what the group had committed."""

    async def committed(_share: Share) -> dict[TopicPartition, Position]:
        return {TopicPartition(name, 2): Position(10) for name in world.names}

    monkeypatch.setattr(world.worker, "_committed", committed)
    told = []
    for times in (1, 3):
        membership = Waiting(Share(1, frozenset({2})), times)
        monkeypatch.setattr(world.worker, "_membership", membership)
        before = world.reader.told
        following = asyncio.create_task(world.worker._follow_group())  # noqa: SLF001  # no thread runs here
        await membership.asked_in_vain.wait()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        told.append(world.reader.told - before)
    assert told[0] == told[1]
