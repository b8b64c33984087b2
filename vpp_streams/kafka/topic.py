"""What a topic is: its name, partitions, retention and key, and the contract of its records."""

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, Literal

import pyarrow as pa
from typing_extensions import TypeVar

from schemas.bounds import PARTITIONS
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.registry.hashing import murmur2_of, partition_of, partitions_of
from vpp_streams.errors import RefusedError

T = TypeVar("T", default=Any)
Keep = Literal["delete", "compact", "compact,delete"]
Codec = Literal["ndjson", "arrow", "entries", "windows"]
"""How frames of many rows are encoded: ``ndjson`` is passed on as bytes, because each line is
checked by itself; ``arrow`` is a record batch of ``telemetry.v1``, ``entries`` one of
``settlement_entry.v1``, ``windows`` one of ``site_window.columns.v1`` or a single `SiteWindow`."""
PartitionRule = Literal[
    "single", "site", "sites", "partition", "source_partition", "slot", "chosen"
]
"""How a record's partition is found. ``single``: the topic has one. ``site``: by the record's site;
``sites``: by the sites of its rows, or its site where it is a single record.
``partition``, ``source_partition``, ``slot``: by the field of that name. ``chosen``: by the writer,
whose frames are built by partition."""


@dataclass(frozen=True, slots=True)
class Key:
    """How a record's key is derived from the record."""

    about: str
    of: Callable[[Any], str]


def by(name: str) -> Key:
    """The key is the record's field of this name."""
    return Key(name, attrgetter(name))


@dataclass(frozen=True)
class Topic(Generic[T]):
    """A topic as the code names it; `full` is its name on the broker."""

    name: str
    about: str = field(default="", compare=False)
    """What the topic carries, for the documentation."""
    contract: Any = field(default=bytes, compare=False)
    """``T``: a Struct, a union of tagged Structs, or the `Codec` of its frames."""
    key: Key | None = field(default=None, compare=False)
    partitions: int = PARTITIONS
    partition: PartitionRule = "site"
    keep: Keep = "delete"
    retention_ms: int = 7 * DAY_MS
    """-1 = kept for ever."""
    uncompacted_ms: int = 0
    """Compaction leaves records alone for this long: a reader that was away misses none of them."""
    timed_by_broker: bool = False
    """Whether record timestamps are the broker's, independent of the writers' clocks."""

    def full(self, namespace: str) -> str:
        """Name on the broker: ``<namespace>.<name>`` or the bare name."""
        return f"{namespace}.{self.name}" if namespace else self.name

    def partition_for(self, record: T) -> int | None:
        """The partition in which a record belongs; None where its writer chooses.

        Raises `RefusedError` where its rows belong in several.
        """
        match self.partition:
            case "single":
                return 0
            case "chosen":
                return None
            case "sites" if isinstance(record, pa.RecordBatch):
                return _partition_of_all(record.column("site_id"), self.partitions)
            case "site" | "sites":
                return partition_of(record.site_id, self.partitions)  # type: ignore[attr-defined]  # the rule says so
            case name:
                return int(getattr(record, name))


def _partition_of_all(site_ids: pa.StringArray, partitions: int) -> int:
    found = partitions_of(murmur2_of(site_ids), partitions)
    if (found != found[0]).any():
        raise RefusedError("its sites belong in several partitions")
    return int(found[0])
