"""How long partitions pause when one of three brokers is killed, or frozen.

    python -m benchmarks.broker_failures

Two producers write to all partitions of a topic, twenty records a second each: ours, and one with
aiokafka's own time limit for a request (40 s), which is the baseline. The pause is the longest time
without an acknowledgement of any partition. Afterwards each record must be in the topic once.
Ports, directory and brokers are its own; it takes four minutes.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from benchmarks.report import Table, parser, progress, publish
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, consuming
from vpp_streams.local.three_brokers import ThreeBrokers, three_brokers
from vpp_streams.settings import Settings

NAMESPACE = "failures"
NAME = topics.COMMANDS.full(NAMESPACE)
PARTITIONS = [TopicPartition(NAME, p) for p in range(topics.COMMANDS.partitions)]
EVERY_S = 0.05
PAUSED_S, BETWEEN_S = 70.0, 20.0


class Writer:
    """Writes numbered records, and notes when each partition had an acknowledgement."""

    def __init__(self, name: str, producer: AIOKafkaProducer) -> None:
        self.name = name
        self.sent = 0
        self.failed = 0
        self.producer = producer
        self._acked_s: dict[int, list[float]] = defaultdict(list)

    async def run(self) -> None:
        """Write for ever."""
        while True:
            for partition in range(len(PARTITIONS)):
                asyncio.get_running_loop().create_task(self._write(partition, self.sent))
                self.sent += 1
            await asyncio.sleep(EVERY_S)

    async def _write(self, partition: int, number: int) -> None:
        value = f"{self.name}-{number}".encode()
        try:
            await self.producer.send_and_wait(NAME, value, partition=partition)
        except KafkaError:  # refused is not acknowledged: the pause goes on
            self.failed += 1
            return
        self._acked_s[partition].append(time.monotonic())

    def longest_pause_s(self, since_s: float) -> float:
        """The longest time without an acknowledgement of a partition, until now."""
        now_s, longest_s = time.monotonic(), 0.0
        for times in self._acked_s.values():
            at = [since_s, *(t for t in times if t > since_s), now_s]
            longest_s = max(longest_s, *(b - a for a, b in pairwise(at)))
        return longest_s


async def measure(table: Table) -> None:
    """Kill a broker, then freeze another, and add a row for each."""
    with TemporaryDirectory(prefix="vpp-failures-") as directory:
        async with three_brokers(Path(directory)) as cluster:
            clients = KafkaClients(Settings(kafka=cluster.bootstrap, namespace=NAMESPACE))
            await ensure_topics(clients)
            plain = AIOKafkaProducer(
                bootstrap_servers=cluster.bootstrap, acks="all", enable_idempotence=True
            )
            writers = [Writer("ours", clients.producer()), Writer("plain", plain)]
            for writer in writers:
                await writer.producer.start()
            tasks = [asyncio.create_task(writer.run()) for writer in writers]
            await asyncio.sleep(5)
            for what in ("killed", "frozen"):
                await _fail(cluster, what, writers, table)
            for task in tasks:
                task.cancel()
            for writer in writers:
                await writer.producer.stop()
            table.notes.append(await _verified(clients, writers))


async def _fail(cluster: ThreeBrokers, what: str, writers: Sequence[Writer], table: Table) -> None:
    progress(f"a broker is {what}")
    since_s = time.monotonic()
    cluster.kill(2) if what == "killed" else cluster.freeze(3)
    await asyncio.sleep(PAUSED_S)
    ours_s, plain_s = (writer.longest_pause_s(since_s) for writer in writers)
    table.add(what, plain_s / ours_s, ours_s, plain_s)
    cluster.start(2) if what == "killed" else cluster.thaw(3)
    await asyncio.sleep(BETWEEN_S)


async def _verified(clients: KafkaClients, writers: Sequence[Writer]) -> str:
    found: Counter[bytes] = Counter()
    async with consuming(clients) as consumer:
        consumer.assign(PARTITIONS)
        ends = await consumer.end_offsets(PARTITIONS)
        await consumer.seek_to_beginning(*PARTITIONS)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found.update(record.value for record in records)
    sent, failed = sum(w.sent for w in writers), sum(w.failed for w in writers)
    assert set(found.values()) == {1}, "a record is there twice"
    assert len(found) >= sent - failed, f"{len(found)} of {sent - failed} records are there"
    return f"{sent:,} records sent, {failed} refused; each of the others is in the topic once"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = parser(__doc__).parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    table = Table(
        "The longest pause of a partition when one of three brokers fails",
        ("broker", "x shorter", "ours, s", "aiokafka's limit, s"),
    )
    asyncio.run(measure(table))
    publish(args, [table])


if __name__ == "__main__":
    main()
