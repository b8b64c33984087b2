"""What a signing request has to be, whatever bytes arrive."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from edge.identity.enrolment import make_request
from vpp_streams.domain.identity.certificate_requests import (
    MAX_PEM,
    DeviceKey,
    key_digest,
    read_request,
)
from vpp_streams.domain.identity.refusals import Refused

GOOD = make_request("pw-1").pem
P256 = ec.generate_private_key(ec.SECP256R1())


def request_of(key: CertificateIssuerPrivateKeyTypes, name: str = "root") -> str:
    """A request that asks to be an authority of any name, which is not for it to say."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    asked = x509.CertificateSigningRequestBuilder(subject).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return asked.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def test_only_the_key_is_taken() -> None:
    found = read_request(request_of(P256))
    assert isinstance(found, DeviceKey)
    assert found.sha256 == key_digest(P256.public_key())


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_other_keys_are_refused(key: CertificateIssuerPrivateKeyTypes) -> None:
    found = read_request(request_of(key))
    assert isinstance(found, Refused)
    assert "P-256" in found.sentence


def test_a_request_that_another_key_signed_is_refused() -> None:
    der = bytearray(x509.load_pem_x509_csr(GOOD.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    try:
        tampered = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    except ValueError:
        pytest.fail("the signature was to stay readable")
    found = read_request(tampered)
    assert isinstance(found, Refused)
    assert found.sentence == "the request is not signed by its own key"


@pytest.mark.parametrize(
    "text", ["", "x", GOOD[:-80], "é", "\x00", GOOD.replace("A", "B"), "\ud800"]
)
def test_what_is_no_request_is_refused(text: str) -> None:
    found = read_request(text)
    assert isinstance(found, Refused)
    assert (found.word, found.status) == ("bad_certificate_request", 400)


def test_a_long_text_is_not_parsed() -> None:
    found = read_request(GOOD + " " * MAX_PEM)
    assert isinstance(found, Refused)
    assert str(MAX_PEM) in found.sentence


@given(st.binary(max_size=40), st.integers(0, 600))
def test_any_change_of_a_request_is_refused_or_changes_nothing(what: bytes, at: int) -> None:
    der = x509.load_pem_x509_csr(GOOD.encode()).public_bytes(Encoding.DER)
    changed = der[: at % len(der)] + what + der[at % len(der) + len(what) :]
    pem = (
        "-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(changed).decode()
        + "-----END CERTIFICATE REQUEST-----\n"
    )
    found = read_request(pem)
    assert isinstance(found, Refused) or changed == der
