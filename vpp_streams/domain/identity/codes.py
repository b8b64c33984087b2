"""One-time codes: their text, their digest, and the fold of their outcomes.

A code has 100 random bits, so its plain SHA-256 digest gives nothing away, and looking a digest up
takes no measurable time that would help to guess one.
"""

import hashlib
from typing import NamedTuple

from schemas.identity import EnrolmentCode, Redemption
from vpp_streams.domain.identity.refusals import Subject

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: without I, L, O and U, which are misread."""
CODE_LENGTH = 20
_GROUP = 5
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def code_of(chance: bytes) -> str:
    """A code as it is printed, in groups of five; ``chance`` is `CODE_LENGTH` random bytes."""
    letters = "".join(ALPHABET[byte % len(ALPHABET)] for byte in chance[:CODE_LENGTH])
    return "-".join(letters[i : i + _GROUP] for i in range(0, CODE_LENGTH, _GROUP))


def digest_of(code: str) -> str:
    """The hex SHA-256 digest of a code, however it was typed: dashes, spaces, case, O for 0."""
    return hashlib.sha256(code.upper().translate(_READ_AS).encode()).hexdigest()


class NewCode(NamedTuple):
    """A code that was made: its text, which is shown once, and its record."""

    text: str
    record: EnrolmentCode


def make_code(subject: Subject, chance: bytes, *, now_ms: int, life_ms: int) -> NewCode:
    """A code for a device; ``chance`` is `CODE_LENGTH` random bytes."""
    text = code_of(chance)
    record = EnrolmentCode(
        code_sha256=digest_of(text),
        device_id=subject.device_id,
        site_id=subject.site_id,
        made_at_ms=now_ms,
        expires_at_ms=now_ms + life_ms,
    )
    return NewCode(text, record)


class Codes:
    """The codes that were made, and the key that used each of them first."""

    def __init__(self) -> None:
        self._codes: dict[str, EnrolmentCode] = {}
        self._spent_on: dict[str, str] = {}

    def apply(self, record: EnrolmentCode | Redemption) -> None:
        """Apply a record of ``identity.codes``; the first redemption of a code counts."""
        match record:
            case EnrolmentCode():
                self._codes.setdefault(record.code_sha256, record)
            case Redemption():
                self._spent_on.setdefault(record.code_sha256, record.key_sha256)

    def code(self, digest: str) -> EnrolmentCode | None:
        """The code with this digest."""
        return self._codes.get(digest)

    def spent_on(self, digest: str) -> str | None:
        """Digest of the public key that used the code; None = nobody has used it."""
        return self._spent_on.get(digest)

    def __len__(self) -> int:
        return len(self._codes)
