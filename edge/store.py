"""Readings in a SQLite file, which survive a power cut: the disk under `edge.durable_ring`.

The file is in WAL mode with ``synchronous=FULL``: a commit returns after its fsync. With NORMAL the
readings of the last seconds before a power cut would be gone, and their numbers would be given to
others, although the gateway may have the first ones already. A home writes one reading a second,
which leaves time for an fsync (``benchmarks/edge_ring.py`` has the cost).

One process may use a file. SQLite's own lock ends with the process, however that ends.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

LAYOUT = 1
"""Number of the layout below; a file of another layout is not readable."""
SYNCHRONOUS = "FULL"
"""When SQLite has the disk confirm a write: at every commit."""
_TABLES = f"""
CREATE TABLE readings (seq INTEGER PRIMARY KEY, t INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE boots (first_seq INTEGER PRIMARY KEY, boot TEXT NOT NULL);
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO numbers VALUES ('next_seq', 0), ('dropped', 0);
PRAGMA user_version = {LAYOUT};
"""
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
LOCKED_FOR_S = 2.0
"""How long to wait for the previous process to let go of the file."""

Row = tuple[int, int, bytes]
"""Number, time of measurement (ms UTC) and encoded body of a reading."""


class UnreadableError(sqlite3.DatabaseError):
    """The file is not what this program wrote."""


class InUseError(Exception):
    """Another process uses the file."""


def is_unreadable(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is damaged, rather than that it cannot be written."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, UnreadableError) or (code is not None and code & 0xFF in _CORRUPT)


class Store:
    """The readings in one file; every change is one transaction. ``path`` None = in memory.

    Raises `sqlite3.Error` whenever the file cannot be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        """Open or create the file. Raises `UnreadableError` and `InUseError`, among others."""
        is_new = path is not None and not path.exists()
        self._db = sqlite3.connect(
            ":memory:" if path is None else path, timeout=LOCKED_FOR_S, isolation_level=None
        )
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self._db.close()
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise InUseError(f"another process uses {path}") from None
            raise
        except sqlite3.Error:
            self._db.close()
            raise
        if path is not None and is_new:
            _sync_folder(path.parent)

    def _prepare(self) -> None:
        run = self._db.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run(f"PRAGMA synchronous = {SYNCHRONOUS}")
        with self._change():
            layout = self._one("PRAGMA user_version")
            if layout == 0 and not self._one("SELECT count(*) FROM sqlite_master"):
                for statement in _TABLES.strip().split("\n"):
                    run(statement)
            elif layout != LAYOUT:
                raise UnreadableError(f"its layout is {layout}, not {LAYOUT}")
        problem = str(run("PRAGMA quick_check(1)").fetchone()[0])
        if problem != "ok":
            raise UnreadableError(problem)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _one(self, query: str, *values: int) -> int | None:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else row[0]

    def number(self, name: str) -> int:
        """A stored number: ``next_seq`` as of the newest deletion, or ``dropped``."""
        with closing(self._db.execute("SELECT value FROM numbers WHERE name = ?", (name,))) as rows:
            return int(rows.fetchone()[0])

    def count(self) -> int:
        """How many readings there are."""
        return self._one("SELECT count(*) FROM readings") or 0

    def newest_seq(self) -> int | None:
        """The newest reading's number."""
        return self._one("SELECT max(seq) FROM readings")

    def oldest(self) -> tuple[int, int] | None:
        """Number and time, ms UTC, of the oldest reading."""
        return next(iter(self.oldest_times(1)), None)

    def oldest_times(self, most: int) -> list[tuple[int, int]]:
        """Number and time, ms UTC, of the oldest readings."""
        query = "SELECT seq, t FROM readings ORDER BY seq LIMIT ?"
        return list(self._db.execute(query, (most,)))

    def boots(self) -> list[tuple[int, str]]:
        """(first number, boot id) of every boot, the oldest first."""
        return list(self._db.execute("SELECT first_seq, boot FROM boots ORDER BY first_seq"))

    def begin_boot(self, first_seq: int, boot: str) -> None:
        """Store that ``boot`` applies from a number on."""
        with self._change():
            self._db.execute("INSERT OR REPLACE INTO boots VALUES (?, ?)", (first_seq, boot))

    def append(self, row: Row, drop: Sequence[int]) -> None:
        """Add the newest reading, and drop old ones to make room: counted as ``dropped``."""
        with self._change():
            self._db.execute("INSERT INTO readings VALUES (?, ?, ?)", row)
            if drop:
                self._delete(drop)
                add = "UPDATE numbers SET value = value + ? WHERE name = 'dropped'"
                self._db.execute(add, (len(drop),))

    def delete(self, seqs: Sequence[int], next_seq: int) -> None:
        """Delete readings, and remember that numbers go on from ``next_seq``."""
        with self._change():
            self._delete(seqs)
            # The newest row says where numbers go on; without it, this does.
            if next_seq - 1 in seqs:
                self._db.execute(
                    "UPDATE numbers SET value = ? WHERE name = 'next_seq'", (next_seq,)
                )

    def _delete(self, seqs: Sequence[int]) -> None:
        self._db.executemany("DELETE FROM readings WHERE seq = ?", ((seq,) for seq in seqs))

    def seqs(self, first: int, last: int) -> Iterator[int]:
        """The numbers in ``[first..last]`` that there are, in rising order."""
        query = "SELECT seq FROM readings WHERE seq BETWEEN ? AND ? ORDER BY seq"
        with closing(self._db.execute(query, (first, last))) as rows:
            yield from (row[0] for row in rows)

    def bodies(self, first: int, last: int) -> dict[int, bytes]:
        """The encoded bodies of the readings in ``[first..last]``, by number."""
        query = "SELECT seq, body FROM readings WHERE seq BETWEEN ? AND ? ORDER BY seq"
        return dict(self._db.execute(query, (first, last)))


def _sync_folder(folder: Path) -> None:
    """Have the new file's name survive a power cut, as its content does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
