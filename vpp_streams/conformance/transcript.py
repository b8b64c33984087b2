"""What happened on the connections of a check, as values, and what can be read from it.

Times ``at_ms`` are of the check's monotonic clock; ``link`` counts connections from 0.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple, TypeVar

import msgspec

from schemas.bodies import NativeBody
from schemas.protocol import (
    Ack,
    Backfill,
    Call,
    CommandStatus,
    Hello,
    Malformed,
    Message,
    Result,
    SetpointResult,
    Telemetry,
    UncheckedTelemetry,
    VendorTelemetry,
)
from schemas.wire import decode_result

T = TypeVar("T")
KEYS = NativeBody.__struct_fields__


@dataclass(frozen=True, slots=True)
class Opened:
    """An upgrade was requested. Names of ``headers`` are lower case."""

    link: int
    at_ms: int
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the side that is checked."""

    link: int
    at_ms: int
    message: Message
    size_bytes: int
    is_text: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of the check."""

    link: int
    at_ms: int
    message: Message


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection ended, with the close code of the side that is checked; None = without one."""

    link: int
    at_ms: int
    code: int | None


Event = Opened | Received | Sent | Ended


class Reading(NamedTuple):
    """One reading as it was received, live or in a Backfill."""

    link: int
    at_ms: int
    boot: str
    seq: int
    t: int | None
    """When the device measured, by its own clock, ms UTC."""
    body: NativeBody | None
    """None = a vendor's document, which is not read here, or values that do not fit."""
    live: bool

    @property
    def power_w(self) -> float | None:
        """Battery power, W, + = discharge."""
        return None if self.body is None else self.body.p


def calls_received(events: Iterable[Event], type_: type[T]) -> Iterator[tuple[Received, str, T]]:
    """(event, message id, payload) of each received call or send with such a payload."""
    for event in events:
        if isinstance(event, Received) and isinstance(event.message, Call):
            payload: Any = event.message.payload
            if isinstance(payload, type_):
                yield event, event.message.id, payload


def hellos(events: Iterable[Event]) -> list[tuple[int, Hello]]:
    """(link, Hello) in order."""
    return [(event.link, hello) for event, _, hello in calls_received(events, Hello)]


def readings(events: Iterable[Event]) -> list[Reading]:
    """All readings in the order in which they were received."""
    return [reading for event in events for reading in _readings_of(event)]


def live_readings(events: Iterable[Event], link: int) -> list[Reading]:
    """The live readings of one connection."""
    return [reading for reading in readings(events) if reading.live and reading.link == link]


def _readings_of(event: Event) -> Iterator[Reading]:
    if not isinstance(event, Received) or not isinstance(event.message, Call):
        return
    link, at_ms = event.link, event.at_ms
    match event.message.payload:
        case Telemetry() as native:
            body = NativeBody(**{key: getattr(native, key) for key in KEYS})
            yield Reading(link, at_ms, native.b, native.s, native.t, body, True)
        case VendorTelemetry(b=boot, s=seq, t=t):
            yield Reading(link, at_ms, boot, seq, t, None, True)
        case UncheckedTelemetry(b=boot, s=seq):
            yield Reading(link, at_ms, boot, seq, None, None, True)
        case Backfill() as kept:
            for seq, row in enumerate(kept.rows, kept.from_):
                if row is not None:
                    body_or_none = body_of_row(kept.cols, row)
                    t = None if body_or_none is None else body_or_none.t
                    yield Reading(link, at_ms, kept.b, seq, t, body_or_none, False)


def body_of_row(cols: Sequence[str], row: Sequence[Any]) -> NativeBody | None:
    """A row of a Backfill as the body of a reading; None = its values do not fit."""
    values = {key: value for key, value in zip(cols, row, strict=True) if value is not None}
    try:
        return msgspec.convert(values, NativeBody)
    except msgspec.ValidationError:
        return None


def acked(events: Iterable[Event]) -> set[tuple[str, int]]:
    """(boot, number) of each reading that the check has acked."""
    return {
        (ack.b, seq)
        for event in events
        if isinstance(event, Sent) and isinstance(event.message, Call)
        for ack in [event.message.payload]
        if isinstance(ack, Ack)
        for seq in range(ack.from_, ack.upto + 1)
    }


def answer_to(events: Iterable[Event], id_: str) -> SetpointResult | None:
    """The first answer to a Setpoint; None = none, or an unreadable one."""
    for event in events:
        if isinstance(event, Received):
            message = event.message
            if isinstance(message, Result) and message.id == id_:
                answer = decode_result(message, SetpointResult)
                return None if isinstance(answer, Malformed) else answer
    return None


def statuses(events: Iterable[Event], command_id: str) -> list[tuple[int, CommandStatus]]:
    """(link, status) of each report on a command."""
    return [
        (event.link, status)
        for event, _, status in calls_received(events, CommandStatus)
        if status.id == command_id
    ]


def clock_behind_ms(events: Iterable[Event], utc_ahead_ms: int) -> int:
    """How much the device's clock is behind UTC, ms, from its live readings; 0 = no reading.

    ``utc_ahead_ms`` is UTC less the check's monotonic clock.
    """
    apart = [r.at_ms + utc_ahead_ms - r.t for r in readings(events) if r.live and r.t is not None]
    return round(median(apart)) if apart else 0
