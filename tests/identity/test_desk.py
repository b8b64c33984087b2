"""Requests for certificates, as servers decide on them: races, repeats, limits, and the log."""

import asyncio
import json
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edge.identity import enrolment as device
from tests.support.identity_world import ADDRESS, LIFE_MS, NOW_MS, PW_2, Home, IdentityWorld
from vpp_streams.domain.identity.enrolment import device_of
from vpp_streams.domain.identity.refusals import Refused
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.gateway.logins import ADDRESS_GUESSES_BURST, CONNECTS_BURST
from vpp_streams.identity import code_log
from vpp_streams.identity.signer import Granted


async def test_a_home_gets_a_certificate_for_its_own_key() -> None:
    world = IdentityWorld()
    one = Home(world, world.desk())
    granted = await one.enrol(world.code())
    assert granted is not None
    certificate = x509.load_pem_x509_certificate(granted.certificate_pem.encode())
    certificate.verify_directly_issued_by(world.authority.certificate)
    assert device_of(certificate) == "pw-1"
    (record,) = world.issued
    assert int(record.serial, 16) == certificate.serial_number
    assert (record.device_id, record.site_id, record.how) == ("pw-1", "home-1", "code")
    assert record.not_after_ms == granted.not_after_ms == NOW_MS + LIFE_MS


async def test_the_identity_is_the_codes_and_not_the_requests() -> None:
    world = IdentityWorld()
    one = Home(world, world.desk(), device_id="pw-1")
    granted = await one.enrol(world.code(PW_2))
    assert granted is not None
    assert granted.subject == PW_2


async def test_of_two_who_use_a_code_at_once_at_two_servers_one_succeeds() -> None:
    world = IdentityWorld()
    homes = [Home(world, world.desk()) for _ in range(2)]
    code = world.code()
    tries = [asyncio.create_task(one.enrol(code)) for one in homes]
    for attempt in await world.attempts(2):  # both servers had found the code unused
        world.append(attempt)
    answers = await asyncio.gather(*tries)
    assert [answer is not None for answer in answers] == [True, False]
    assert homes[1].refused is not None
    assert homes[1].refused.word == "used_code"
    assert homes[1].refused.needs_code
    assert len(world.issued) == 1


async def test_an_answer_that_was_lost_is_given_again_to_the_same_key_only() -> None:
    world = IdentityWorld()
    desk, code = world.desk(), world.code()
    request = device.make_request("pw-1")
    first = await desk.enrol(device.enrol_body(code, request.pem), ADDRESS)
    again = await world.desk().enrol(device.enrol_body(code, request.pem), ADDRESS)
    assert isinstance(first, Granted)
    assert isinstance(again, Granted)
    assert first.certificate_pem != again.certificate_pem, "a number of its own"
    thief = Home(world, desk)
    assert await thief.enrol(code) is None
    assert thief.refused is not None
    assert thief.refused.word == "used_code"
    world.now_ms += 14 * DAY_MS
    late = await desk.enrol(device.enrol_body(code, request.pem), ADDRESS)
    assert isinstance(late, Refused)
    assert late.word == "expired_code"


async def test_a_request_that_is_refused_spends_no_code() -> None:
    world = IdentityWorld()
    desk, code = world.desk(), world.code()
    bad = await desk.enrol(device.enrol_body(code, "no request"), ADDRESS)
    assert isinstance(bad, Refused)
    assert bad.word == "bad_certificate_request"
    assert await Home(world, desk).enrol(code) is not None


async def test_a_revocation_while_the_attempt_is_written_counts() -> None:
    world = IdentityWorld()
    one = Home(world, world.desk())
    enrolling = asyncio.create_task(one.enrol(world.code()))
    (attempt,) = await world.attempts(1)
    world.revoke("pw-1")
    world.append(attempt)
    assert await enrolling is None
    assert one.refused is not None
    assert one.refused.word == "revoked"
    assert world.issued == []


async def test_without_an_answer_of_kafka_nothing_is_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(code_log, "WAIT_S", 0.01)
    world = IdentityWorld()
    one = Home(world, world.desk())
    world.held_back = []
    assert await one.enrol(world.code()) is None
    assert one.refused is not None
    assert one.refused.word == "unavailable"
    assert not one.refused.needs_code
    assert world.issued == []


