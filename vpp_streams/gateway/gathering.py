"""What is gathered for one partition of a raw topic until it is sent: rows, and lines beside them.

A device's readings stay in order whichever form each has: rows are sent before lines, and a device
that has a line here gets no row behind it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.raw_frames import ARROW, HEADER_CONTENT_TYPE, LINES_SCHEMA_NAME, SCHEMA_NAME
from vpp_streams.gateway.actions import Produce
from vpp_streams.gateway.answers import OnAnswer
from vpp_streams.gateway.rows import Row, encode_rows, line_of_row
from vpp_streams.kafka.topic import Topic

MAX_FRAME_BYTES = 512 * 1024
"""Some 4,000 rows, or 2,500 native lines: what a frame costs its readers is little for each."""


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

    __slots__ = (
        "_device_ids",
        "_line_answers",
        "_lines",
        "_row_answers",
        "_rows",
        "_with_lines",
        "line_bytes",
        "partition",
        "row_bytes",
        "topic",
    )

    def __init__(self, topic: Topic[bytes], partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.row_bytes = self.line_bytes = 0
        """About the size of each record."""
        self._rows: list[Row] = []
        self._device_ids: list[str] = []
        """Of the rows."""
        self._row_answers: list[OnAnswer] = []
        self._lines: list[bytes] = []
        self._line_answers: list[OnAnswer] = []
        self._with_lines: set[str] = set()
        """Devices that have lines here."""

    def has_room(self, size: int) -> bool:
        """Whether readings of this size fit into the frames; true for the first of all."""
        gathered = self.row_bytes + self.line_bytes
        return gathered + size <= MAX_FRAME_BYTES or not gathered

    def add(self, produce: Produce, size: int, on_answer: OnAnswer) -> None:
        """Take in readings of a device; ``size`` is about how many bytes they add to a record."""
        device_id, readings = produce.device_id, produce.readings
        if produce.is_row and device_id not in self._with_lines:
            self.row_bytes += size
            self._rows.append(readings)
            self._device_ids.append(device_id)
            self._row_answers.append(on_answer)
            return
        if produce.is_row:
            readings = line_of_row(device_id, readings)
        self.line_bytes += size
        self._lines.append(readings)
        self._with_lines.add(device_id)
        self._line_answers.append(on_answer)

    def records(self) -> Iterator[RawRecord]:
        """One record for each form that there is."""
        if self._rows:
            value = encode_rows(self._device_ids, self._rows)
            headers = _headers(SCHEMA_NAME) | {HEADER_CONTENT_TYPE: ARROW}
            yield RawRecord(value, headers, self._row_answers, self.row_bytes)
        if self._lines:
            value = b"\n".join(self._lines)
            yield RawRecord(value, _headers(LINES_SCHEMA_NAME), self._line_answers, self.line_bytes)


def _headers(schema: str) -> dict[str, bytes]:
    return {
        "schema": schema.encode(),
        "ce_specversion": b"1.0",
        "ce_type": f"vpp.{schema}".encode(),
    }
