"""Secrets that prove who somebody is: random words, their digests, and passwords.

Random words have 256 bits: their SHA-256 can be stored, because nobody can try them all. Passwords
are hashed with Argon2id.
"""

import hashlib
import secrets
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from vpp_streams.errors import InputError

SHORTEST, LONGEST = 12, 256
"""Limits of a password's length, characters. There are no other rules (NIST SP 800-63B)."""


def new_word(kind: str) -> str:
    """A random word that cannot be guessed; ``kind`` makes it recognizable in a leak."""
    return f"{kind}_{secrets.token_urlsafe(32)}"


def digest_of(word: str) -> str:
    """The digest of a random word, which is what is stored."""
    return hashlib.sha256(word.encode(errors="replace")).hexdigest()


class Passwords:
    """Argon2id with the parameters of RFC 9106 for machines with little memory."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()

    @cached_property
    def _nobodys(self) -> str:
        """What a password is compared with where none is stored; made slowly, as any hash."""
        return self._hasher.hash(secrets.token_urlsafe(16))

    def hash(self, password: str) -> str:
        """The hash to store. Raises `InputError` if the password cannot be used."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise InputError(f"a password has {SHORTEST} to {LONGEST} characters")
        return self._hasher.hash(password)

    def fits(self, stored: str | None, password: str) -> bool:
        """Whether a password is the stored one; takes as long if there is none."""
        nobodys = self._nobodys  # always, or the first sign-in would show whether it was needed
        try:
            self._hasher.verify(stored or nobodys, password[: LONGEST + 1])
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)
