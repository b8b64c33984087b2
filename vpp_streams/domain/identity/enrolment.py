"""Whether a device gets a certificate: for a one-time code, or for its present certificate."""

import base64
import binascii
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from edge.identity.enrolment import RENEWAL_PREFIX
from schemas.identity import EnrolmentCode
from vpp_streams.domain.identity.authority import DEVICE_URI, begins_ms, ends_ms
from vpp_streams.domain.identity.certificate_requests import MAX_PEM, UNREADABLE, DeviceKey
from vpp_streams.domain.identity.refusals import Refused, Subject, Word, new_code
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.registry import Registry

_UNKNOWN = Refused("unknown_code", "no such code: check each letter, or ask for a new one")


class Proof(NamedTuple):
    """What a device shows for a renewal, as it was received."""

    certificate_pem: str
    """Its present certificate."""
    signature_base64: str
    """ECDSA with SHA-256 by that certificate's key, DER, over `RENEWAL_PREFIX` and the request."""


def subject_of_code(
    code: EnrolmentCode | None,
    spent_on: str | None,
    key: DeviceKey,
    registry: Registry,
    revocations: Revocations,
    *,
    now_ms: int,
) -> Subject | Refused:
    """The device that a code enrols.

    ``spent_on`` is the digest of the key that used it first. The same key may use it again until
    it expires, as an answer may be lost on its way; no other key may.
    """
    if code is None:
        return _UNKNOWN
    device_id = code.device_id
    if now_ms >= code.expires_at_ms:
        return _needs_code("expired_code", "the code has expired", device_id)
    if spent_on not in (None, key.sha256):
        return _needs_code("used_code", "the code was used by another key", device_id, 409)
    if revocations.concerns(device_id, code.made_at_ms):
        return _needs_code("revoked", f"{device_id} was revoked since", device_id)
    subject = registered(device_id, registry)
    if isinstance(subject, Subject) and subject.site_id != code.site_id:
        return _needs_code("moved", f"{device_id} is at another site now", device_id, 409)
    return subject


def subject_of_renewal(
    proof: Proof,
    key: DeviceKey,
    root: x509.Certificate,
    registry: Registry,
    revocations: Revocations,
    *,
    now_ms: int,
) -> Subject | Refused:
    """The device that renews: its present certificate holds, and its key signed the request."""
    old = _issued_by(root, proof.certificate_pem)
    if isinstance(old, Refused):
        return old
    device_id = device_of(old)
    if device_id is None:
        return Refused("unknown_certificate", "this is not a device's certificate")
    if not _has_signed(old, proof.signature_base64, key.request_der):
        return Refused("bad_signature", "the request is not signed by the certificate's key")
    if now_ms >= ends_ms(old):
        return _needs_code("expired_certificate", "the certificate has expired", device_id)
    if revocations.concerns(device_id, begins_ms(old)):
        return _needs_code("revoked", "the certificate was revoked", device_id)
    if now_ms < begins_ms(old):
        return Refused(
            "not_yet_valid",
            "the certificate does not hold yet: check the clocks",
            device_id=device_id,
        )
    return registered(device_id, registry)


def registered(device_id: str, registry: Registry) -> Subject | Refused:
    """A device with its site, if the registry has it."""
    entry = registry.device(device_id)
    if entry is None:
        return Refused(
            "not_registered",
            f"device {device_id} is not in the registry; the operator adds it"
            " (`vpp assets import`)",
            device_id=device_id,
        )
    return Subject(device_id, entry[1].site_id)


def device_of(certificate: x509.Certificate) -> str | None:
    """Id of the device that a certificate of ours speaks for; None = it is no device's."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, *UNREADABLE):
        return None
    found = [uri.removeprefix(DEVICE_URI) for uri in uris if uri.startswith(DEVICE_URI)]
    return found[0] if len(found) == 1 else None


def _needs_code(word: Word, why: str, device_id: str, status: int = 403) -> Refused:
    return Refused(word, f"{why}; {new_code(device_id)}", status, device_id)


def _issued_by(root: x509.Certificate, pem: str) -> x509.Certificate | Refused:
    if len(pem) > MAX_PEM:
        return Refused("bad_request", f"a certificate has at most {MAX_PEM} characters", 400)
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except UNREADABLE:
        return Refused("bad_request", "this is no certificate in PEM", 400)
    try:
        certificate.verify_directly_issued_by(root)
    except (InvalidSignature, *UNREADABLE):
        return Refused("unknown_certificate", "this authority has not signed the certificate")
    return certificate


def _has_signed(certificate: x509.Certificate, signature_base64: str, request_der: bytes) -> bool:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        signature = base64.b64decode(signature_base64, validate=True)
        key.verify(signature, RENEWAL_PREFIX + request_der, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, *UNREADABLE):
        return False
    return True
