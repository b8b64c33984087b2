"""What a device's certificate says, and the connections whose credentials hold no longer.

TLS has verified a certificate before it arrives here: signed by the CA, valid at that moment, not
on the list of revoked ones.
"""

import ssl
from collections.abc import Collection, Hashable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from schemas.protocol import CLOSE_CERTIFICATE_EXPIRED, CLOSE_REVOKED
from vpp_streams.domain.identity.revocations import Revocations

K = TypeVar("K", bound=Hashable)
NEVER_MS = 2**63


class ClientCertificate(NamedTuple):
    """A verified client certificate."""

    names: frozenset[str]
    """Its common name, and its DNS and URI names."""
    serial: int
    begins_ms: int
    ends_ms: int
    """Its validity, ms since 1970 UTC."""


class Ended(NamedTuple, Generic[K]):
    """A connection whose credentials hold no longer."""

    connection: K
    code: int
    reason: str


class Credentials(Generic[K]):
    """What each open connection was let in with."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations
        self._shown: dict[K, tuple[str, ClientCertificate | None]] = {}
        self._new: list[K] = []
        """Opened since the last look: they may have been admitted before something changed."""
        self._looked_at: tuple[int, Collection[int]] = (0, ())
        self._next_end_ms = NEVER_MS

    def opened(self, connection: K, device_id: str, shown: ClientCertificate | None) -> None:
        """A device was let in with this certificate; None = with its token."""
        self._shown[connection] = device_id, shown
        self._new.append(connection)

    def closed(self, connection: K) -> None:
        """The connection is over."""
        self._shown.pop(connection, None)

    def ended(self, revoked_serials: Collection[int], now_ms: int) -> list[Ended[K]]:
        """The connections to close; cheap where nothing has changed and nothing ends.

        ``revoked_serials`` is the CA's own list; ``now_ms`` is UTC.
        """
        state = self._revocations.version, revoked_serials
        new, self._new = self._new, []
        if state == self._looked_at and now_ms < self._next_end_ms:
            look_at = new
        else:
            look_at, self._looked_at, self._next_end_ms = list(self._shown), state, NEVER_MS
        found = (self._end_of(connection, revoked_serials, now_ms) for connection in look_at)
        return [end for end in found if end is not None]

    def _end_of(
        self, connection: K, revoked_serials: Collection[int], now_ms: int
    ) -> Ended[K] | None:
        if connection not in self._shown:
            return None
        device_id, shown = self._shown[connection]
        listed = shown is not None and shown.serial in revoked_serials
        if listed or self._revocations.concerns(device_id, shown.begins_ms if shown else None):
            return Ended(connection, CLOSE_REVOKED, "revoked: a new code is needed")
        if shown is None:
            return None
        if now_ms >= shown.ends_ms:
            reason = "the certificate has expired: renew it or enrol again"
            return Ended(connection, CLOSE_CERTIFICATE_EXPIRED, reason)
        self._next_end_ms = min(self._next_end_ms, shown.ends_ms)
        return None


def client_certificate(peer: Mapping[str, Any] | None) -> ClientCertificate | None:
    """What `ssl.SSLObject.getpeercert` returns, as a value; None = no certificate was shown."""
    if not peer:
        return None
    subject = {
        value for rdn in peer.get("subject", ()) for name, value in rdn if name == "commonName"
    }
    alternative = {
        value for kind, value in peer.get("subjectAltName", ()) if kind in ("DNS", "URI")
    }
    return ClientCertificate(
        frozenset(subject | alternative),
        int(peer["serialNumber"], 16),
        ssl.cert_time_to_seconds(peer["notBefore"]) * 1000,
        ssl.cert_time_to_seconds(peer["notAfter"]) * 1000,
    )
