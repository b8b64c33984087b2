"""The certificate authority: what it signs, for whom and for how long.

Everything is ECDSA on P-256. Keys and random bytes are arguments, and signatures are deterministic
(RFC 6979), so the same arguments give the same certificate.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vpp_streams.domain.identity.refusals import Subject
from vpp_streams.domain.moments import DAY_MS, HOUR_MS

BACKDATED_MS = HOUR_MS
"""A certificate begins this long before it is signed, because a home's clock may be slow; a short
one begins at most a tenth of its life before."""
ROOT_LIFE_MS = 20 * 365 * DAY_MS
SERIAL_BYTES = 20
DEVICE_URI, SITE_URI = "vpp:device/", "vpp:site/"
_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class Authority(NamedTuple):
    """The authority's certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Validity(NamedTuple):
    """From when until when a certificate holds, ms since 1970 UTC, in seconds."""

    begins_ms: int
    ends_ms: int


def serial_of(chance: bytes) -> int:
    """A positive serial number of at most 159 bits from `SERIAL_BYTES` random bytes."""
    return int.from_bytes(chance[:SERIAL_BYTES], "big") >> 1 or 1


def validity(now_ms: int, life_ms: int, revoked_at_ms: int | None = None) -> Validity:
    """The validity of a certificate that is signed now.

    After a revocation it begins later than that, or it would be revoked as well.
    """
    begins_ms = now_ms - min(BACKDATED_MS, life_ms // 10)
    if revoked_at_ms is not None:
        begins_ms = max(begins_ms, revoked_at_ms + 1000)
    return Validity(begins_ms // 1000 * 1000, (now_ms + life_ms) // 1000 * 1000)


def make_root(key: ec.EllipticCurvePrivateKey, name: str, serial: int, now_ms: int) -> Authority:
    """A new authority, whose certificate its own key signs."""
    subject = _name(name)
    builder = (
        _builder(subject, subject, key.public_key(), serial, validity(now_ms, ROOT_LIFE_MS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(_signed(builder, key), key)


def device_certificate(
    authority: Authority,
    subject: Subject,
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    validity_: Validity,
) -> x509.Certificate:
    """A device's certificate, for TLS clients only.

    The device's id is its common name and, as a URI, among its alternative names, as is its site.
    It ends with the authority's own certificate at the latest.
    """
    names = [DEVICE_URI + subject.device_id, SITE_URI + subject.site_id]
    return _leaf(
        authority,
        _builder(
            _name(subject.device_id),
            authority.certificate.subject,
            public_key,
            serial,
            _within(validity_, authority),
        ),
        [x509.UniformResourceIdentifier(name) for name in names],
        ExtendedKeyUsageOID.CLIENT_AUTH,
    )


def server_certificate(
    authority: Authority,
    names: Sequence[str],
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    validity_: Validity,
) -> x509.Certificate:
    """A certificate for a TLS server at these host names or IP addresses."""
    builder = _builder(
        _name(names[0][:64]),
        authority.certificate.subject,
        public_key,
        serial,
        _within(validity_, authority),
    )
    return _leaf(authority, builder, map(_host, names), ExtendedKeyUsageOID.SERVER_AUTH)


def pem_of(certificate: x509.Certificate) -> str:
    """A certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()


def fingerprint(certificate: x509.Certificate) -> str:
    """Hex SHA-256 of a certificate; a device checks the authority by it at its first contact."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def ends_ms(certificate: x509.Certificate) -> int:
    """The end of a certificate's validity, ms since 1970 UTC."""
    return round(certificate.not_valid_after_utc.timestamp() * 1000)


def begins_ms(certificate: x509.Certificate) -> int:
    """The beginning of a certificate's validity, ms since 1970 UTC."""
    return round(certificate.not_valid_before_utc.timestamp() * 1000)


def _leaf(
    authority: Authority,
    builder: x509.CertificateBuilder,
    names: Iterable[x509.GeneralName],
    use: x509.ObjectIdentifier,
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    complete = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(issuer, critical=False)
    )
    return _signed(complete, authority.key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    serial: int,
    validity_: Validity,
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public_key,
        serial_number=serial,
        not_valid_before=_moment(validity_.begins_ms),
        not_valid_after=_moment(validity_.ends_ms),
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def _within(validity_: Validity, authority: Authority) -> Validity:
    return validity_._replace(ends_ms=min(validity_.ends_ms, ends_ms(authority.certificate)))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _USES})


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
