"""Gathers lines into frames, one per topic and partition, and sends them to Kafka."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

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
from vpp_streams.gateway.answers import OnAnswer, answer_all, failure_of
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.topic import Topic

log = structlog.get_logger()

MAX_FRAME_BYTES = 512 * 1024
"""Some 1,700 native readings: what a frame costs its readers is then little for each of them."""
MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024
_REFUSES_ALL = (OutOfOrderSequenceNumber, UnknownProducerId, InvalidProducerEpoch, ProducerFenced)
"""Kafka misses an earlier record of this producer, or does not know it any more, as after a broker
that was killed: it refuses what follows for ever, and the client does not start again by itself."""


@dataclass(slots=True)
class _Frame:
    topic: Topic
    partition: int
    lines: list[bytes] = field(default_factory=list)
    answers: list[OnAnswer] = field(default_factory=list)
    size: int = 0


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
        self._gathering: dict[tuple[str, int], _Frame] = {}
        self._full: list[_Frame] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sent = 0
        self._refused: BaseException | None = None
        """The answer after which Kafka takes nothing from this producer any more."""
        self._all_now = False
        """Whether the frames that are not full are to leave at the next wake as well."""

    def add(self, topic: Topic, partition: int, lines: bytes, on_answer: OnAnswer) -> None:
        """Take in lines (NDJSON without a last newline); they stay together in one frame."""
        frame = self._gathering.get((topic.name, partition))
        if frame is not None and frame.size + len(lines) > MAX_FRAME_BYTES:
            self._full.append(frame)
            self._wake.set()
            frame = None
        if frame is None:
            frame = self._gathering[topic.name, partition] = _Frame(topic, partition)
        frame.lines.append(lines)
        frame.answers.append(on_answer)
        size = len(lines) + 1
        frame.size += size
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
                await self._send(frame)

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

    async def _send(self, frame: _Frame) -> None:
        self._sent += 1
        try:
            future = await self._outlet.send(
                frame.topic,
                b"\n".join(frame.lines),
                partition=frame.partition,
                headers={
                    "schema": b"telemetry.raw.v1",
                    "ce_specversion": b"1.0",
                    "ce_type": b"vpp.telemetry.raw.v1",
                    "ce_source": self._source.encode(),
                    "ce_id": str(self._sent).encode(),
                },
            )
        except KafkaError as error:
            self._answer(frame, error)
            # A full queue or a topic without a leader passes; what else is refused before it is
            # queued will be for ever, as the producer's own task has ended.
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise _nothing_more(error) from error
        else:
            future.add_done_callback(lambda done: self._answer(frame, failure_of(done)))

    def _answer(self, frame: _Frame, error: BaseException | None) -> None:
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
        self.in_flight_bytes -= frame.size
        if self.in_flight_bytes < self.max_in_flight_bytes // 2:
            self.room.set()
        if not self.in_flight_bytes:
            self._idle.set()
        answer_all(frame.answers, error is None)


def _nothing_more(error: BaseException) -> BrokerError:
    return BrokerError(
        f"Kafka takes nothing from this gateway any more ({error!r}); start it again"
    )
