"""Published windows beside the expected ones."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
from aiokafka import ConsumerRecord, TopicPartition

from benchmarks.peers.recording import Windows
from schemas.bounds import PARTITIONS
from schemas.window_frames import windows_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, consuming
from vpp_streams.kafka.decode import decode
from vpp_streams.settings import Settings

PATIENCE_S = 90.0
TOLERANCE = 1e-9


@dataclass(slots=True)
class Comparison:
    """The newest revision of each expected window that was seen."""

    expected: Windows
    revisions: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    """Window id -> the first value of it that differs."""

    @property
    def equal(self) -> bool:
        """Whether every expected window was seen and equals what is expected."""
        return len(self.revisions) == len(self.expected) and not self.wrong

    def note(self, record: Mapping[str, object]) -> None:
        """Compare a record of ``site.windows``."""
        window_id, revision = str(record["window_id"]), int(str(record["revision"]))
        if window_id not in self.expected or revision < self.revisions.get(window_id, 0):
            return
        self.revisions[window_id] = revision
        self.wrong.pop(window_id, None)
        found = flat(record)
        for name, value in self.expected[window_id].items():
            there = found.get(name, float("nan"))
            if not abs(there - value) <= TOLERANCE * max(abs(value), 1.0):
                self.wrong[window_id] = f"{window_id}: {name} is {there}, expected {value}"

    def differences(self) -> list[str]:
        """A sentence for each window that is missing or not equal."""
        missing = self.expected.keys() - self.revisions.keys()
        return [*self.wrong.values(), *(f"{window_id} is missing" for window_id in sorted(missing))]


def flat(record: Mapping[str, object]) -> dict[str, float]:
    """A record's numbers by name: ``readings``, ``battery.min_w``."""
    values: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            values |= {f"{name}.{inner}": number for inner, number in flat(value).items()}
        elif isinstance(value, int | float):
            values[name] = float(value)
    return values


def windows_in(record: ConsumerRecord) -> Iterator[Mapping[str, object]]:
    """The windows of a record of ours or of the Java apps, which write one in each."""
    for window in windows_of(decode(topics.SITE_WINDOWS, record.value, record.headers)):
        yield msgspec.to_builtins(window)


async def differences_of(settings: Settings, topic: str, expected: Windows) -> list[str]:
    """Read a topic of windows until it equals what is expected, or for `PATIENCE_S`.

    Returns what differs then.
    """
    compared = Comparison(expected)
    deadline = time.monotonic() + PATIENCE_S
    async with consuming(KafkaClients(settings), isolation_level="read_committed") as consumer:
        consumer.assign([TopicPartition(topic, p) for p in range(PARTITIONS)])
        while not compared.equal and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    for window in windows_in(record):
                        compared.note(window)
    return compared.differences()
