"""A Kafka record for tests without Kafka."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from schemas.rejected import RejectedRecord
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.decode import decode
from vpp_streams.kafka.follower import Feed, Follower
from vpp_streams.kafka.topic import Topic


@dataclass
class Raw:
    """A record as a consumer gives it."""

    value: bytes | None
    partition: int = 0
    offset: int = 7
    timestamp: int = 1_763_855_000_000
    key: bytes | None = b"north"
    headers: Sequence[tuple[str, bytes]] = ()


def raw_in_its_partition(topic: Topic, value: bytes | None, **fields: Any) -> Raw:
    """A record in the partition in which its topic wants it."""
    partition = 0
    with suppress(Exception):
        partition = topic.partition_for(decode(topic, value or b"", fields.get("headers", ()))) or 0
    return Raw(value, partition, **fields)


def take(feed: Feed[Any], raw: Raw, counters: Counter[str]) -> list[RejectedRecord]:
    """Have a follower take one record, without Kafka; returns the dead letter, if it made one."""
    letters = DeadLetters("test", counters, lambda: raw.timestamp)
    follower = Follower(None, letters, counters)  # type: ignore[arg-type]
    work = follower.take(feed, raw)
    try:
        work.send(None)
    except StopIteration:
        return list(letters._waiting)  # noqa: SLF001  # no outlet sends them here
    raise AssertionError("applying a record waited for something")
