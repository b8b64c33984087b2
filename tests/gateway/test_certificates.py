"""Connections whose credentials hold no longer; revoked devices at the door."""

import ssl
from collections import Counter
from pathlib import Path

import pytest

from schemas.assets import Device, Site
from schemas.identity import Revocation
from schemas.protocol import CLOSE_CERTIFICATE_EXPIRED, CLOSE_REVOKED
from tests.support.certificates import make_certificate
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.demo_tokens import token_hash
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.gateway.admission import AdmissionRefusal
from vpp_streams.gateway.certificates import ClientCertificate, Credentials, client_certificate
from vpp_streams.gateway.doorkeeper import Doorkeeper

NOTHING: frozenset[int] = frozenset()


def shown(serial: int, begins_ms: int = 0, ends_ms: int = 1_000_000) -> ClientCertificate:
    return ClientCertificate(frozenset({"pw-1"}), serial, begins_ms, ends_ms)


class Door:
    """Connections ``a``, ``b`` of pw-1, pw-2 with certificates 1 and 2; ``t`` with a token."""

    def __init__(self) -> None:
        self.revocations = Revocations()
        self.credentials: Credentials[str] = Credentials(self.revocations)
        self.credentials.opened("a", "pw-1", shown(1))
        self.credentials.opened("b", "pw-2", shown(2, ends_ms=2_000_000))
        self.credentials.opened("t", "pw-3", None)

    def ended(self, serials: frozenset[int] = NOTHING, now_ms: int = 10) -> list[tuple[str, int]]:
        ended = self.credentials.ended(serials, now_ms)
        for one in ended:
            self.credentials.closed(one.connection)
        return [(one.connection, one.code) for one in ended]

    def revoke(self, device_id: str, at_ms: int = 5) -> None:
        self.revocations.apply(Revocation(device_id=device_id, at_ms=at_ms))


def test_nothing_ends_by_itself() -> None:
    door = Door()
    assert door.ended() == []
    assert door.ended() == []


@pytest.mark.parametrize(("device_id", "connection"), [("pw-1", "a"), ("pw-2", "b"), ("pw-3", "t")])
def test_a_revoked_devices_connection_ends_whatever_it_has_shown(
    device_id: str, connection: str
) -> None:
    door = Door()
    assert door.ended() == []
    door.revoke(device_id)
    assert door.ended() == [(connection, CLOSE_REVOKED)]
    assert door.ended() == []


def test_a_certificate_from_after_the_revocation_holds() -> None:
    door = Door()
    door.revoke("pw-1", at_ms=5)
    assert door.ended() == [("a", CLOSE_REVOKED)]
    door.credentials.opened("c", "pw-1", shown(7, begins_ms=6))
    assert door.ended() == []
    door.revoke("pw-1", at_ms=6)
    assert door.ended() == [("c", CLOSE_REVOKED)]


def test_a_certificate_on_the_list_ends_its_connection() -> None:
    door = Door()
    assert door.ended(frozenset({3})) == []
    assert door.ended(frozenset({3, 2})) == [("b", CLOSE_REVOKED)]


def test_one_that_was_let_in_just_before_the_list_changed_is_found() -> None:
    door, serials = Door(), frozenset({9})
    assert door.ended(serials) == []
    door.credentials.opened("late", "pw-9", shown(9))  # its TLS handshake was before the change
    assert door.ended(serials) == [("late", CLOSE_REVOKED)]


def test_an_expired_certificate_ends_its_connection() -> None:
    door = Door()
    assert door.ended(now_ms=999_999) == []
    assert door.ended(now_ms=1_000_000) == [("a", CLOSE_CERTIFICATE_EXPIRED)]
    assert door.ended(now_ms=1_999_999) == []
    assert door.ended(now_ms=2_000_000) == [("b", CLOSE_CERTIFICATE_EXPIRED)]
    assert door.ended(now_ms=2**60) == [], "a token has no end"


def test_connections_that_are_over_are_forgotten() -> None:
    door = Door()
    door.credentials.closed("a")
    door.revoke("pw-1")
    assert door.ended() == []


def test_a_certificate_as_tls_gives_it(tmp_path: Path) -> None:
    certificate, _ = make_certificate("pw-1", None, tmp_path)
    context = ssl.create_default_context(cafile=tmp_path / "pw-1.pem")
    (peer,) = context.get_ca_certs()
    found = client_certificate(peer)
    assert found is not None
    assert found.names == {"pw-1"}
    assert found.serial == certificate.serial_number
    assert found.begins_ms == certificate.not_valid_before_utc.timestamp() * 1000
    assert found.ends_ms == certificate.not_valid_after_utc.timestamp() * 1000
    assert client_certificate({}) is client_certificate(None) is None


@pytest.mark.parametrize(
    ("certificate", "token", "expected"),
    [
        (None, "right", "was revoked"),
        (shown(1, begins_ms=5), None, "was revoked"),
        (shown(1, begins_ms=5), "right", "was revoked"),
        (shown(1, begins_ms=6), None, None),
        (None, "wrong", "is not in the registry"),
    ],
)
def test_a_revoked_device_is_let_in_by_a_newer_certificate_only(
    certificate: ClientCertificate | None, token: str | None, expected: str | None
) -> None:
    revocations = Revocations()
    revocations.apply(Revocation(device_id="pw-1", at_ms=5))
    device = Device("pw-1", "powerwall", token_sha256=token_hash("right"))
    keeper = Doorkeeper(
        Registry([Site("home-1", "north", (device,))]), revocations, Counter(), 0, demo_tokens=True
    )
    headers = {"sec-websocket-protocol": "vpp.v1"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    answer = keeper.admit("/v1/pw-1", headers, certificate, "192.0.2.1", 0)
    if expected is None:
        assert not isinstance(answer, AdmissionRefusal)
        assert answer.certificate == certificate
    else:
        assert isinstance(answer, AdmissionRefusal)
        assert expected in answer.reason
        assert answer.code == ("revoked" if "revoked" in expected else "")
        if "revoked" in expected:
            assert answer.status == 403
            assert "vpp ca code pw-1" in answer.reason
