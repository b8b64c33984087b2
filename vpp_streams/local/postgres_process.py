"""A PostgreSQL server of one's own, for tests and benchmarks: a new database, reached by a socket.

It listens on no port, and ends with the process that started it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import psycopg

from vpp_streams.errors import LedgerError

START_S = 180.0
"""Seconds on an idle machine; so long only where many others work on it."""
WAY_OUT = "no PostgreSQL server: install it (Debian: apt-get install postgresql)"
_DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps the server's programs here by version, and not in PATH."""
USER = "vpp"
_STILL_THERE = "still in use"
"""Said by a server while processes of a killed one are ending."""


def find_postgres() -> Path | None:
    """The directory of the server's programs, of the newest version; None where there is none."""
    installed = [p.parent for p in _DEBIAN.glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda bin_: int(bin_.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class PostgresServer:
    """One server on a directory of its own. Root may not run it, so another user does then."""

    def __init__(self, programs: Path, directory: Path, options: tuple[str, ...] = ()) -> None:
        self._programs = programs
        self._directory = directory
        self._options = options
        self._as_user = _as_other_user()
        self._process: subprocess.Popen[bytes] | None = None
        self._launches = 0

    @property
    def url(self) -> str:
        """URL of the database ``postgres``, for VPP_LEDGER."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """URL of one of its databases."""
        return f"postgresql://{USER}@/{database}?host={self._directory}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def create(self) -> None:
        """Create the directory's files, once. Raises `LedgerError`."""
        if self._as_user:
            shutil.chown(self._directory, *_other_user())
        command = ["initdb", "-D", "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
        try:
            done = subprocess.run(
                [
                    *self._as_user,
                    str(self._programs / command[0]),
                    *command[1:],
                    "--locale=C.UTF-8",
                ],
                cwd=self._directory,
                capture_output=True,
                text=True,
                check=False,
                timeout=START_S,
            )
        except subprocess.TimeoutExpired:
            raise LedgerError(f"initdb has not ended after {START_S:.0f} s") from None
        if done.returncode:
            raise LedgerError(f"initdb failed: {done.stderr.strip().splitlines()[-1]}")

    def start(self) -> None:
        """Start it, and return once it answers. Raises `LedgerError`."""
        settings = [word for option in self._options for word in ("-c", option)]
        command = [str(self._programs / "postgres"), "-D", "data", "-k", str(self._directory)]
        command += ["-c", "listen_addresses=", *settings]
        give_up_s = time.monotonic() + START_S
        self._process = self._launch(command)
        while not self._answers():
            if time.monotonic() > give_up_s:
                raise LedgerError(f"PostgreSQL does not start: {self._last_line()}")
            if self._process.poll() is not None:
                if _STILL_THERE not in self._last_line():
                    raise LedgerError(f"PostgreSQL does not start: {self._last_line()}")
                self._process = self._launch(command)
            time.sleep(0.05)

    @property
    def _log(self) -> Path:
        """Of the newest launch alone: processes of a killed server still write to its own."""
        return self._directory / f"server-{self._launches}.log"

    def _launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        self._launches += 1
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*self._as_user, *command],
                cwd=self._directory,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def _last_line(self) -> str:
        """Of the log: why the server ended."""
        lines = self._log.read_text(errors="replace").splitlines()
        said = [line for line in lines if "FATAL" in line]
        return (said or lines or ["no reason"])[-1]

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=5):
            return True
        return False

    def kill(self) -> None:
        """End it as a crash does. Its other processes notice, and end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it at once, in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=START_S)
            except subprocess.TimeoutExpired:
                self.kill()


def _other_user() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            found = pwd.getpwnam(name)
            return found.pw_uid, found.pw_gid
    raise LedgerError("root may not run PostgreSQL, and there is no user postgres or nobody")


def _as_other_user() -> list[str]:
    setpriv = shutil.which("setpriv")
    ends_with_us = [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if os.geteuid() != 0:
        return ends_with_us
    if not ends_with_us:
        raise LedgerError("root may not run PostgreSQL, and there is no setpriv to be another user")
    uid, gid = _other_user()
    return [*ends_with_us, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]


@contextmanager
def running_postgres(*options: str) -> Iterator[PostgresServer]:
    """A new server during the block; its directory is removed after it. Raises `LedgerError`.

    ``options`` are settings of the server, ``name=value``.
    """
    programs = find_postgres()
    if programs is None:
        raise LedgerError(WAY_OUT)
    directory = Path(mkdtemp(prefix="vpp-postgres-"))
    server = PostgresServer(programs, directory, options)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
