"""Identity of devices: one-time codes, their outcomes, certificates and their revocation.

A secret is in none of these records: a code is stored as its digest, and a device's key never
leaves the device.
"""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import EpochMs, Id, Sentence

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
"""A SHA-256 digest in lower-case hex."""
Serial = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{1,40}(?!\n)$")]
"""A certificate's serial number in lower-case hex, without leading zeros."""
HowIssued = Literal["code", "renewal", "operator"]


class EnrolmentCode(msgspec.Struct, frozen=True, kw_only=True, tag="code"):
    """Topic ``identity.codes``, key code_sha256: a one-time code was made for a device."""

    code_sha256: Sha256
    """Digest of the code's letters and digits, without its dashes."""
    device_id: Id
    site_id: Id
    made_at_ms: EpochMs
    expires_at_ms: EpochMs


class Redemption(msgspec.Struct, frozen=True, kw_only=True, tag="redemption"):
    """Topic ``identity.codes``, key code_sha256 and attempt: a device asks to use a code.

    The first record of a code decides which key the code is spent on. The key of each record
    differs, so that compaction keeps the first one.
    """

    code_sha256: Sha256
    attempt: Serial
    """Random, so that no two attempts have the same name."""
    key_sha256: Sha256
    """Digest of the device's public key (SubjectPublicKeyInfo, DER)."""
    at_ms: EpochMs


class IssuedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``identity.certificates``, key serial: the authority signed a device's certificate."""

    serial: Serial
    device_id: Id
    site_id: Id
    key_sha256: Sha256
    """Digest of the device's public key (SubjectPublicKeyInfo, DER)."""
    issued_at_ms: EpochMs
    not_before_ms: EpochMs
    not_after_ms: EpochMs
    how: HowIssued


class Revocation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``identity.revocations``, key device_id: a device's credentials hold no longer.

    It applies to each certificate whose validity begins at ``at_ms`` or before, to each code made
    until then, and to the device's token. A certificate that is issued later begins later.
    """

    device_id: Id
    at_ms: EpochMs
    reason: Sentence = ""
