"""A home's key, certificate and authority in files, replaced so that they always fit together.

A new key is kept beside the present one (``*.new``) until its certificate is there: so an answer
of the server that was lost can be fetched again with the same key, and a computer that loses power
between two of the steps has a pair that fits when it starts again.
"""

import fcntl
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge.identity.enrolment import Granted, is_key_of


class IdentityBusyError(Exception):
    """Another process is replacing the files; in one sentence."""


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """Where they are. ``ca`` None = the gateway is verified by the system's authorities."""

    certificate: Path
    key: Path
    ca: Path | None

    @property
    def _new_key(self) -> Path:
        return self.key.with_name(f"{self.key.name}.new")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else enrol or renew meanwhile. Raises `IdentityBusyError` and `OSError`.

        The system lets go of the lock when the process ends, however it ends.
        """
        lock = self.key.with_name(f"{self.key.name}.lock")
        descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise IdentityBusyError(
                f"another process is enrolling or renewing with {self.key}, which takes a minute at"
                " most"
            ) from None
        try:
            yield
        finally:
            os.close(descriptor)

    def stamp(self) -> tuple[int, ...]:
        """A value that changes whenever a file is replaced."""
        found = []
        for path in (self.certificate, self.key, self.ca):
            with suppress(OSError):
                found.append(path.stat().st_mtime_ns if path is not None else 0)
        return tuple(found)

    def tls(self) -> ssl.SSLContext:
        """The context of a connection. Raises `OSError`, with `ssl.SSLError` among it."""
        self.complete()
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def pending_key(self) -> str | None:
        """The key (PEM) for which a certificate was requested and has not arrived."""
        try:
            return self._new_key.read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def keep_pending(self, key_pem: str) -> None:
        """Keep a key, before a certificate for it is requested."""
        _replace(self._new_key, key_pem, 0o600)

    def take(self, granted: Granted) -> None:
        """Put the pending key and its certificate in the place of the present ones."""
        if self.ca is not None and _text(self.ca) != granted.ca_pem:
            _replace(self.ca, granted.ca_pem, 0o644)
        _replace(self.certificate, granted.certificate_pem, 0o644)
        self.complete()

    def complete(self) -> None:
        """Do the last step of `take`, also where an earlier process could not do it any more."""
        pending, certificate = self.pending_key(), _text(self.certificate)
        if pending is not None and certificate is not None and is_key_of(pending, certificate):
            with suppress(FileNotFoundError):  # another process has just done it
                os.replace(self._new_key, self.key)
            _sync(self.key.parent)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _replace(path: Path, text: str, mode: int) -> None:
    """Replace a file as a whole: whoever reads it finds the old text or the new one."""
    half = path.with_name(f"{path.name}.{os.getpid()}.half")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.replace(half, path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
