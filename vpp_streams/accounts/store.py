"""The file of accounts: SQLite, private to its owner, with a numbered schema.

The standard library's sqlite3 is enough: the queries are short, nothing else reads the file, and
one machine has it. Several web processes on that machine may share it.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vpp_streams.errors import SettingsError
from vpp_streams.process.private_files import private_directory

VERSION = 1
BUSY_S = 5.0
"""How long a statement waits for another process's write, s."""
_SCHEMA = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    email TEXT UNIQUE COLLATE NOCASE,
    subject TEXT UNIQUE,
    password TEXT,
    totp_secret TEXT,
    totp_pending TEXT,
    totp_last_step INTEGER NOT NULL DEFAULT 0,
    made_at_ms INTEGER NOT NULL,
    disabled_at_ms INTEGER
) STRICT;
CREATE TABLE role (
    account_id INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    scope TEXT NOT NULL,
    PRIMARY KEY (account_id, role, scope)
) STRICT;
CREATE TABLE session (
    digest TEXT PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    how TEXT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    made_at_ms INTEGER NOT NULL,
    seen_at_ms INTEGER NOT NULL,
    ends_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE token (
    digest TEXT PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    actions TEXT NOT NULL,
    made_at_ms INTEGER NOT NULL,
    ends_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE link (
    digest TEXT PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    ends_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE oidc_request (
    digest TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    ends_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE audit (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, event BLOB NOT NULL) STRICT;
"""


class Store:
    """A connection to the file, or to a store in memory if there is no file."""

    def __init__(self, path: Path | None) -> None:
        """Open the file, and create it if it is missing. Raises `SettingsError`."""
        where = ":memory:" if path is None else str(path)
        try:
            if path is not None:
                _create_private(path)
            self._db = sqlite3.connect(
                where, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")
            self._migrate()
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"the file of accounts {where} cannot be used: {error}") from None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Every row of a query."""
        return self._db.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        found: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        return found

    def change(self, statement: str, *values: Any) -> int:
        """Execute a statement that changes rows; returns their number."""
        return self._db.execute(statement, values).rowcount

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make the changes of the body all at once, or none of them if it raises."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _migrate(self) -> None:
        with self.together():
            [[version]] = self.rows("PRAGMA user_version")
            if version > VERSION:
                raise SettingsError(
                    f"the file of accounts is of version {version}, and this program knows"
                    f" {VERSION}: use the newer program"
                )
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")


def _create_private(path: Path) -> None:
    """Create the file for its owner only; SQLite gives its journals the same mode.

    Raises `SettingsError` if others can read a file that exists.
    """
    private_directory(path.parent)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"others can read the file of accounts: chmod 600 {path}") from None
