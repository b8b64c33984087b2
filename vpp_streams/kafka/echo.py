"""Records of one topic that this process writes, handed on as soon as Kafka has them.

A worker that writes a topic and reads it as well need not fetch what it has just sent: Kafka's
answer states the offset and the time of each record, so that the record is known as its readers
will see it. What others write to the topic is not echoed; a reader sees the gap in the offsets
(`tables.log_reader`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRecord

from vpp_streams.kafka.topic import Topic

BROKERS_TIME = 1
"""The type of a timestamp that the broker has set. aiokafka gives all records of a batch the time
of its first one where the writer sets it."""


@dataclass
class EchoedRecord(ConsumerRecord):  # type: ignore[misc]  # aiokafka ships no types
    """A record as a consumer would return it, with what was encoded into its value."""

    content: Any = None


class Echo:
    """Hands the written records of a topic to ``take``, in the order in which they are stored."""

    def __init__(self, topic: Topic[Any], take: Callable[[EchoedRecord], None]) -> None:
        self.topic = topic
        self._take = take

    def follow(
        self, sent: Any, value: bytes, headers: Sequence[tuple[str, bytes]], content: object
    ) -> None:
        """Hand the record on when its future is done; one that failed is not handed on."""

        def stored(done: Any) -> None:
            if done.cancelled() or done.exception() is not None:
                return
            at = done.result()
            if at.offset < 0 or at.timestamp_type != BROKERS_TIME:
                return  # it was stored, and Kafka did not say where, or when as readers see it
            self._take(
                EchoedRecord(
                    at.topic, at.partition, at.offset, at.timestamp, at.timestamp_type,
                    None, value, None, -1, len(value), tuple(headers), content,
                )
            )  # fmt: skip

        sent.add_done_callback(stored)
