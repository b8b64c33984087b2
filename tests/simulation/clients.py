"""Clients of the simulated broker, in the shape of aiokafka's as far as the project uses it.

They are made without naming a broker to reach: `tests.simulation.world` says which world they
belong to. What they raise, and when they go on trying, follows aiokafka 0.14
(`tests/simulation/test_simulated_kafka.py` runs the same steps against a real broker).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndTimestamp

from tests.simulation.kafka import EARLIEST, LATEST, Offer, SimKafka
from tests.simulation.log import Stored
from vpp_streams import clock

T = TypeVar("T")

BACKOFF_S = 0.1
FETCH_MAX = 500


class Bell:
    """Wakes one who waits, with few steps of the loop."""

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake it, or the next one who waits."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Forget what was rung."""
        self._rung = False

    async def wait(self, timeout_s: float) -> None:
        """Until it rings, or for this long."""
        if self._rung:
            return
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self._late, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    @staticmethod
    def _late(waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_result(None)


class Client:
    """What consumers, producers and admins have in common."""

    kafka: SimKafka
    """The world's; set on a subclass."""

    def __init__(self, request_timeout_ms: int = 40_000) -> None:
        self.request_timeout_s = request_timeout_ms / 1000

    async def bootstrap(self) -> None:
        """Raises `KafkaConnectionError` where the broker does not answer."""
        try:
            await self.kafka.call(lambda: None, self.request_timeout_s)
        except KafkaError as error:
            raise KafkaConnectionError(f"Unable to bootstrap: {error!r}") from error

    async def persist(self, do: Callable[[], T], timeout_s: float) -> T:
        """Ask until it is answered. Raises `KafkaTimeoutError`, or what is not retriable."""
        until_s = self.kafka.loop.now_s + timeout_s
        while True:
            left_s = until_s - self.kafka.loop.now_s
            if left_s <= 0:
                raise KafkaTimeoutError
            try:
                return await self.kafka.call(do, min(left_s, self.request_timeout_s))
            except KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(BACKOFF_S)


class _Place:
    """Where a consumer is in one partition."""

    __slots__ = (
        "highwater",
        "paused",
        "polled_ms",
        "position",
        "records",
        "reset",
        "stable_end",
    )

    def __init__(self) -> None:
        self.position: int | None = None
        self.reset: int | None = None
        """Which end of the log to go to, where no position is known."""
        self.records: list[Stored] = []
        self.highwater: int | None = None
        self.stable_end: int | None = None
        self.polled_ms: int | None = None
        self.paused = False


class SimConsumer(Client):
    """`AIOKafkaConsumer` with partitions that are assigned by hand."""

    def __init__(
        self,
        *topics: str,
        group_id: str | None = None,
        auto_offset_reset: str = "latest",
        isolation_level: str = "read_uncommitted",
        fetch_max_wait_ms: int = 500,
        request_timeout_ms: int = 40_000,
        max_poll_records: int | None = None,
        **_other: Any,
    ) -> None:
        super().__init__(request_timeout_ms)
        if topics:
            raise NotImplementedError("the simulation assigns partitions by hand")
        self._group = group_id
        self._reset = {"earliest": EARLIEST, "latest": LATEST}.get(auto_offset_reset)
        self._committed_only = isolation_level == "read_committed"
        self._wait_s = fetch_max_wait_ms / 1000
        self._most = max_poll_records
        self._places: dict[TopicPartition, _Place] = {}
        self._fetch: asyncio.Task[None] | None = None
        self._error: KafkaError | None = None
        self._news = Bell()
        self._closed = False

    async def start(self) -> None:
        await self.bootstrap()

    async def stop(self) -> None:
        self._closed = True
        self._news.ring()
        if self._fetch is not None:
            self._fetch.cancel()

    async def __aenter__(self) -> "SimConsumer":
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    # Which partitions, and where in them

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        if self._fetch is not None:
            self._fetch.cancel()
            self._fetch = None
        self._places = {tp: _Place() for tp in partitions}
        for place in self._places.values():
            place.reset = self._reset

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._places)

    def _place(self, tp: TopicPartition) -> _Place:
        place = self._places.get(tp)
        if place is None:
            raise IllegalStateError(f"Partition {tp} is not assigned")
        return place

    def seek(self, tp: TopicPartition, offset: int) -> None:
        if offset < 0:
            raise ValueError("Offset must be a positive integer")
        place = self._place(tp)
        place.position, place.reset, place.records = offset, None, []

    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool:
        return await self._seek_to(partitions, EARLIEST)

    async def seek_to_end(self, *partitions: TopicPartition) -> bool:
        return await self._seek_to(partitions, LATEST)

    async def _seek_to(self, partitions: Iterable[TopicPartition], end: int) -> bool:
        partitions = list(partitions) or list(self._places)
        for tp in partitions:
            place = self._place(tp)
            place.position, place.reset, place.records = None, end, []
        await asyncio.gather(*(self.position(tp) for tp in partitions))
        return True

    async def position(self, tp: TopicPartition) -> int:
        while True:
            place = self._place(tp)
            if place.position is not None:
                return place.position
            await self._find(tp, place)

    async def _find(self, tp: TopicPartition, place: _Place) -> None:
        end = place.reset
        if end is None:
            raise IllegalStateError(f"no position of {tp}, and no way to reset it")
        try:
            found = await self._offset(tp, end)
        except KafkaError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(BACKOFF_S)
            return
        if place.reset == end and found is not None:
            place.position, place.reset = found[0], None

    async def _offset(self, tp: TopicPartition, time_ms: int) -> tuple[int, int] | None:
        kafka, committed = self.kafka, self._committed_only
        return await kafka.call(lambda: kafka.offset(tp, time_ms, committed=committed))

    async def _offsets(
        self, times: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, tuple[int, int] | None]:
        kafka, committed = self.kafka, self._committed_only

        def ask() -> dict[TopicPartition, tuple[int, int] | None]:
            return {tp: kafka.offset(tp, ms, committed=committed) for tp, ms in times.items()}

        return await self.persist(ask, self.request_timeout_s) if times else {}

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        found = await self._offsets(dict.fromkeys(partitions, LATEST))
        return {tp: at[0] for tp, at in found.items() if at is not None}

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        found = await self._offsets(dict.fromkeys(partitions, EARLIEST))
        return {tp: at[0] for tp, at in found.items() if at is not None}

    async def offsets_for_times(
        self, timestamps: dict[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        for tp, time_ms in timestamps.items():
            if time_ms < 0:
                raise ValueError(f"The target time for partition {tp} is {time_ms}.")
        found = await self._offsets(timestamps)
        return {tp: at and OffsetAndTimestamp(*at) for tp, at in found.items()}

    def highwater(self, tp: TopicPartition) -> int | None:
        return self._place(tp).highwater

    def last_stable_offset(self, tp: TopicPartition) -> int | None:
        return self._place(tp).stable_end

    def last_poll_timestamp(self, tp: TopicPartition) -> int | None:
        return self._place(tp).polled_ms

    def pause(self, *partitions: TopicPartition) -> None:
        for tp in partitions:
            self._place(tp).paused = True

    def resume(self, *partitions: TopicPartition) -> None:
        for tp in partitions:
            self._place(tp).paused = False

    def paused(self) -> set[TopicPartition]:
        return {tp for tp, place in self._places.items() if place.paused}

    async def topics(self) -> set[str]:
        kafka = self.kafka
        return await self.persist(lambda: set(kafka.topics), self.request_timeout_s)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        there = self.kafka.topics.get(topic)
        return set(range(len(there.logs))) if there is not None else None

    async def committed(self, tp: TopicPartition) -> int | None:
        group, kafka = self._group or "", self.kafka
        found = await self.persist(
            lambda: kafka.groups.committed(group, [tp]), self.request_timeout_s
        )
        return found.get(tp)

    # Records

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        if self._closed:
            raise ConsumerStoppedError
        until_s = self.kafka.loop.now_s + timeout_ms / 1000
        while True:
            found = self._take(partitions, max_records or self._most)
            if found:
                return found
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            left_s = until_s - self.kafka.loop.now_s
            if left_s <= 0 or self._closed:
                self._prefetch()
                return {}
            self._prefetch()
            self._news.clear()
            await self._news.wait(left_s)

    async def getone(self, *partitions: TopicPartition) -> ConsumerRecord:
        while True:
            found = await self.getmany(*partitions, timeout_ms=3_600_000, max_records=1)
            if self._closed:
                raise ConsumerStoppedError
            for records in found.values():
                return records[0]

    def __aiter__(self) -> "SimConsumer":
        return self

    async def __anext__(self) -> ConsumerRecord:
        try:
            return await self.getone()
        except ConsumerStoppedError:
            raise StopAsyncIteration from None

    def _take(
        self, partitions: Iterable[TopicPartition], most: int | None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        wanted = set(partitions)
        found = {}
        for tp, place in self._places.items():
            if not place.records or place.paused or (wanted and tp not in wanted):
                continue
            taken = place.records if most is None else place.records[:most]
            place.records = place.records[len(taken) :]
            place.position = (
                place.records[0].offset if place.records else self._after(place, taken[-1])
            )
            found[tp] = [_as_aiokafka(tp, record) for record in taken]
            if most is not None:
                most -= len(taken)
                if most == 0:
                    break
        return found

    def _after(self, place: _Place, last: Stored) -> int:
        return max(last.offset + 1, place.position or 0)

    def _prefetch(self) -> None:
        if self._fetch is None or self._fetch.done():
            self._fetch = asyncio.create_task(self._fetch_once())

    async def _fetch_once(self) -> None:
        for tp, place in list(self._places.items()):
            if place.position is None and place.reset is not None:
                await self._find(tp, place)
        positions = {
            tp: place.position
            for tp, place in self._places.items()
            if place.position is not None and not place.paused and not place.records
        }
        if not positions:
            await asyncio.sleep(0.01)
            self._news.ring()
            return
        try:
            found = await self._long_poll(positions)
        except KafkaError:
            await asyncio.sleep(BACKOFF_S)
            found = {}
        for tp, offer in found.items():
            known = self._places.get(tp)
            if known is not None and known.position == positions[tp]:
                await self._accept(tp, known, offer)
        self._news.ring()

    async def _long_poll(
        self, positions: dict[TopicPartition, int]
    ) -> dict[TopicPartition, Offer | Exception]:
        kafka = self.kafka
        found, ends = await kafka.long_poll(
            positions, FETCH_MAX, self._wait_s, committed=self._committed_only
        )
        at_ms = clock.now_ms()
        for tp, end in ends.items():
            place = self._places.get(tp)
            if place is not None:
                place.polled_ms = at_ms
                if tp not in found:
                    place.highwater = end
        return found

    async def _accept(self, tp: TopicPartition, place: _Place, offer: Offer | Exception) -> None:
        if isinstance(offer, OffsetOutOfRangeError):
            if self._reset is None:
                self._error = OffsetOutOfRangeError({tp: place.position})
            else:
                place.position, place.reset = None, self._reset
        elif isinstance(offer, Exception):
            await asyncio.sleep(BACKOFF_S)  # no such topic now: its metadata is asked for again
        else:
            place.highwater, place.stable_end = offer.highwater, offer.stable_end
            place.records = offer.records
            if not offer.records:
                place.position = offer.next


def _as_aiokafka(tp: TopicPartition, record: Stored) -> ConsumerRecord:
    return ConsumerRecord(
        tp.topic,
        tp.partition,
        record.offset,
        record.timestamp_ms,
        0,
        record.key,
        record.value,
        None,
        -1 if record.key is None else len(record.key),
        -1 if record.value is None else len(record.value),
        record.headers,
    )
