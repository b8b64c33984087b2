"""A device's side: it renews by itself, and knows when only the operator can help."""

import ast
import json
import sys
from pathlib import Path

import pytest

from edge.identity import enrolment as device
from edge.identity import enrolment_http as device_http
from tests.support.identity_world import LIFE_MS, NOW_MS, Home, IdentityWorld, new_authority
from vpp_streams.domain.identity.authority import (
    device_certificate,
    fingerprint,
    pem_of,
    validity,
)
from vpp_streams.domain.identity.certificate_requests import DeviceKey, read_request
from vpp_streams.domain.identity.refusals import Subject
from vpp_streams.domain.moments import DAY_MS


async def test_a_certificate_that_runs_out_is_renewed_by_itself_for_years() -> None:
    world = IdentityWorld()
    one = Home(world, world.desk())
    await one.enrol(world.code())
    steps = []
    for _ in range(3 * 365):
        world.now_ms += DAY_MS
        steps.append(await one.go_on(draw=0.5))
    assert steps.count("enrol") == 0
    assert steps.count("renew") == 3 * 365 // 62, "two thirds of 90 days, and the spread"
    assert {record.how for record in world.issued} == {"code", "renewal"}
    assert one.refused is None


async def test_one_that_was_away_too_long_is_told_the_way_back() -> None:
    world = IdentityWorld()
    one = Home(world, world.desk())
    await one.enrol(world.code())
    world.now_ms += LIFE_MS
    assert await one.go_on() == "enrol"
    assert await one.renew() is None
    assert one.refused is not None
    assert one.refused.word == "expired_certificate"
    assert one.refused.needs_code
    assert "vpp ca code pw-1" in one.refused.sentence
    assert await one.enrol(world.code()) is not None
    assert await one.go_on() == "wait"


async def test_one_that_was_revoked_comes_back_with_a_new_code_only() -> None:
    world = IdentityWorld()
    one, unused = Home(world, world.desk()), world.code()
    await one.enrol(world.code())
    world.now_ms += 5000
    world.revoke("pw-1")
    for failed in (await one.renew(), await one.enrol(unused)):
        assert failed is None
    assert one.refused is not None
    assert one.refused.word == "revoked"
    world.now_ms += 5000
    granted = await one.enrol(world.code())
    assert granted is not None
    assert not world.revocations.concerns("pw-1", world.issued[-1].not_before_ms)
    assert world.issued[-1].not_before_ms <= world.now_ms, "it holds from now on"


def test_renewals_are_spread() -> None:
    world_life = 90 * DAY_MS
    certificate = certificate_pem()
    times = [device.renew_at_ms(certificate, draw) for draw in (0.0, 0.5, 1.0)]
    assert times == sorted(times)
    assert times[2] - times[0] == pytest.approx(0.05 * world_life, rel=0.01)
    assert device.next_step(certificate, times[0] - 1, 0.0) == "wait"
    assert device.next_step(certificate, times[0], 0.0) == "renew"
    assert device.next_step(None, NOW_MS, 0.0) == "enrol"


def certificate_pem() -> str:
    """A device's certificate of 90 days."""
    key = read_request(device.make_request("pw-1").pem)
    assert isinstance(key, DeviceKey)
    subject = Subject("pw-1", "home-1")
    valid = validity(NOW_MS, LIFE_MS)
    return pem_of(device_certificate(new_authority(), subject, key.public_key, 4, valid))


def test_the_authority_is_known_by_its_fingerprint() -> None:
    authority = new_authority()
    pem, right = pem_of(authority.certificate), fingerprint(authority.certificate)
    with_colons = ":".join(right[i : i + 2] for i in range(0, 64, 2)).upper()
    assert device.is_expected_ca(pem, right)
    assert device.is_expected_ca(pem, with_colons)
    assert not device.is_expected_ca(pem, fingerprint(new_authority().certificate))
    assert not device.is_expected_ca(pem, "")
    assert not device.is_expected_ca("no certificate", right)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b""), (200, b"{}"), (200, b"[]"), (200, b'{"certificate": "x", "ca": "y"}'),
     (502, b"<html>"), (403, b'{"error": "x"}'), (200, b"\xff")],
)  # fmt: skip
def test_an_answer_of_something_else_is_no_certificate(status: int, body: bytes) -> None:
    answer = device.read_answer(status, body, device.make_request("pw-1").pem)
    assert isinstance(answer, device.Refused)
    assert not answer.needs_code, "trying again may help"


def test_a_certificate_of_another_key_is_not_taken() -> None:
    body = json.dumps({"certificate": certificate_pem(), "ca": "x"}).encode()
    answer = device.read_answer(200, body, device.make_request("pw-1").pem)
    assert isinstance(answer, device.Refused)
    assert "not for the key" in answer.sentence


@pytest.mark.parametrize("module", [device, device_http])
def test_it_needs_the_standard_library_and_cryptography_only(module: object) -> None:
    file = Path(sys.modules[module.__name__].__file__ or "")  # type: ignore[attr-defined]
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    others = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    assert others <= {"cryptography", "edge"}
    assert {name for name in names if name.startswith("edge")} <= {"edge.identity.enrolment"}
