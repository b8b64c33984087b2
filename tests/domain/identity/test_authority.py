"""What the authority signs: names, uses, validity; and that TLS agrees."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.identity_world import LIFE_MS, NOW_MS, PW_1, new_authority
from vpp_streams.domain.identity.authority import (
    BACKDATED_MS,
    ROOT_LIFE_MS,
    Validity,
    begins_ms,
    device_certificate,
    ends_ms,
    fingerprint,
    pem_of,
    serial_of,
    server_certificate,
    validity,
)
from vpp_streams.domain.identity.enrolment import device_of

KEY = ec.generate_private_key(ec.SECP256R1())


def test_a_device_certificate_names_the_device_and_its_site() -> None:
    authority = new_authority()
    made = device_certificate(authority, PW_1, KEY.public_key(), 77, validity(NOW_MS, LIFE_MS))
    made.verify_directly_issued_by(authority.certificate)
    assert device_of(made) == "pw-1"
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["vpp:device/pw-1", "vpp:site/home-1"]
    uses = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert made.serial_number == 77
    assert (begins_ms(made), ends_ms(made)) == (NOW_MS - BACKDATED_MS, NOW_MS + LIFE_MS)
    assert made.not_valid_after_utc == datetime.fromtimestamp((NOW_MS + LIFE_MS) / 1000, UTC)


def test_the_same_arguments_give_the_same_bytes() -> None:
    authority = new_authority()
    valid = validity(NOW_MS, LIFE_MS)
    one, other = (device_certificate(authority, PW_1, KEY.public_key(), 5, valid) for _ in "12")
    assert pem_of(one) == pem_of(other)
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one) != fingerprint(authority.certificate)


def test_a_server_certificate_is_no_devices() -> None:
    authority = new_authority()
    names = ["gateway.example", "192.0.2.1", "2001:db8::1"]
    made = server_certificate(authority, names, KEY.public_key(), 6, validity(NOW_MS, LIFE_MS))
    assert device_of(made) is None
    found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["gateway.example"]
    assert [str(ip) for ip in found.get_values_for_type(x509.IPAddress)] == names[1:]
    uses = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_authority_signs_no_other_authority_and_outlives_what_it_signs() -> None:
    authority = new_authority()
    limits = authority.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (limits.value.ca, limits.value.path_length, limits.critical) == (True, 0, True)
    late = NOW_MS + ROOT_LIFE_MS - 1000
    made = device_certificate(authority, PW_1, KEY.public_key(), 8, validity(late, LIFE_MS))
    assert ends_ms(made) == ends_ms(authority.certificate)


@pytest.mark.parametrize(
    ("life_ms", "revoked_at_ms", "expected"),
    [
        (LIFE_MS, None, Validity(NOW_MS - BACKDATED_MS, NOW_MS + LIFE_MS)),
        (10_000, None, Validity(NOW_MS - 1000, NOW_MS + 10_000)),
        (LIFE_MS, NOW_MS - 1, Validity(NOW_MS, NOW_MS + LIFE_MS)),
        (LIFE_MS, NOW_MS, Validity(NOW_MS + 1000, NOW_MS + LIFE_MS)),
        (LIFE_MS, NOW_MS - 2 * BACKDATED_MS, Validity(NOW_MS - BACKDATED_MS, NOW_MS + LIFE_MS)),
    ],
)
def test_validity_begins_early_but_after_a_revocation(
    life_ms: int, revoked_at_ms: int | None, expected: Validity
) -> None:
    found = validity(NOW_MS, life_ms, revoked_at_ms)
    assert found == expected
    if revoked_at_ms is not None:
        assert found.begins_ms > revoked_at_ms


def test_serial_numbers_are_positive_and_fit() -> None:
    assert serial_of(bytes(20)) == 1
    assert serial_of(b"\xff" * 20).bit_length() == 159
