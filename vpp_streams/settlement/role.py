"""Role ``settlement``: follows entries and decisions, and books them into the ledger.

One is enough. A second one at a time does no harm: whichever comes late fails, and nothing is
booked twice. It is no Faust worker: where it continues is in the database, not in a group.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from aiokafka import ConsumerRecord, TopicPartition

from schemas.bounds import PARTITIONS
from tables.log_reader import LogReader, Position, Records, mark_of
from vpp_streams.domain.ledger.blocks import Block, block_of
from vpp_streams.errors import LedgerError, RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read, Refusal, receive, refusal_of
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.connection import Connection
from vpp_streams.process.health import HealthReporter
from vpp_streams.settlement.booking import BlockRecord, Books, EntriesRefused
from vpp_streams.settlement.checks import undivided_count
from vpp_streams.settlement.database import plain_errors
from vpp_streams.settlement.decisions import DecisionRecord, apply_decision, may_apply
from vpp_streams.settlement.offsets import Applied, applied_offsets
from vpp_streams.settlement.payout_entries import PayoutRecord, payout_records

log = structlog.get_logger()

LETTERS_S = 30.0
"""How long refused records may take to be written; nothing is booked after them before that."""
CHECK_EVERY_S = 60.0
"""Interval of the check whether every interval is divided."""
WAITING_S = 60.0
"""A decision may wait this long for entries that the log does not have."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Consecutive records of one partition of entries, decoded."""

    partition: int
    raws: Sequence[ConsumerRecord]
    records: list[BlockRecord]
    refusals: list[tuple[ConsumerRecord, Refusal]]