async def test_guesses_are_slowed_by_address() -> None:
    world = IdentityWorld()
    desk, request = world.desk(), device.make_request("pw-1")
    words = []
    for number in range(100):
        body = device.enrol_body(f"WRONG-{number}", request.pem)
        answer = await desk.enrol(body, ADDRESS)
        assert isinstance(answer, Refused)
        words.append(answer.word)
    assert words.count("unknown_code") == ADDRESS_GUESSES_BURST
    assert words[-1] == "slowed"
    code = world.code()
    slowed = await desk.enrol(device.enrol_body(code, request.pem), ADDRESS)
    assert isinstance(slowed, Refused), "not even the right one is looked at"
    assert slowed.status == 429
    elsewhere = await desk.enrol(device.enrol_body(code, request.pem), "192.0.2.8")
    assert isinstance(elsewhere, Granted)


async def test_a_code_and_a_device_are_limited_too() -> None:
    world = IdentityWorld()
    desk, request, code = world.desk(), device.make_request("pw-1"), world.code()
    answers = [await desk.enrol(device.enrol_body(code, request.pem), str(n)) for n in range(20)]
    assert sum(isinstance(answer, Granted) for answer in answers) == CONNECTS_BURST
    one = Home(world, world.desk())
    world.now_ms += 60_000
    await one.enrol(world.code())
    renewed = [await one.renew() for _ in range(20)]
    assert sum(answer is not None for answer in renewed) == CONNECTS_BURST
    assert one.refused is not None
    assert one.refused.word == "slowed"


async def test_failing_renewals_keep_no_neighbour_from_renewing() -> None:
    world = IdentityWorld()
    neighbour, broken = Home(world, world.desk()), Home(world, world.desk(), "pw-2")
    await neighbour.enrol(world.code())
    await broken.enrol(world.code(PW_2))
    broken.desk = neighbour.desk  # one server, one address
    broken.key_pem = neighbour.key_pem
    words = []
    for _ in range(20):
        await broken.renew()
        assert broken.refused is not None
        words.append(broken.refused.word)
    assert words == ["bad_signature"] * 5 + ["slowed"] * 15
    assert await neighbour.renew() is not None


async def test_every_outcome_is_logged_and_counted_without_the_code() -> None:
    world = IdentityWorld()
    desk, code = world.desk(), world.code()
    one = Home(world, desk)
    with capture_logs() as logged:
        await one.enrol(code)
        await one.enrol(code)
        await one.renew()
        await desk.enrol(b"{", ADDRESS)
        await desk.renew(Refused("too_large", "x", 413), ADDRESS)
    assert len(logged) == 5
    secret = code.replace("-", "").lower()
    assert secret not in repr(logged).replace("-", "").lower()
    assert world.counters == {
        "enrol_granted": 1,
        "enrol_refused:used_code": 1,
        "renew_granted": 1,
        "enrol_refused:bad_request": 1,
        "renew_refused:too_large": 1,
    }


WORLD = IdentityWorld()
DESK, CODE = WORLD.desk(), WORLD.code()
PEM = device.make_request("pw-1").pem
HOSTILE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=50),
    st.just("x" * 30_000), st.just([[]] * 50), st.just(CODE), st.just(PEM), st.just(WORLD.ca_pem),
    st.text(max_size=20).map(lambda text: PEM[:100] + text + PEM[120:]),
)  # fmt: skip
DOCUMENTS = st.dictionaries(
    st.sampled_from(["code", "request", "certificate", "signature", "", "x"]), HOSTILE
)
BODIES = st.one_of(
    st.binary(max_size=300),
    DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    st.integers(0, 3000).map(lambda depth: b"[" * depth),
)


@settings(max_examples=80)
@given(BODIES)
async def test_any_body_is_answered_and_none_without_a_code_is_granted(body: bytes) -> None:
    WORLD.now_ms += 60_000  # no limit stands in the way
    for answer in (await DESK.enrol(body, ADDRESS), await DESK.renew(body, ADDRESS)):
        if isinstance(answer, Granted):
            document: dict[str, Any] = json.loads(body)
            assert document["code"] == CODE
            assert document["request"] == PEM
        else:
            assert answer.status in (400, 403, 409)
            assert answer.sentence
