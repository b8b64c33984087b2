"""Who gets a certificate: for a code, and for a renewal."""

import base64
import json

import pytest

from edge.identity import enrolment as device
from schemas.assets import Site
from schemas.identity import EnrolmentCode, Revocation
from tests.support.identity_world import LIFE_MS, NOW_MS, PW_1, PW_2, home, new_authority
from vpp_streams.domain.identity.authority import (
    Authority,
    device_certificate,
    pem_of,
    server_certificate,
    validity,
)
from vpp_streams.domain.identity.certificate_requests import DeviceKey, read_request
from vpp_streams.domain.identity.enrolment import Proof, subject_of_code, subject_of_renewal
from vpp_streams.domain.identity.refusals import Refused, Subject
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.registry import Registry

AUTHORITY = new_authority()
OLD, NEW = device.make_request("pw-1"), device.make_request("pw-1")
CODE = EnrolmentCode(
    code_sha256="c" * 64,
    device_id="pw-1",
    site_id="home-1",
    made_at_ms=NOW_MS,
    expires_at_ms=NOW_MS + 1000,
)


def key_of(request: device.Request) -> DeviceKey:
    key = read_request(request.pem)
    assert isinstance(key, DeviceKey)
    return key


def revoked(at_ms: int) -> Revocations:
    revocations = Revocations()
    revocations.apply(Revocation(device_id="pw-1", at_ms=at_ms))
    return revocations


def with_code(
    code: EnrolmentCode | None = CODE,
    spent_on: str | None = None,
    registry: Registry | None = None,
    revocations: Revocations | None = None,
    now_ms: int = NOW_MS,
) -> Subject | str:
    found = subject_of_code(
        code,
        spent_on,
        key_of(NEW),
        registry or Registry([home(1)]),
        revocations or Revocations(),
        now_ms=now_ms,
    )
    return found.word if isinstance(found, Refused) else found


def test_a_code_is_for_one_device_one_key_and_a_time() -> None:
    assert with_code() == PW_1
    assert with_code(None) == "unknown_code"
    assert with_code(spent_on=key_of(NEW).sha256) == PW_1, "its answer may have been lost"
    assert with_code(spent_on=key_of(OLD).sha256) == "used_code"
    assert with_code(now_ms=NOW_MS + 999) == PW_1
    assert with_code(now_ms=NOW_MS + 1000) == "expired_code"


def test_a_code_is_for_a_registered_device_at_its_site() -> None:
    assert with_code(registry=Registry([home(2)])) == "not_registered"
    moved = Site("home-9", "north", home(1).devices)
    assert with_code(registry=Registry([moved])) == "moved"


def test_a_code_from_before_a_revocation_is_none_any_more() -> None:
    assert with_code(revocations=revoked(NOW_MS)) == "revoked"
    assert with_code(revocations=revoked(NOW_MS - 1)) == PW_1


def renewal(
    *,
    certificate: str | None = None,
    signer: device.Request = OLD,
    signed: device.Request = NEW,
    registry: Registry | None = None,
    revocations: Revocations | None = None,
    now_ms: int = NOW_MS,
) -> Subject | str:
    body = json.loads(
        device.renewal_body(certificate or certificate_of(OLD), signer.key_pem, signed.pem)
    )
    found = subject_of_renewal(
        Proof(body["certificate"], body["signature"]),
        key_of(NEW),
        AUTHORITY.certificate,
        registry or Registry([home(1)]),
        revocations or Revocations(),
        now_ms=now_ms,
    )
    return found.word if isinstance(found, Refused) else found


def certificate_of(
    request: device.Request, authority: Authority = AUTHORITY, subject: Subject = PW_1
) -> str:
    key, valid = key_of(request).public_key, validity(NOW_MS, LIFE_MS)
    return pem_of(device_certificate(authority, subject, key, 9, valid))


def test_a_certificate_that_holds_is_renewed_by_its_key() -> None:
    assert renewal() == PW_1
    assert renewal(signer=NEW) == "bad_signature"
    assert renewal(signed=OLD) == "bad_signature", "a signature is for one request"
    assert renewal(certificate=certificate_of(OLD, new_authority())) == "unknown_certificate"
    assert renewal(certificate="x") == "bad_request"
    assert renewal(certificate=certificate_of(OLD) + " " * 9000) == "bad_request"


def test_a_renewal_names_the_site_of_today() -> None:
    moved = Registry([Site("home-9", "north", home(1).devices)])
    assert renewal(registry=moved) == Subject("pw-1", "home-9")


def test_a_renewal_ends_with_the_certificate_the_registry_or_a_revocation() -> None:
    assert renewal(now_ms=NOW_MS + LIFE_MS - 1) == PW_1
    assert renewal(now_ms=NOW_MS + LIFE_MS) == "expired_certificate"
    assert renewal(now_ms=NOW_MS - LIFE_MS) == "not_yet_valid"
    assert renewal(registry=Registry([home(2)])) == "not_registered"
    assert renewal(revocations=revoked(NOW_MS)) == "revoked"
    before_it_began = revoked(NOW_MS - LIFE_MS)
    assert renewal(revocations=before_it_began) == PW_1


def test_a_servers_certificate_renews_nothing() -> None:
    key, valid = key_of(OLD).public_key, validity(NOW_MS, LIFE_MS)
    server = pem_of(server_certificate(AUTHORITY, ["pw-1"], key, 3, valid))
    assert renewal(certificate=server) == "unknown_certificate"


def test_the_way_back_is_told() -> None:
    found = subject_of_code(
        CODE, None, key_of(NEW), Registry([home(1)]), Revocations(), now_ms=2 * NOW_MS
    )
    assert isinstance(found, Refused)
    assert "vpp ca code pw-1" in found.sentence


@pytest.mark.parametrize("signature", ["", "x", "é", base64.b64encode(b"x" * 70).decode()])
def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    found = subject_of_renewal(
        Proof(certificate_of(OLD, subject=PW_2), signature),
        key_of(NEW),
        AUTHORITY.certificate,
        Registry([home(2)]),
        Revocations(),
        now_ms=NOW_MS,
    )
    assert isinstance(found, Refused)
    assert found.word == "bad_signature"
