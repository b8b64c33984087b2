"""Gathers readings into frames, by topic and partition, and sends them to Kafka."""

import asyncio
from collections import Counter
from contextlib import suppress

import structlog
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownProducerId,
)

from vpp_streams.errors import BrokerError
from vpp_streams.gateway.actions import Produce
from vpp_streams.gateway.answers import OnAnswer, answer_all, failure_of
from vpp_streams.gateway.gathering import Gathering, RawRecord
from vpp_streams.kafka.outlet import Outlet

log = structlog.get_logger()

MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024
_REFUSES_ALL = (OutOfOrderSequenceNumber, UnknownProducerId, InvalidProducerEpoch, ProducerFenced)
"""Kafka misses an earlier record of this producer, or does not know it any more, as after a broker
that was killed: it refuses what follows for ever, and the client does not start again by itself."""


class Framer:
    """Frames that are being filled or wait for Kafka; `room` says whether more readings fit."""

    def __init__(
        self,
        outlet: Outlet,
        source: str,
        flush_ms: int,
        counters: Counter[str],
    ) -> None:
        self.in_flight_bytes = 0
        """Taken in, and not yet answered for by Kafka."""
        self.max_in_flight_bytes = MAX_IN_FLIGHT_BYTES
        self.room = asyncio.Event()
        self.room.set()
        self._outlet = outlet
        self._source = source
        self._flush_s = flush_ms / 1000
        self._counters = counters
        self._gathering: dict[tuple[str, int], Gathering] = {}
        self._full: list[Gathering] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sent = 0
        self._refused: BaseException | None = None
        """The answer after which Kafka takes nothing from this producer any more."""
        self._all_now = False
        """Whether the frames that are not full are to leave at the next wake as well."""

    def add(self, produce: Produce, on_answer: OnAnswer) -> None:
        """Take in readings of a device; they stay together in one frame."""
        size = len(produce.readings) + len(produce.device_id)
        place = produce.topic.name, produce.partition
        frame = self._gathering.get(place)
        if frame is not None and not frame.has_room(size):
            self._full.append(frame)
            self._wake.set()
            frame = None
        if frame is None:
            frame = self._gathering[place] = Gathering(produce.topic, produce.partition)
        frame.add(produce, size, on_answer)
        if not self.in_flight_bytes:
            self._idle.clear()
        self.in_flight_bytes += size
        if self.in_flight_bytes > self.max_in_flight_bytes and self.room.is_set():
            self._counters["backpressure"] += 1
            self.room.clear()

    async def run(self) -> None:
        """Send what has been gathered every ``flush_ms``, and a full frame at once, for ever.

        A frame that is full sends no other: they are gathered on. Raises `BrokerError` once the
        producer takes nothing any more: only a new one would help.
        """
        loop = asyncio.get_running_loop()
        flush_at_s = loop.time() + self._flush_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(flush_at_s):
                    await self._wake.wait()
            self._wake.clear()
            if self._refused is not None:
                raise _nothing_more(self._refused)
            frames, self._full = self._full, []
            if self._all_now or loop.time() >= flush_at_s:
                self._all_now = False
                frames += self._gathering.values()
                self._gathering = {}
                flush_at_s = loop.time() + self._flush_s
            for frame in frames:
                for record in frame.records():
                    await self._send(frame, record)

    async def finish(self, timeout_s: float) -> bool:
        """Have `run` send what is left; False if Kafka's answers did not come in time."""
        self._all_now = True
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _send(self, frame: Gathering, record: RawRecord) -> None:
        self._sent += 1
        headers = {
            **record.headers,
            "ce_source": self._source.encode(),
            "ce_id": str(self._sent).encode(),
        }
        try:
            future = await self._outlet.send(
                frame.topic, record.value, partition=frame.partition, headers=headers
            )
        except KafkaError as error:
            self._answer(frame, record, error)
            # A full queue or a topic without a leader passes; what else is refused before it is
            # queued will be for ever, as the producer's own task has ended.
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise _nothing_more(error) from error
        else:
            future.add_done_callback(lambda done: self._answer(frame, record, failure_of(done)))

    def _answer(self, frame: Gathering, record: RawRecord, error: BaseException | None) -> None:
        if error is None:
            self._counters["frames_out"] += 1
        else:
            self._counters["frames_lost"] += 1
            if isinstance(error, _REFUSES_ALL):
                self._refused = error
                self._wake.set()
            log.warning(
                "Kafka did not take a frame; its readings stay with their devices",
                topic=frame.topic.name,
                partition=frame.partition,
                error=repr(error),
            )
        self.in_flight_bytes -= record.size
        if self.in_flight_bytes < self.max_in_flight_bytes // 2:
            self.room.set()
        if not self.in_flight_bytes:
            self._idle.set()
        answer_all(record.answers, error is None)


def _nothing_more(error: BaseException) -> BrokerError:
    return BrokerError(
        f"Kafka takes nothing from this gateway any more ({error!r}); start it again"
    )
