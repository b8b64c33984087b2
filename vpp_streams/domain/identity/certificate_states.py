"""The state of each device's newest certificate, for people."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from schemas.identity import IssuedCertificate
from vpp_streams.domain.identity.revocations import Revocations

State = Literal["valid", "expires_soon", "expired", "revoked"]
_RENEWAL_OVERDUE = 5 / 6
"""Of its life; a device renews when two thirds are over, so one that has not by then cannot."""


class Standing(NamedTuple):
    """A device's newest certificate."""

    certificate: IssuedCertificate
    state: State


def standings(
    issued: Iterable[IssuedCertificate], revocations: Revocations, now_ms: int
) -> Iterator[Standing]:
    """The newest certificate of each device, by device id."""
    newest: dict[str, IssuedCertificate] = {}
    for one in issued:
        known = newest.get(one.device_id)
        if known is None or known.issued_at_ms <= one.issued_at_ms:
            newest[one.device_id] = one
    for _, one in sorted(newest.items()):
        yield Standing(one, _state(one, revocations, now_ms))


def _state(one: IssuedCertificate, revocations: Revocations, now_ms: int) -> State:
    if revocations.concerns(one.device_id, one.not_before_ms):
        return "revoked"
    if now_ms >= one.not_after_ms:
        return "expired"
    life_ms = one.not_after_ms - one.issued_at_ms
    soon = now_ms - one.issued_at_ms >= _RENEWAL_OVERDUE * life_ms
    return "expires_soon" if soon else "valid"
