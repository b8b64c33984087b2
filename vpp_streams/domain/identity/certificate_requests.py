"""What is taken from a certificate signing request: its public key, and nothing else.

The names in a request are not read: a device is what its code or its old certificate says.
"""

import hashlib
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vpp_streams.domain.identity.refusals import Refused

MAX_PEM = 8192
"""The longest certificate or request that is read, characters."""
UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)
"""What `cryptography` raises for bytes that it cannot take."""


class DeviceKey(NamedTuple):
    """A public key whose private half the device has shown to hold."""

    public_key: ec.EllipticCurvePublicKey
    sha256: str
    """Hex digest of its SubjectPublicKeyInfo (DER)."""
    request_der: bytes
    """The request that it was read from."""


def read_request(pem: str) -> DeviceKey | Refused:
    """The key of a signing request (PEM): ECDSA on P-256, with a valid signature by that key."""
    if len(pem) > MAX_PEM:
        return _bad(f"a certificate request has at most {MAX_PEM} characters")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key = request.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            return _bad("the key has to be an ECDSA key on curve P-256 (secp256r1)")
        if not request.is_signature_valid:
            return _bad("the request is not signed by its own key")
        return DeviceKey(key, key_digest(key), request.public_bytes(Encoding.DER))
    except UNREADABLE:
        return _bad("this is no PKCS #10 certificate request in PEM")


def key_digest(key: ec.EllipticCurvePublicKey) -> str:
    """Hex SHA-256 of a public key's SubjectPublicKeyInfo (DER)."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _bad(sentence: str) -> Refused:
    return Refused("bad_certificate_request", sentence, 400)
