"""Who is let in, decided from a request alone."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Device, Site
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.gateway.admission import (
    AdmissionRefusal,
    Admitted,
    bearer,
    identify,
    requested_device,
)

DIGEST = hashlib.sha256(b"right").hexdigest()
WITH_TOKEN = Device(device_id="d1", kind="solar", token_sha256=DIGEST)
CERTIFICATE_ONLY = Device(device_id="d2", kind="solar")
HOME = Site(site_id="s1", region="north", devices=(WITH_TOKEN, CERTIFICATE_ONLY))
REGISTRY = Registry([HOME])
GOOD = {"sec-websocket-protocol": "other, vpp.v1", "authorization": "Bearer right"}


def admit(
    path: str, headers: Mapping[str, str], names: Collection[str], registry: Registry
) -> Admitted | AdmissionRefusal:
    device_id = requested_device(path, headers)
    if isinstance(device_id, AdmissionRefusal):
        return device_id
    return identify(device_id, bearer(headers.get("authorization", "")), names, registry)


def status(path: str, headers: dict[str, str], *names: str) -> int:
    answer = admit(path, headers, names, REGISTRY)
    return answer.status if isinstance(answer, AdmissionRefusal) else 101


def test_the_right_token_or_certificate_is_let_in() -> None:
    assert admit("/v1/d1", GOOD, (), REGISTRY) == Admitted(WITH_TOKEN, HOME)
    no_token = {"sec-websocket-protocol": "vpp.v1"}
    assert admit("/v1/d2", no_token, ("x", "d2"), REGISTRY) == Admitted(CERTIFICATE_ONLY, HOME)


@pytest.mark.parametrize(
    ("path", "changes", "names", "expected"),
    [
        ("/v1/d1", {"authorization": ""}, (), 401),
        ("/v1/d1", {"authorization": "Basic right"}, (), 401),
        ("/v1/d1", {"authorization": "Bearer wrong"}, (), 401),
        ("/v1/d1", {"authorization": "Bearer right, Bearer right"}, (), 401),
        ("/v1/d1", {"authorization": f"Bearer {DIGEST}"}, (), 401),
        ("/v1/d2", {}, (), 401),
        ("/v1/d3", {}, (), 401),
        ("/v1/d3", {}, ("d2",), 403),
        ("/v1/d3", {}, ("d3",), 403),
        ("/v1/d1", {}, ("d2",), 403),  # a certificate outweighs a token
        ("/v1/d1", {"origin": "null"}, (), 403),
        ("/v1/d1", {"sec-websocket-protocol": "vpp.v2"}, (), 400),
        ("/v1/d1/", {}, (), 404),
        ("/v1/d1?x=1", {}, (), 404),
        ("/v1/d1\n", {}, (), 404),
        ("/v2/d1", {}, (), 404),
    ],
)
def test_all_others_are_told_why_not(
    path: str, changes: dict[str, str], names: tuple[str, ...], expected: int
) -> None:
    assert status(path, GOOD | changes, *names) == expected


@given(st.text(), st.text())
def test_no_other_token_opens(scheme: str, token: str) -> None:
    value = f"{scheme} {token}"
    if value.partition(" ")[2].strip() != "right":
        assert status("/v1/d1", GOOD | {"authorization": value}) == 401
    assert status("/v1/d2", GOOD | {"authorization": value}) == 401


def test_whether_a_device_exists_is_not_told_to_who_has_not_its_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[Any, ...]] = []

    def compare_digest(*args: Any) -> bool:
        compared.append(args)
        return False

    monkeypatch.setattr("hmac.compare_digest", compare_digest)
    answers = set()
    for device_id in ("d1", "d2", "nobody"):
        answer = identify(device_id, "wrong", (), REGISTRY)
        assert isinstance(answer, AdmissionRefusal)
        answers.add(answer._replace(reason=answer.reason.replace(device_id, "X")))
    assert len(answers) == 1
    assert {tuple(map(len, args)) for args in compared} == {(64, 64)}
    assert len(compared) == 3, "the same work, whether or not there is a digest"
    assert identify("d1", "x", ("d2",), REGISTRY) == identify("d1", None, ("d2",), Registry())
