"""Which devices were revoked, and which of their credentials that concerns."""

from schemas.identity import Revocation


class Revocations:
    """The newest revocation of each device."""

    def __init__(self) -> None:
        self.version = 0
        """Rises with each change."""
        self._newest: dict[str, Revocation] = {}

    def apply(self, record: Revocation) -> None:
        """Apply a record of ``identity.revocations``; an older one changes nothing."""
        known = self._newest.get(record.device_id)
        if known is None or known.at_ms < record.at_ms:
            self._newest[record.device_id] = record
            self.version += 1

    def of(self, device_id: str) -> Revocation | None:
        """The newest revocation of a device."""
        return self._newest.get(device_id)

    def concerns(self, device_id: str, begins_ms: int | None) -> bool:
        """Whether credentials that begin to hold at ``begins_ms`` are revoked (None = a token)."""
        revocation = self._newest.get(device_id)
        if revocation is None:
            return False
        return begins_ms is None or begins_ms <= revocation.at_ms
