"""Why a device gets no certificate: a stable word, a sentence with the way out, an HTTP status."""

from typing import Literal, NamedTuple

Word = Literal[
    "bad_request",
    "too_large",
    "bad_certificate_request",
    "unknown_code",
    "expired_code",
    "used_code",
    "revoked",
    "not_registered",
    "moved",
    "unknown_certificate",
    "not_yet_valid",
    "expired_certificate",
    "bad_signature",
    "slowed",
    "unavailable",
]


class Refused(NamedTuple):
    """A request that gives no certificate."""

    word: Word
    sentence: str
    status: int = 403
    device_id: str = ""
    """The device, where it has shown which one it is."""


class Subject(NamedTuple):
    """The device that a certificate speaks for, and the site that it belongs to."""

    device_id: str
    site_id: str


def new_code(device_id: str) -> str:
    """How a device comes back whose certificate or code is of no use any more."""
    return f"ask the operator for a new code (`vpp ca code {device_id}`) and enrol with it"
