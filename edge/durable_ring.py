"""A `edge.ring.Ring` that survives the end of the process, and a power cut.

`DurableRing.add` returns after the reading is on the disk. A file that is damaged is put aside, and
a disk that cannot be written is replaced by memory until the next start: in both cases with a new
boot id, because numbers may be lost, and with a loud message. Control does not depend on a disk.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from edge.ring import Boots
from edge.store import Store, is_unreadable
from schemas.bodies import NativeBody

T = TypeVar("T")

_MAX_SEQ = 2**62
_DROP_AT_ONCE = 50
"""Most readings dropped with a new one: a clock that is wrong for a moment empties no ring."""
_IN_MEMORY = 6 * 3600
"""Most readings without a disk: six hours."""
_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(NativeBody).decode


class DurableRing:
    """Up to ``capacity`` readings of at most ``keep_ms`` before the newest, in a file.

    ``new_boot`` draws a boot id. Opening it raises `edge.store.InUseError` if another process
    uses the file.
    """

    def __init__(
        self, path: Path, *, capacity: int, keep_ms: int, new_boot: Callable[[], str]
    ) -> None:
        self._path = path
        self._capacity, self._keep_ms = capacity, keep_ms
        self._new_boot = new_boot
        self.next_seq = 0
        self.on_disk = True
        """False = the disk cannot be written, so that readings are in memory."""
        self.put_aside = 0
        """Files that were damaged since the start."""
        self.unreadable = 0
        """Readings since the start that could not be decoded."""
        try:
            self._use(Store(path))
        except sqlite3.Error as error:
            self._replace(error)

    def _use(self, store: Store) -> None:
        self._store = store
        self._count = store.count()
        newest = store.newest_seq()
        after_newest = 0 if newest is None else newest + 1
        self.next_seq = max(self.next_seq, store.number("next_seq"), after_newest)
        self.dropped = store.number("dropped")
        """Readings dropped to make room, in the life of the file."""
        self._later_ms: dict[int, int] = {}
        """When readings that are on their way may be sent again; all others may be sent now."""
        boots = store.boots()
        if not boots:
            boots = [(self.next_seq, self._new_boot())]
            store.begin_boot(*boots[0])
        (first, boot), *others = boots
        self._boots = Boots(boot, first)
        for first, boot in others:
            self._boots.renew(boot, first)

    def _replace(self, error: sqlite3.Error) -> None:
        """Go on with an empty file if this one is damaged, else in memory; with a new boot id."""
        store = getattr(self, "_store", None)
        if store is not None:
            store.close()
        if is_unreadable(error):
            aside = self._path.with_name(self._path.name + ".unreadable")
            self.put_aside += 1
            _log.critical(
                "%s is damaged (%s): it is kept as %s, and its readings are not sent;"
                " going on with an empty one",
                self._path,
                error,
                aside,
            )
            try:
                for suffix in ("", "-wal", "-shm"):
                    part = self._path.with_name(self._path.name + suffix)
                    if part.exists():
                        part.replace(aside.with_name(aside.name + suffix))
                self._use(Store(self._path))
            except (OSError, sqlite3.Error) as second:
                self._in_memory(second)
        else:
            self._in_memory(error)

    def _in_memory(self, error: Exception) -> None:
        _log.critical(
            "%s cannot be written (%s): until the next start, readings are kept in memory, %d hours"
            " at most, and a power cut loses them",
            self._path,
            error,
            _IN_MEMORY // 3600,
        )
        self.on_disk = False
        self._capacity = min(self._capacity, _IN_MEMORY)
        self._use(Store(None))

    def _on_store(self, work: Callable[[Store], T]) -> T:
        """Do this on the store; if that fails, on the one that replaces it."""
        try:
            return work(self._store)
        except sqlite3.Error as error:
            self._replace(error)
            return work(self._store)

    def close(self) -> None:
        """Close the file; nothing can be added after it."""
        self._store.close()

    def __len__(self) -> int:
        return self._count

    @property
    def boot(self) -> str:
        """See `edge.ring.Ring.boot`."""
        return self._boots.newest

    @property
    def oldest_seq(self) -> int:
        """See `edge.ring.Ring.oldest_seq`."""
        oldest = self._on_store(Store.oldest)
        return self.next_seq if oldest is None else oldest[0]

    def bodies(self, run: range) -> list[NativeBody | None]:
        """See `edge.ring.Ring.bodies`."""
        found = self._on_store(lambda store: store.bodies(run.start, run.stop - 1))
        return [self._decoded(found.get(seq)) for seq in run]

    def _decoded(self, body: bytes | None) -> NativeBody | None:
        try:
            return None if body is None else _decode(body)
        except msgspec.DecodeError:
            self.unreadable += 1
            return None

    def boot_of(self, seq: int) -> str:
        """See `edge.ring.Ring.boot_of`."""
        return self._boots.of(seq)

    def renew(self, boot: str) -> None:
        """See `edge.ring.Ring.renew`."""
        self._on_store(lambda store: store.begin_boot(self.next_seq, boot))
        self._boots.renew(boot, self.next_seq)

    def add(self, body: NativeBody, due_ms: int) -> tuple[int, int]:
        """See `edge.ring.Ring.add`; the reading is on the disk when it returns."""

        def append(store: Store) -> tuple[int, list[int]]:
            seq, drop = self.next_seq, self._too_many_or_old(store, body.t)
            store.append((seq, body.t, _encode(body)), drop)
            return seq, drop

        seq, drop = self._on_store(append)
        self.next_seq = seq + 1
        self._count += 1 - len(drop)
        self.dropped += len(drop)
        self._later_ms[seq] = due_ms
        for old in drop:
            self._later_ms.pop(old, None)
        return seq, len(drop)

    def _too_many_or_old(self, store: Store, newest_t_ms: int) -> list[int]:
        oldest = store.oldest()
        if oldest is None:
            return []
        too_many = self._count + 1 - self._capacity
        too_old = oldest[1] < newest_t_ms - self._keep_ms
        if too_many <= 0 and not too_old:
            return []
        rows = store.oldest_times(_DROP_AT_ONCE)
        young = (i for i, (_, t_ms) in enumerate(rows) if t_ms >= newest_t_ms - self._keep_ms)
        return [seq for seq, _ in rows[: max(too_many, next(young, len(rows)))]]

    def forget(self, seqs: Iterable[int]) -> int:
        """See `edge.ring.Ring.forget`."""
        wanted = sorted(seqs)
        if not wanted:
            return 0

        def delete(store: Store) -> list[int]:
            has = set(store.seqs(wanted[0], wanted[-1])).intersection(wanted)
            store.delete(sorted(has), self.next_seq)
            return sorted(has)

        gone = self._on_store(delete)
        self._count -= len(gone)
        for seq in gone:
            self._later_ms.pop(seq, None)
        return len(gone)

    def within(self, first: int, last: int) -> list[int]:
        """See `edge.ring.Ring.within`."""
        return self._on_store(lambda store: list(store.seqs(first, min(last, _MAX_SEQ))))

    def set_due(self, seqs: Iterable[int], due_ms: int) -> None:
        """See `edge.ring.Ring.set_due`."""
        wanted = sorted(seqs)
        if wanted:
            has = set(self.within(wanted[0], wanted[-1])).intersection(wanted)
            self._later_ms.update(dict.fromkeys(has, due_ms))

    def all_due(self) -> None:
        """See `edge.ring.Ring.all_due`."""
        self._later_ms.clear()

    def waiting(self, now_ms: int) -> int:
        """See `edge.ring.Ring.waiting`."""
        return self._count - sum(due > now_ms for due in self._later_ms.values())

    def due_run(self, now_ms: int, most: int) -> range:
        """See `edge.ring.Ring.due_run`."""
        self._later_ms = {seq: due for seq, due in self._later_ms.items() if due > now_ms}
        return self._on_store(lambda store: self._first_run(store, most))

    def _first_run(self, store: Store, most: int) -> range:
        run = range(0)
        for seq in store.seqs(0, _MAX_SEQ):
            if seq in self._later_ms:
                if run:
                    break
            elif not run:
                run, end = range(seq, seq + 1), self._boots.end_of(seq)
            elif seq == run.stop < end and len(run) < most:
                run = range(run.start, seq + 1)
            else:
                break
        return run if most > 0 else range(0)