class LedgerRole:
    """Books from the log into one database, from where that database stands."""

    def __init__(self, engine: sa.Engine, kafka: Connection, health: HealthReporter) -> None:
        self._engine = engine
        self._kafka = kafka
        self._counters = health.counters
        self._entries = kafka.clients.full(topics.SETTLEMENT_ENTRIES)
        self._decisions = kafka.clients.full(topics.LEDGER_DECISIONS)
        self.books = Books(engine, self._entries)
        self._reader = LogReader(kafka.clients, self._deliver)
        self._reader.on_other_log = self._other_log
        self._applied: dict[TopicPartition, Applied] = {}
        self._waiting: list[ConsumerRecord] = []
        """Decisions that are not applied yet, in order."""
        self._waits_since_s: float | None = None
        self._ready: asyncio.Queue[Decoded | None] = asyncio.Queue(2)
        self._unfinished = True
        self._undivided = 0
        self._check_at_s = 0.0
        self._published: set[str] = set()
        self.progress = asyncio.Event()
        """Set whenever something was applied."""
        health.gauges |= {
            "lag": lambda: self.lag,
            "entries": lambda: self.books.entries,
            "undivided_intervals": lambda: self._undivided,
            "decisions_waiting": lambda: len(self._waiting),
        }

    @property
    def lag(self) -> int:
        """Number of records in the log that are not applied yet."""
        return sum(self._reader.lag(tp, self.applied(tp)) for tp in self._sources())

    def applied(self, tp: TopicPartition) -> int:
        """Offset of the first record of a partition that is not applied."""
        found = self._applied.get(tp)
        return found.next_offset if found else 0

    def _sources(self) -> list[TopicPartition]:
        of_entries = [TopicPartition(self._entries, p) for p in range(PARTITIONS)]
        return [*of_entries, TopicPartition(self._decisions, 0)]

    async def run(self) -> None:
        """Book for ever; cancel to stop. Raises `LedgerError` and `StalledError`."""
        with plain_errors(self._engine), self._engine.connect() as connection:
            found = applied_offsets(connection)
        self._applied = {TopicPartition(*source): at for source, at in found.items()}
        self._reader.read(
            {
                tp: Position(at.next_offset, at.mark) if at else Position()
                for tp in self._sources()
                for at in [self._applied.get(tp)]
            }
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reader.run())
            group.create_task(self._book_for_ever())

    def _other_log(self, tp: TopicPartition) -> None:
        log.error("the ledger's topic was created again", topic=tp.topic, partition=tp.partition)

    async def _deliver(self, found: Records) -> None:
        """Decode records, and hand them to `_book_for_ever`, which is busy with earlier ones."""
        if found.replaced or self._reader.missing:
            raise LedgerError(
                f"{found.tp.topic} [{found.tp.partition}] is not the log that this ledger was built"
                " from (it was created again, or its beginning was removed); restore the topic, or"
                " build the ledger from the new one: `vpp ledger rebuild`"
            )
        if found.tp.topic == self._decisions:
            self._waiting.extend(found.records)
            await self._ready.put(None)
            return
        await self._ready.put(await asyncio.to_thread(decoded, found.tp.partition, found.records))

    async def _book_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(1.0):
                    batch = await self._ready.get()
            except TimeoutError:
                await self._when_idle()
                continue
            if batch is not None:
                await self._book(batch)
                self._unfinished = True
            await self._decide()
            self.progress.set()

    async def _when_idle(self) -> None:
        """What is left until no record waits: indexes, the entries of payouts, the check."""
        await self._decide()
        if self.lag - len(self._waiting) > 0 or not self._has_seen_all():
            return
        if self._unfinished:
            await asyncio.to_thread(self.books.finish_days)
            self._unfinished = await asyncio.to_thread(self.books.sort_a_day) is not None
        await self._publish_payouts()
        if time.monotonic() >= self._check_at_s:
            self._undivided = await asyncio.to_thread(self._count_undivided)
            self._check_at_s = time.monotonic() + CHECK_EVERY_S
        self.progress.set()

    def _has_seen_all(self) -> bool:
        return all(self._reader.seen(tp) is not None for tp in self._sources())

    def _count_undivided(self) -> int:
        with plain_errors(self._engine), self._engine.connect() as connection:
            return undivided_count(connection)

    async def _book(self, batch: Decoded) -> None:
        tp = TopicPartition(self._entries, batch.partition)
        await self._refuse(topics.SETTLEMENT_ENTRIES, batch.refusals)
        records = batch.records
        after = self._applied.get(tp)
        next_offset = after.next_offset if after else None
        while True:
            try:
                await asyncio.to_thread(self.books.book, batch.partition, next_offset, records)
                break
            except EntriesRefused as refused:
                by_offset = {raw.offset: raw for raw in batch.raws}
                reasons = refused.reasons.items()
                letters = [(by_offset[at], Refusal("refused", why)) for at, why in reasons]
                await self._refuse(topics.SETTLEMENT_ENTRIES, letters)
                records = [_without_block(r) if r.offset in refused.reasons else r for r in records]
        last = records[-1]
        self._applied[tp] = Applied(last.offset + 1, last.mark)
        self._counters["records_booked"] += sum(r.block is not None for r in records)
        self._counters["records_repeated"] = self.books.repeated

    async def _decide(self) -> None:
        """Apply the decisions whose entries are booked, in order."""
        tp = TopicPartition(self._decisions, 0)
        while self._waiting:
            raw = self._waiting[0]
            received = receive(topics.LEDGER_DECISIONS, raw)
            decision = received.record if isinstance(received, Read) else None
            refusal = received if isinstance(received, Refusal) else None
            if decision is not None and not await asyncio.to_thread(
                may_apply, self._engine, self._entries, decision
            ):
                if not self._waits_in_vain():
                    return
                decision = None
                refusal = Refusal("refused", "it includes entries that the log does not have")
            await self._apply(tp, raw, DecisionRecord(raw.offset, mark_of(raw), decision), refusal)
            self._waiting.pop(0)
            self._waits_since_s = None

    def _waits_in_vain(self) -> bool:
        """Whether the first decision has waited for long, with every entry of the log booked."""
        now_s = time.monotonic()
        self._waits_since_s = self._waits_since_s or now_s
        lag = sum(self._reader.lag(tp, self.applied(tp)) for tp in self._sources()[:-1])
        return now_s - self._waits_since_s > WAITING_S and not lag

    async def _apply(
        self, tp: TopicPartition, raw: ConsumerRecord, record: DecisionRecord, fault: Refusal | None
    ) -> None:
        source, at = (tp.topic, tp.partition), self._applied.get(tp)
        after = at.next_offset if at else None
        if fault is None:
            try:
                await asyncio.to_thread(apply_decision, self._engine, source, after, record)
                self._counters["decisions"] += 1
            except RefusedError as error:
                fault = refusal_of(error)
        if fault is not None:
            await self._refuse(topics.LEDGER_DECISIONS, [(raw, fault)])
            passed = DecisionRecord(raw.offset, record.mark, None)
            await asyncio.to_thread(apply_decision, self._engine, source, after, passed)
        self._applied[tp] = Applied(raw.offset + 1, record.mark)

    async def _refuse(
        self, topic: Topic[Any], refusals: Sequence[tuple[ConsumerRecord, Refusal]]
    ) -> None:
        """Write dead letters, and return once they are safe: what follows passes the records."""
        for raw, refusal in refusals:
            self._kafka.letters.refuse(topic, raw, refusal)
        if refusals:
            try:
                async with asyncio.timeout(LETTERS_S):
                    await self._kafka.letters.settled()
            except TimeoutError:
                raise LedgerError(
                    f"{len(refusals)} refused records of {topic.name} could not be written to"
                    f" {topics.RECORDS_REJECTED.name}; they are read again at the next start"
                ) from None

    async def _publish_payouts(self) -> None:
        """Send the entries of approved payouts that are not booked; the log may have some of them.

        They are the same bytes each time, so that a part that was sent before is passed.
        """
        records = await asyncio.to_thread(self._payouts_to_book)
        for record in records:
            batch, partition = record.batch, record.partition
            await (
                await self._kafka.outlet.send(topics.SETTLEMENT_ENTRIES, batch, partition=partition)
            )
            self._published.add(record.payout_id)
        if records:
            log.info("payouts were sent to be booked", records=len(records))

    def _payouts_to_book(self) -> list[PayoutRecord]:
        with plain_errors(self._engine), self._engine.connect() as connection:
            return payout_records(connection, self._published)


def decoded(partition: int, raws: Sequence[ConsumerRecord]) -> Decoded:
    """Decode consecutive records of a partition of entries. Never raises."""
    records, refusals = [], []
    for raw in raws:
        block: Block | None = None
        received = receive(topics.SETTLEMENT_ENTRIES, raw)
        if isinstance(received, Read):
            try:
                block = block_of(received.record, partition)
            except RefusedError as error:
                received = refusal_of(error)
        if isinstance(received, Refusal):
            refusals.append((raw, received))
        sha256 = hashlib.sha256(raw.value or b"").hexdigest()
        records.append(BlockRecord(raw.offset, mark_of(raw), sha256, block))
    return Decoded(partition, raws, records, refusals)


def _without_block(record: BlockRecord) -> BlockRecord:
    return BlockRecord(record.offset, record.mark, record.sha256, None)
