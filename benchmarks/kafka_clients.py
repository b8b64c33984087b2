"""The hot path's frames through two clients of Kafka: aiokafka, which we use, and librdkafka.

    python -m benchmarks.kafka_clients

Writes frames of a live size to 8 partitions and reads them again, each by the CPU time of this
process (librdkafka's threads included): once as fast as they go, once at a live pace, where a
client costs by the request and not by the byte. The ratio is to aiokafka. librdkafka needs
confluent-kafka, which is no dependency of ours (`pip install confluent-kafka`; ADR 41).
"""

import argparse
import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from aiokafka import TopicPartition

from benchmarks.report import Table, parser, progress, publish
from benchmarks.world import world
from schemas.bounds import PARTITIONS
from tables.log_reader import GATHER_BYTES, POLL_MS
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, consuming, producing
from vpp_streams.settings import Settings, load_settings

BACKLOG = 1_000
"""Frames of a backlog."""
LIVE_S, LIVE_PER_S = 15, 24
"""Length of the live part, and its frames a second."""
PATIENCE_S = 60.0


class Aiokafka:
    """As the workers use it."""

    def __init__(self, settings: Settings) -> None:
        self._clients = KafkaClients(settings)
        self._topic = self._clients.full(topics.TELEMETRY)

    async def write(self, frames: Sequence[bytes], pause_s: float) -> None:
        """Write frames, one each ``pause_s``; on return Kafka has them."""
        async with producing(self._clients) as producer:
            sent = []
            for number, frame in enumerate(frames):
                sent.append(await producer.send(self._topic, frame, partition=number % PARTITIONS))
                await asyncio.sleep(pause_s)
            await asyncio.gather(*sent)

    async def read(self, count: int) -> None:
        """Read frames from the beginning until there were so many."""
        async with consuming(self._clients, fetch_max_wait_ms=POLL_MS,
                             fetch_min_bytes=GATHER_BYTES) as consumer:  # fmt: skip
            consumer.assign([TopicPartition(self._topic, p) for p in range(PARTITIONS)])
            while count > 0:
                found = await consumer.getmany(timeout_ms=POLL_MS)
                count -= sum(map(len, found.values()))


class Librdkafka:
    """The same through confluent-kafka, in batches and in threads of its own."""

    def __init__(self, settings: Settings) -> None:
        self._library: Any = import_module("confluent_kafka")
        self._servers = {"bootstrap.servers": settings.kafka}
        self._topic = topics.TELEMETRY.full(settings.namespace)

    async def write(self, frames: Sequence[bytes], pause_s: float) -> None:
        """Write frames, one each ``pause_s``; on return Kafka has them."""
        producer = self._library.Producer(
            self._servers | {"enable.idempotence": True, "linger.ms": 5, "batch.size": 512 * 1024}
        )
        for number, frame in enumerate(frames):
            producer.produce(self._topic, frame, partition=number % PARTITIONS)
            producer.poll(0)
            await asyncio.sleep(pause_s)
        await asyncio.to_thread(producer.flush, PATIENCE_S)

    async def read(self, count: int) -> None:
        """Read frames from the beginning until there were so many."""
        options: dict[str, Any] = self._servers | {
            "group.id": "nobody", "enable.auto.commit": False, "fetch.wait.max.ms": POLL_MS,
            "fetch.min.bytes": GATHER_BYTES,
        }  # fmt: skip
        consumer = self._library.Consumer(options)
        consumer.assign([self._library.TopicPartition(self._topic, p, 0)
                         for p in range(PARTITIONS)])  # fmt: skip
        while count > 0:
            count -= len(await asyncio.to_thread(consumer.consume, 100, POLL_MS / 1000))
        consumer.close()


async def measure(client: type[Aiokafka | Librdkafka], size: int, *, live: bool) -> float:
    """CPU ms per frame, written and read."""
    settings = load_settings(namespace=f"bench-{uuid.uuid4().hex[:8]}")
    count = LIVE_S * LIVE_PER_S if live else BACKLOG
    frames = [os.urandom(size) for _ in range(16)] * (count // 16 + 1)
    async with world(settings):
        one = client(settings)
        began_s = time.process_time()
        writing = one.write(frames[:count], 1 / LIVE_PER_S if live else 0.0)
        if live:
            await asyncio.gather(writing, one.read(count))
        else:
            await _one_by_one(lambda: writing, lambda: one.read(count))
        return (time.process_time() - began_s) / count * 1e3


async def _one_by_one(*works: Callable[[], Awaitable[None]]) -> None:
    for work in works:
        await work()


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=100_000, help="bytes of a frame")
    args: argparse.Namespace = options.parse_args(argv)
    table = Table(
        f"Frames of {args.size:,} bytes, written and read",
        ("client", "x aiokafka", "ms CPU per frame"),
    )
    for live in (False, True):
        first = 0.0
        for client in (Aiokafka, Librdkafka):
            name = f"{client.__name__.lower()}, {'live' if live else 'a backlog'}"
            if client is Librdkafka and find_spec("confluent_kafka") is None:
                table.notes.append("confluent-kafka is not installed: librdkafka was not measured")
                continue
            spent = asyncio.run(measure(client, args.size, live=live))
            progress(f"{name}: {spent:.3f} ms")
            first = first or spent
            table.add(name, first / spent, spent)
    publish(args, [table], load_settings().kafka)


if __name__ == "__main__":
    main()
