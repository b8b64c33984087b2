"""What is gathered for one partition of a raw topic until it is sent: rows, and lines beside them.

A device's readings stay in order whichever form each has: rows are sent before lines, and a device
that has a line here gets no row behind it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from schemas.raw_frames import ARROW, HEADER_CONTENT_TYPE, LINES_SCHEMA_NAME, SCHEMA_NAME
from vpp_streams.gateway.actions import Produce
from vpp_streams.gateway.answers import OnAnswer
from vpp_streams.gateway.rows import encode_rows, line_of_row
from vpp_streams.kafka.topic import Topic

MAX_FRAME_BYTES = 512 * 1024
"""Some 4,000 rows, or 2,500 native lines: what a frame costs its readers is little for each."""


@dataclass(slots=True)
class Readings:
    """Readings of one form, for one record."""

    readings: list[bytes] = field(default_factory=list)
    answers: list[OnAnswer] = field(default_factory=list)
    size: int = 0
    """About the bytes of the record."""

    def add(self, readings: bytes, size: int, on_answer: OnAnswer) -> None:
        """Take in readings that stay together."""
        self.readings.append(readings)
        self.answers.append(on_answer)
        self.size += size


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record to send, and who waits for Kafka's answer."""

    value: bytes
    headers: Mapping[str, bytes]
    answers: list[OnAnswer]
    size: int
    """What `Gathering.add` has counted for it."""


class Gathering:
    """Takes in readings of a partition's devices; `records` are what is then sent, in order."""

    __slots__ = ("_device_ids", "_lines", "_rows", "_with_lines", "partition", "topic")

    def __init__(self, topic: Topic[bytes], partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self._rows = Readings()
        self._device_ids: list[str] = []
        """Of the rows."""
        self._lines = Readings()
        self._with_lines: set[str] = set()
        """Devices that have lines here."""

    def has_room(self, produce: Produce) -> bool:
        """Whether these readings fit into the frames; true for the first of all."""
        size = self._rows.size + self._lines.size
        return not size or size + _size_of(produce) <= MAX_FRAME_BYTES

    def add(self, produce: Produce, on_answer: OnAnswer) -> int:
        """Take in readings; returns their size, about the bytes that they add to a record."""
        device_id, size = produce.device_id, _size_of(produce)
        if produce.is_row and device_id not in self._with_lines:
            self._rows.add(produce.readings, size, on_answer)
            self._device_ids.append(device_id)
            return size
        readings = produce.readings
        if produce.is_row:
            readings = line_of_row(device_id, readings)
        self._with_lines.add(device_id)
        self._lines.add(readings, size, on_answer)
        return size

    def records(self) -> Iterator[RawRecord]:
        """One record for each form that there is."""
        if rows := self._rows.readings:
            value = encode_rows(self._device_ids, rows)
            headers = _headers(SCHEMA_NAME) | {HEADER_CONTENT_TYPE: ARROW}
            yield RawRecord(value, headers, self._rows.answers, self._rows.size)
        if lines := self._lines.readings:
            value = b"\n".join(lines)
            yield RawRecord(
                value, _headers(LINES_SCHEMA_NAME), self._lines.answers, self._lines.size
            )


def _size_of(produce: Produce) -> int:
    return len(produce.readings) + len(produce.device_id)


def _headers(schema: str) -> dict[str, bytes]:
    return {
        "schema": schema.encode(),
        "ce_specversion": b"1.0",
        "ce_type": f"vpp.{schema}".encode(),
    }
