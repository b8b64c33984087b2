"""Revocations as a fold, and the states that `vpp ca list` shows."""

import pytest

from schemas.identity import IssuedCertificate, Revocation
from vpp_streams.domain.identity.certificate_states import standings
from vpp_streams.domain.identity.revocations import Revocations

DAY = 86_400_000


def revocations(*at_ms: int) -> Revocations:
    found = Revocations()
    for one in at_ms:
        found.apply(Revocation(device_id="pw-1", at_ms=one))
    return found


def issued(device_id: str, at_ms: int, life_ms: int = 90 * DAY) -> IssuedCertificate:
    return IssuedCertificate(
        serial=f"{at_ms + 1:x}",
        device_id=device_id,
        site_id="home-1",
        key_sha256="a" * 64,
        issued_at_ms=at_ms,
        not_before_ms=at_ms,
        not_after_ms=at_ms + life_ms,
        how="code",
    )


def test_the_newest_revocation_counts_whatever_the_order() -> None:
    for order in ((5, 9), (9, 5)):
        found = revocations(*order)
        assert found.concerns("pw-1", 9)
        assert not found.concerns("pw-1", 10)
    assert revocations(5, 9).version == 2
    assert revocations(9, 5).version == 1, "an older one changes nothing"


def test_a_token_has_no_beginning_and_is_revoked_for_good() -> None:
    assert revocations(5).concerns("pw-1", None)
    assert not revocations(5).concerns("pw-2", None)
    assert not Revocations().concerns("pw-1", None)


@pytest.mark.parametrize(
    ("day", "state"),
    [(0, "valid"), (74, "valid"), (75, "expires_soon"), (89, "expires_soon"), (90, "expired")],
)
def test_a_state_by_age(day: int, state: str) -> None:
    (found,) = standings([issued("pw-1", 0)], Revocations(), day * DAY)
    assert found.state == state


def test_the_newest_certificate_of_each_device_is_shown() -> None:
    all_of_them = [issued("pw-2", 0), issued("pw-1", 8 * DAY), issued("pw-1", 3 * DAY)]
    found = list(standings(all_of_them, revocations(4 * DAY), 9 * DAY))
    shown = [(one.certificate.device_id, one.certificate.issued_at_ms, one.state) for one in found]
    assert shown == [("pw-1", 8 * DAY, "valid"), ("pw-2", 0, "valid")]
    (revoked, _) = standings(all_of_them, revocations(8 * DAY), 200 * DAY)
    assert revoked.state == "revoked", "also once it has expired"
