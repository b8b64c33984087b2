"""Role ``historian``: windows, market and control records into Parquet by local market day.

Several processes share the partitions by a consumer group. How far a partition was read is saved in
the history's own directory, after the files up to there are durable, so a process that is killed at
any moment reads some records again and loses none; readers count each id once.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError

from vpp_streams import clock
from vpp_streams.domain.history.days import parse_zones
from vpp_streams.domain.history.kinds import KINDS, Kind, parse_keep_days
from vpp_streams.domain.history.layout import Flushed, Progress
from vpp_streams.errors import SettingsError, VppError
from vpp_streams.history.buffer import Buffer, Key
from vpp_streams.history.directory import HistoryDirectory, begin, not_written
from vpp_streams.history.keeper import Keeper
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, consuming
from vpp_streams.kafka.follower import MAX_RECORDS, POLL_MS, Feed
from vpp_streams.kafka.topic import Topic
from vpp_streams.kafka.topic_ids import LOOK_S, KnownTopics, topic_ids
from vpp_streams.process.background import run_until_stopped
from vpp_streams.process.connection import Connection, connected_role
from vpp_streams.process.health import Figure, HealthReporter
from vpp_streams.settings import Settings

log = structlog.get_logger()

FULL_ROWS = 200_000
"""So many rows in memory are written without waiting."""
_NO_ID = "0" * 8


class HistoryError(VppError):
    """History cannot be written."""

    exit_code = 3


def sources() -> list[Topic[Any]]:
    """The topics that history is made of."""
    by_name = {topic.name: topic for topic in topics.ALL}
    return [by_name[name] for name in dict.fromkeys(kind.topic for kind in KINDS)]


class Historian(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Reads the partitions that it is given, and writes their rows."""

    def __init__(
        self,
        kafka: Connection,
        consumer: AIOKafkaConsumer,
        directory: HistoryDirectory,
        buffer: Buffer,
        health: HealthReporter,
        *,
        flush_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._follower = kafka.follower
        self._consumer = consumer
        self._directory = directory
        self._buffer = buffer
        self._counters = health.counters
        self._flush_s = flush_s
        self._now_ms = now_ms
        self._feeds = {kafka.clients.full(t): Feed(t, self._taking(t)) for t in sources()}
        self._ids: dict[str, str] = {}
        self._flushed_to: dict[TopicPartition, int] = {}
        """Of each partition that is ours: offset up to which rows are in files."""
        self._writing = asyncio.Lock()
        self._failed: Exception | None = None
        """Why this process must end; raised by `run`."""
        self._ended = False
        """Whether a flush was cut, so that none may say that more was written."""
        self._newest_file_ms = float("nan")
        self._turned_s = time.monotonic()
        health.probes.ages_s["the reading of history"] = lambda: time.monotonic() - self._turned_s
        health.figures.append(self._figures)
        health.gauges |= {
            "lag": self._lag,
            "rows_waiting": lambda: buffer.rows,
            "rows_expired": lambda: buffer.expired,
            "newest_file_ms": lambda: self._newest_file_ms,
        }

    def holds(self, kind: Kind) -> bool:
        """Whether the first partition of a kind's topic is ours: then we keep its files, too."""
        ours = (self._feeds[tp.topic].topic.name for tp in self._flushed_to if tp.partition == 0)
        return kind.topic in ours

    async def run(self) -> None:
        """Read and write for ever. Raises `HistoryError` and `BrokerError`."""
        known, names = KnownTopics(), list(self._feeds)
        await known.check(self._consumer, names)
        self._consumer.subscribe(names, listener=self)
        check_at_s = flush_at_s = time.monotonic()
        while True:
            found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
            for tp, records in found.items():
                for record in records:
                    # It does not suspend: nothing is taken while a file is written.
                    await self._follower.take(self._feeds[tp.topic], record)
            now_s = self._turned_s = time.monotonic()
            if now_s >= flush_at_s or self._buffer.rows >= FULL_ROWS:
                await self.flush()
                flush_at_s = time.monotonic() + self._flush_s
            self.raise_failed()
            await asyncio.sleep(0)
            if now_s >= check_at_s:
                await known.check(self._consumer, names)
                check_at_s = now_s + LOOK_S

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin each partition where history ends."""
        try:
            await self._begin(list(assigned))
        except Exception as error:  # the client would only log it, and read from the beginning
            self._failed = error

    async def _begin(self, partitions: list[TopicPartition]) -> None:
        first = await self._consumer.beginning_offsets(partitions) if partitions else {}
        end = await self._consumer.end_offsets(partitions) if partitions else {}
        ids = await topic_ids(self._consumer, list(self._feeds))
        self._ids = {name: found.hex for name, found in ids.items()}
        for tp in partitions:
            at = self._begins_at(tp, first[tp], end[tp])
            self._consumer.seek(tp, at)
            self._flushed_to[tp] = at

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Write what was read of partitions that another process continues."""
        partitions = list(revoked)
        await self.flush()
        for tp in partitions:
            self._flushed_to.pop(tp, None)

    async def flush(self) -> None:
        """Write all rows that were taken, then how far each partition was read.

        An `OSError` is kept for `run`, which raises it; nothing was saved as read then.
        """
        async with self._writing:
            if self._ended:
                return  # what was taken before is not in files: it must be read again
            progress = await self._progress()
            rows = list(self._buffer.drain())
            try:
                await asyncio.to_thread(self._write, rows, progress)
            except OSError as error:
                self._failed, self._ended = error, True
                return
            except BaseException:
                self._ended = True
                raise
            for tp, reached in progress.items():
                self._flushed_to[tp] = reached.next_offset

    def _taking(self, topic: Topic[Any]) -> Callable[[Any], None]:
        return lambda read: self._buffer.take(topic.name, read, self._now_ms())

    def _begins_at(self, tp: TopicPartition, first: int, end: int) -> int:
        """The offset to continue from; the first one if there is none, or of another topic."""
        name = self._feeds[tp.topic].topic.name
        saved = self._directory.progress(name, tp.partition)
        if saved is None or saved.topic_id != self._ids.get(tp.topic, _NO_ID):
            return first
        if saved.next_offset < first:
            self._counters["records_lost"] += first - saved.next_offset
            log.error(
                "Kafka no longer has records that history had not read",
                topic=name,
                partition=tp.partition,
                records=first - saved.next_offset,
            )
        return max(first, min(saved.next_offset, end))

    async def _progress(self) -> dict[TopicPartition, Progress]:
        """How far each of our partitions has been taken."""
        found = {}
        for tp in self._flushed_to:
            try:
                at = await self._consumer.position(tp)
                end, polled_ms = self._consumer.highwater(tp), self._polled_ms(tp)
            except IllegalStateError:
                continue  # it is being given to another process
            caught_up_ms = polled_ms if end is not None and at >= end else 0
            found[tp] = Progress(self._ids.get(tp.topic, _NO_ID), at, caught_up_ms)
        return found

    def _polled_ms(self, tp: TopicPartition) -> int:
        return min(self._consumer.last_poll_timestamp(tp) or 0, self._now_ms())

    def _write(self, rows: list[Any], progress: dict[TopicPartition, Progress]) -> None:
        reached: dict[Key, tuple[TopicPartition, Progress]] = {
            (self._feeds[tp.topic].topic.name, tp.partition): (tp, one)
            for tp, one in progress.items()
        }
        for key, kind, day, part in rows:
            if key not in reached:
                continue  # another process has the partition, and reads them again
            tp, one = reached[key]
            name = Flushed(key[1], part.offsets[0], one.next_offset - 1, one.topic_id[:8]).name
            self._directory.write(kind, day, name, part.table(kind, key[1]))
            self._counters["rows_written"] += len(part.offsets)
            self._counters["files_written"] += 1
            self._newest_file_ms = self._now_ms()
        for (name, partition), (tp, one) in reached.items():
            self._save(name, partition, one, before=self._flushed_to.get(tp, 0))

    def _save(self, name: str, partition: int, one: Progress, before: int) -> None:
        """Save how far a partition was read; a time of catching up that is known stays."""
        if not one.caught_up_ms:
            if one.next_offset == before:
                return
            saved = self._directory.progress(name, partition)
            known = saved.caught_up_ms if saved and saved.topic_id == one.topic_id else 0
            one = Progress(one.topic_id, one.next_offset, known)
        self._directory.save_progress(name, partition, one)

    def raise_failed(self) -> None:
        """Raise why this process must end, if it must."""
        if isinstance(self._failed, OSError):
            raise HistoryError(not_written(self._directory.root, self._failed)) from None
        if self._failed is not None:
            raise self._failed

    def _lag(self) -> float:
        """Records that the partitions have beyond what files have."""
        return float(sum(self._lags().values()))

    def _lags(self) -> dict[TopicPartition, int]:
        """The same by partition, where it is known."""
        found = ((tp, self._consumer.highwater(tp), at) for tp, at in self._flushed_to.items())
        return {tp: max(end - at, 0) for tp, end, at in found if end is not None}

    def _figures(self) -> Iterator[Figure]:
        yield "vpp_partitions_owned", (), len(self._flushed_to)
        for tp, lag in self._lags().items():
            topic = self._feeds[tp.topic].topic.name
            yield "vpp_consumer_lag_records", (topic, str(tp.partition)), lag


async def run_historian(settings: Settings) -> None:
    """Run a historian until it is requested to stop. Raises `VppError`."""
    try:
        zones = parse_zones(settings.history_zone, settings.history_zones)
        keep_days = parse_keep_days(settings.history_keep_days)
    except ValueError as error:
        raise SettingsError(f"settings: VPP_HISTORY_*: {error}") from None
    directory = begin(settings.history_dir, zones)
    directory.delete_drafts(clock.now_ms() - 3_600_000)
    clients, health = KafkaClients(settings), HealthReporter("historian")
    keeper = Keeper(
        directory,
        zones,
        keep_days,
        lateness_ms=settings.window_retention_s * 1000,
        counters=health.counters,
        now_ms=clock.now_ms,
    )
    async with (
        connected_role(clients, health) as kafka,
        consuming(clients, **_group(settings)) as group,
    ):
        historian = Historian(
            kafka,
            group,
            directory,
            Buffer(zones, keep_days),
            health,
            flush_s=settings.history_flush_s,
            now_ms=clock.now_ms,
        )
        log.info("history", directory=str(directory.root), zone=zones.default.key)
        try:
            await run_until_stopped(historian.run(), keeper.run(historian.holds))
        except OSError as error:
            raise HistoryError(not_written(directory.root, error)) from None
        await historian.flush()
        historian.raise_failed()


def _group(settings: Settings) -> dict[str, Any]:
    """Options of the consumer: the partitions come from a group, and their offsets from us."""
    name = f"{settings.namespace}.historian" if settings.namespace else "historian"
    return {
        "group_id": name,
        "session_timeout_ms": round(settings.session_timeout_s * 1000),
        "heartbeat_interval_ms": round(settings.session_timeout_s * 250),
    }
