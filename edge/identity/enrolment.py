"""A device's side of enrolment and renewal, as pure functions.

The agent in a home uses this file by itself: it imports `cryptography` and nothing of this project.
A device makes its key here and never gives it away; it sends a signing request, and receives a
certificate. `edge/identity/enrolment_http.py` carries the messages.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RENEWAL_PREFIX = b"vpp renewal v1\n"
"""Before the request (DER) in what the old key signs for a renewal, so that the signature is of
nothing else."""
RENEW_AFTER = 2 / 3
"""Share of a certificate's life after which it is renewed."""
RENEW_SPREAD = 0.05
"""Share of its life over which the devices of a fleet spread their renewals."""
REVOKED = "revoked"
"""Word of the refusal of a device that the operator has revoked."""
NEEDS_CODE = frozenset(
    {"unknown_code", "expired_code", "used_code", REVOKED, "moved", "not_registered",
     "unknown_certificate", "expired_certificate"}
)  # fmt: skip
"""Words of refusals after which trying again does not help: the operator has to act."""

Step = Literal["wait", "renew", "enrol"]


@dataclass(frozen=True)
class Request:
    """A new key, and the signing request for it."""

    key_pem: str
    """The private key (PKCS #8, PEM): for a file that only the agent can read."""
    pem: str


@dataclass(frozen=True)
class Granted:
    """The server's answer with a certificate."""

    certificate_pem: str
    ca_pem: str
    """The authority's certificate: the gateway's is to be verified against it."""


@dataclass(frozen=True)
class Refused:
    """The server's answer without a certificate."""

    word: str
    """Stable; "" where the answer is not the server's."""
    sentence: str
    """What is wrong and the way out, for people."""

    @property
    def needs_code(self) -> bool:
        """Whether only the operator can help, with a new one-time code."""
        return self.word in NEEDS_CODE


def make_request(device_id: str, key_pem: str | None = None) -> Request:
    """An ECDSA key on P-256 (a new one, if none is given) and a signing request for it.

    The name in the request is for people; the server takes the identity from the code. Raises
    `ValueError` if the given key is none.
    """
    key = ec.generate_private_key(ec.SECP256R1()) if key_pem is None else _key_of(key_pem)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    request = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Request(pem.decode(), request.public_bytes(serialization.Encoding.PEM).decode())


def is_expected_ca(ca_pem: str, fingerprint: str) -> bool:
    """Whether a certificate is that of the authority whose fingerprint came with the code.

    ``fingerprint`` is its SHA-256 in hex, with or without colons.
    """
    try:
        der = x509.load_pem_x509_certificate(ca_pem.encode()).public_bytes(
            serialization.Encoding.DER
        )
    except (ValueError, x509.InvalidVersion):
        return False
    return hashlib.sha256(der).hexdigest() == fingerprint.replace(":", "").strip().lower()


def enrol_body(code: str, request_pem: str) -> bytes:
    """The body of ``POST /v1/enrol``."""
    return json.dumps({"code": code, "request": request_pem}).encode()


def renewal_body(certificate_pem: str, key_pem: str, request_pem: str) -> bytes:
    """The body of ``POST /v1/renew``: the present certificate's key signs the new request."""
    key = _key_of(key_pem)
    der = x509.load_pem_x509_csr(request_pem.encode()).public_bytes(serialization.Encoding.DER)
    signature = key.sign(RENEWAL_PREFIX + der, ec.ECDSA(hashes.SHA256()))
    body = {
        "certificate": certificate_pem,
        "request": request_pem,
        "signature": base64.b64encode(signature).decode(),
    }
    return json.dumps(body).encode()


def read_answer(status: int, body: bytes, request_pem: str) -> Granted | Refused:
    """The server's answer; a certificate of another key than the request's is refused."""
    try:
        answer = json.loads(body)
        if status != 200:
            return Refused(str(answer["code"]), str(answer["error"]))
        granted = Granted(str(answer["certificate"]), str(answer["ca"]))
        certificate = x509.load_pem_x509_certificate(granted.certificate_pem.encode())
        request = x509.load_pem_x509_csr(request_pem.encode())
    except (ValueError, KeyError, TypeError, x509.InvalidVersion):
        return Refused("", f"the answer (status {status}) is not one of an enrolment server")
    if certificate.public_key() != request.public_key():
        return Refused("", "the certificate is not for the key of this device")
    return granted


def is_key_of(key_pem: str, certificate_pem: str) -> bool:
    """Whether a key and a certificate, both PEM, belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        return certificate.public_key() == _key_of(key_pem).public_key()
    except (ValueError, x509.InvalidVersion):
        return False


def renew_at_ms(certificate_pem: str, draw: float) -> int:
    """When to renew, ms since 1970 UTC; ``draw`` from 0 to 1 spreads the devices of a fleet."""
    begins_ms, ends_ms = validity_ms(certificate_pem)
    return round(begins_ms + (RENEW_AFTER + RENEW_SPREAD * draw) * (ends_ms - begins_ms))


def next_step(certificate_pem: str | None, now_ms: int, draw: float) -> Step:
    """What a device has to do now: with no certificate, or an expired one, it needs a code."""
    if certificate_pem is None or now_ms >= validity_ms(certificate_pem)[1]:
        return "enrol"
    return "renew" if now_ms >= renew_at_ms(certificate_pem, draw) else "wait"


def _key_of(key_pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(key_pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an ECDSA key")
    return key


def validity_ms(certificate_pem: str) -> tuple[int, int]:
    """When a certificate begins and ends, ms since 1970 UTC."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return round(begins.timestamp() * 1000), round(ends.timestamp() * 1000)
