"""Decodes and checks a record by its topic's contract, or gives the reason why it is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar, get_args

import msgspec

from schemas.encoding import decode_frame
from schemas.entry_frames import decode_entries
from schemas.raw_frames import has_columns
from schemas.rejected import RefusalReason
from schemas.window_frames import decode_windows
from schemas.windows import SiteWindow
from vpp_streams.errors import RefusedError
from vpp_streams.kafka.topic import Topic

T = TypeVar("T")
MAX_DETAIL = 300
_REASONS: frozenset[str] = frozenset(get_args(RefusalReason))


class RawRecord(Protocol):
    """The attributes of a Kafka record that are used (aiokafka's `ConsumerRecord` has them)."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """A record that was decoded and checked."""

    record: T
    partition: int
    offset: int
    written_at_ms: int
    """Kafka's timestamp of the record, ms since 1970 UTC."""
    headers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Removed:
    """The removal of a key from a compacted topic."""

    key: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was refused."""

    reason: RefusalReason
    detail: str
    """One sentence that a person understands."""


def receive(topic: Topic[T], raw: RawRecord) -> Read[T] | Removed | Refusal:
    """Decode and check one record. Never raises, whatever the bytes are."""
    try:
        if raw.value is None:
            return _removed(topic, raw)
        record = decode(topic, raw.value, raw.headers or ())
        belongs = topic.partition_for(record)
        if belongs is not None and belongs != raw.partition:
            return Refusal("wrong_partition", f"it belongs in partition {belongs}")
        return Read(
            record, raw.partition, raw.offset, max(raw.timestamp, 0), dict(raw.headers or ())
        )
    except Exception as error:  # bad data is a value, whatever a library raises
        return refusal_of(error)


def decode(topic: Topic[T], value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> T:
    """A record's value by its topic's contract. Raises whatever its decoder raises."""
    match topic.contract:
        case "ndjson":
            return value  # type: ignore[return-value]  # each line is judged by itself
        case "arrow":
            return decode_frame(value)  # type: ignore[no-any-return]  # pyarrow ships no types
        case "entries":
            return decode_entries(value)  # type: ignore[no-any-return]  # as above
        case "windows" if has_columns(headers):
            return decode_windows(value)  # type: ignore[no-any-return]  # as above
        case "windows":
            return _decoder(SiteWindow).decode(value)  # type: ignore[no-any-return]  # a single one
        case contract:
            return _decoder(contract).decode(value)  # type: ignore[no-any-return]  # T, by the contract


def refusal_of(error: Exception) -> Refusal:
    """The refusal for an error of decoding, or for a `RefusedError` of applying."""
    detail = str(error)[:MAX_DETAIL] or type(error).__name__
    match error:
        case RefusedError():
            return Refusal("refused", detail)
        case RecursionError():
            return Refusal("too_deep", "it is nested too deeply")
        case MemoryError():
            return Refusal("too_large", "it asks for more memory than there is")
        case msgspec.ValidationError():
            return Refusal("invalid", detail)
        case _:
            return Refusal("unreadable", detail)


def _removed(topic: Topic[Any], raw: RawRecord) -> Removed | Refusal:
    if "compact" not in topic.keep or raw.key is None:
        return Refusal("empty", "it has no value, and there is nothing that it could remove")
    return Removed(raw.key.decode(), raw.partition, raw.offset)


@cache
def _decoder(contract: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(contract)
