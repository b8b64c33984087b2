"""Runs the role, and builds a ledger again from the log."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from aiokafka import TopicPartition

from vpp_streams import clock
from vpp_streams.errors import LedgerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.ranges import reading
from vpp_streams.process.background import plainly, run_until_stopped
from vpp_streams.process.connection import connected, connected_role
from vpp_streams.process.duty import Duty
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import digest
from vpp_streams.settlement.database import drop_tables, open_ledger, plain_errors
from vpp_streams.settlement.offsets import Applied, applied_offsets
from vpp_streams.settlement.past_days import PastDays
from vpp_streams.settlement.role import LedgerRole
from vpp_streams.settlement.settling import Settling
from vpp_streams.settlement.zone import zone_of

AGAIN_S = 1.0
_TOPICS = (topics.SETTLEMENT_ENTRIES, topics.LEDGER_DECISIONS)


async def run_settlement(settings: Settings) -> None:
    """Book until the process receives a stop signal. Raises `VppError`."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    engine = await _opened(settings)
    await log_ends(clients, _applied(engine))
    health = HealthReporter("settlement")
    async with connected_role(clients, health) as kafka:
        duty = Duty("settlement", clients, kafka.follower, health)

        async def begin() -> None:
            await duty.begin()
            await duty.confirm()  # entries do not go through the fenced producer: see ADR 33

        async def book() -> None:
            await duty.begin()
            # A standby's would be out of date; with a large ledger it takes a while to read.
            await (await asyncio.to_thread(LedgerRole, engine, kafka, health)).run()

        past = PastDays(settings.history_dir, settings.window_retention_s * 1000)
        settling = Settling(kafka, health, zone_of(settings), past, clock.now_ms, begin=begin)
        await run_until_stopped(duty.run(), book(), settling.run())


async def _opened(settings: Settings) -> sa.Engine:
    try:
        return open_ledger(settings, create=True)
    except LedgerError:
        # Two instances that start at once both create the tables, and one of them fails.
        await asyncio.sleep(AGAIN_S)
        return open_ledger(settings, create=True)


async def log_ends(
    clients: KafkaClients, applied: dict[tuple[str, int], Applied]
) -> dict[TopicPartition, int]:
    """End offsets of both topics. Raises `LedgerError` where the log lacks what is not applied."""
    ends = {}
    async with reading(clients, *_TOPICS) as reader:
        for topic in _TOPICS:
            for partition in range(topic.partitions):
                kept, _, end = await reader.bounds(topic, 0, partition)
                name = clients.full(topic)
                at = applied.get((name, partition))
                if kept > (at.next_offset if at else 0):
                    raise LedgerError(
                        f"{name} [{partition}] begins at offset {kept}: the records before it are"
                        " needed and were removed; restore the topic from its backup"
                    )
                ends[TopicPartition(name, partition)] = end
    return ends


def _applied(engine: sa.Engine) -> dict[tuple[str, int], Applied]:
    with plain_errors(engine), engine.connect() as connection:
        return applied_offsets(connection)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The digests of a ledger before and after it was built again."""

    before: str | None
    """None where the ledger before had not booked the same records, or could not be read."""
    after: str
    records: int


async def rebuild(settings: Settings, on_progress: Callable[[int], None]) -> Rebuilt:
    """Remove the ledger and build it from the beginning of the log to its present end.

    ``on_progress`` receives the number of records that are left. Raises `VppError`; what is
    complete by then stays, and the role continues from there.
    """
    clients = KafkaClients(settings)
    ends = await log_ends(clients, {})
    before = _digest_at(settings, ends)
    drop_tables(settings)
    engine = open_ledger(settings, create=True)
    health = HealthReporter("settlement")
    async with connected(clients, health) as kafka:
        role = LedgerRole(engine, kafka, health)
        running = asyncio.create_task(plainly(role.run()))
        try:
            while left := sum(max(end - role.applied(tp), 0) for tp, end in ends.items()):
                on_progress(left)
                role.progress.clear()
                moved = asyncio.create_task(role.progress.wait())
                await asyncio.wait({running, moved}, return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
                if running.done():
                    await running  # it only ends with an error
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    await asyncio.to_thread(role.books.finish_days)
    on_progress(0)
    with plain_errors(engine), engine.connect() as connection:
        return Rebuilt(before, digest(connection), sum(ends.values()))


def _digest_at(settings: Settings, ends: dict[TopicPartition, int]) -> str | None:
    """The digest of the present ledger, if it has booked the log to these offsets."""
    try:
        engine = open_ledger(settings)
        applied = {TopicPartition(*at): a.next_offset for at, a in _applied(engine).items()}
        if any(applied.get(tp, 0) != end for tp, end in ends.items()):
            return None
        with plain_errors(engine), engine.connect() as connection:
            return digest(connection)
    except LedgerError:
        return None
