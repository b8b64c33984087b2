"""The log of one partition: offsets, timestamps, transactions, retention, compaction."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from aiokafka.errors import (
    DuplicateSequenceNumber,
    InvalidProducerEpoch,
    InvalidTxnState,
    OutOfOrderSequenceNumber,
)

Headers = tuple[tuple[str, bytes], ...]


class NewRecord(NamedTuple):
    """What a producer sends."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers


class Stored(NamedTuple):
    """A record in the log."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    pid: int
    transactional: bool
    marker: Literal["", "commit", "abort"]


@dataclass(slots=True)
class _Producer:
    """What the log knows of a producer that wrote to it."""

    epoch: int
    next_seq: int = 0
    recent: list[tuple[int, int, int]] = field(default_factory=list)
    """Of its last batches: first sequence, number of records, base offset."""


@dataclass(slots=True)
class Log:
    """One partition."""

    topic_id: int
    start: int = 0
    end: int = 0
    records: list[Stored] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    open: dict[int, int] = field(default_factory=dict)
    """Producer -> first offset of its open transaction."""
    aborted: list[tuple[int, int, int]] = field(default_factory=list)
    """Producer, first offset, offset of the marker."""
    producers: dict[int, _Producer] = field(default_factory=dict)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    """Fetches that wait for something new; each is called once."""

    @property
    def stable_end(self) -> int:
        """Up to where every transaction has ended."""
        return min(self.open.values(), default=self.end)

    def append(
        self,
        batch: list[NewRecord],
        now_ms: int | None,
        pid: int,
        epoch: int,
        seq: int,
        *,
        transactional: bool,
    ) -> int:
        """Write a batch; returns its base offset. ``now_ms`` stamps it, None = the producer did.

        Raises the broker's error where a producer is fenced or repeats what is too old; a batch
        that was written before is answered with its offset.
        """
        if pid >= 0:
            known = self.producers.get(pid)
            if known is not None and epoch < known.epoch:
                raise InvalidProducerEpoch
            if known is None or epoch > known.epoch:
                known = self.producers[pid] = _Producer(epoch, seq)
            for first, count, offset in known.recent:
                if first == seq and count == len(batch):
                    return offset
            if seq != known.next_seq:
                if seq < known.next_seq:
                    raise DuplicateSequenceNumber
                raise OutOfOrderSequenceNumber
            known.next_seq = seq + len(batch)
            known.recent = [*known.recent[-4:], (seq, len(batch), self.end)]
        base = self.end
        if transactional:
            self.open.setdefault(pid, base)
        for new in batch:
            stamp_ms = new.timestamp_ms if now_ms is None else now_ms
            self._put(
                stamp_ms,
                new.key,
                new.value,
                new.headers,
                pid=pid,
                transactional=transactional,
                marker="",
            )
        self.wake()
        return base

    def end_transaction(self, pid: int, epoch: int, now_ms: int, *, commit: bool) -> None:
        """Write the marker that ends a producer's transaction, and fences older epochs."""
        first = self.open.pop(pid, None)
        if first is not None and not commit:
            self.aborted.append((pid, first, self.end))
        known = self.producers.setdefault(pid, _Producer(epoch))
        if epoch > known.epoch:
            known.epoch, known.next_seq, known.recent = epoch, 0, []
        self._put(
            now_ms,
            b"",
            b"",
            (),
            pid=pid,
            transactional=True,
            marker="commit" if commit else "abort",
        )
        self.wake()

    def _put(
        self,
        stamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        *,
        pid: int,
        transactional: bool,
        marker: Literal["", "commit", "abort"],
    ) -> None:
        self.records.append(
            Stored(self.end, stamp_ms, key, value, headers, pid, transactional, marker)
        )
        self.offsets.append(self.end)
        self.end += 1

    def wake(self) -> None:
        """Have the fetches that wait look again."""
        waiting, self.waiting = self.waiting, []
        for look in waiting:
            look()

    def read(self, position: int, most: int, *, committed: bool) -> tuple[list[Stored], int]:
        """Records for a consumer from a position on, and where its next fetch begins."""
        limit = self.stable_end if committed else self.end
        found: list[Stored] = []
        at = bisect_left(self.offsets, position)
        while at < len(self.records) and len(found) < most:
            record = self.records[at]
            if record.offset >= limit:
                break
            position = record.offset + 1
            if not record.marker and not (committed and self._is_aborted(record)):
                found.append(record)
            at += 1
        else:
            if at >= len(self.records):
                position = max(position, limit)  # the rest was compacted away
        return found, position

    def _is_aborted(self, record: Stored) -> bool:
        return record.transactional and any(
            pid == record.pid and first <= record.offset < marker
            for pid, first, marker in self.aborted
        )

    def stamp_at(self, offset: int) -> int | None:
        """The timestamp of a record; None where it is gone."""
        at = bisect_left(self.offsets, offset)
        there = at < len(self.offsets) and self.offsets[at] == offset
        return self.records[at].timestamp_ms if there else None

    def first_since(self, time_ms: int, *, committed: bool) -> Stored | None:
        """The first record that is at least that new."""
        limit = self.stable_end if committed else self.end
        for record in self.records:
            if record.offset >= limit:
                return None
            if record.timestamp_ms >= time_ms:
                return record
        return None

    def truncate_front(self, to: int) -> None:
        """Retention: what is before ``to`` is gone."""
        self.start = max(self.start, min(to, self.stable_end))
        at = bisect_left(self.offsets, self.start)
        del self.records[:at], self.offsets[:at]

    def cut_back(self, to: int) -> None:
        """An unclean election: what is from ``to`` on never was."""
        at = bisect_left(self.offsets, to)
        del self.records[at:], self.offsets[at:]
        self.end = max(to, self.start)
        self.open = {pid: first for pid, first in self.open.items() if first < to}
        self.wake()

    def compact(self, *, tombstones_too: bool) -> None:
        """Keep only the newest record of each key, of what is stable; offsets stay."""
        newest: dict[bytes | None, int] = {}
        stable = self.stable_end
        for record in self.records:
            if record.offset < stable and not record.marker and not self._is_aborted(record):
                newest[record.key] = record.offset
        kept = [
            record
            for record in self.records
            if record.offset >= stable
            or record.offset == self.end - 1
            or (
                newest.get(record.key) == record.offset
                and not record.marker
                and not (tombstones_too and record.value is None)
            )
        ]
        self.records, self.offsets = kept, [record.offset for record in kept]


def transaction_of(is_open: bool) -> None:
    """Raise the broker's error for a step that needs an open transaction."""
    if not is_open:
        raise InvalidTxnState
