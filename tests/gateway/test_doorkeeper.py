"""Guessed tokens and devices that come too often: slowed where they come from, and logged."""

import hashlib
from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.assets import Device, Site, StateChange
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.demo_tokens import count_demo_devices, device_token, token_hash
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.gateway import logins
from vpp_streams.gateway.admission import AdmissionRefusal, Admitted
from vpp_streams.gateway.doorkeeper import Doorkeeper
from vpp_streams.gateway.logins import (
    ADDRESS_GUESSES_BURST,
    CONNECTS_BURST,
    GUESSES_BURST,
    FailedLogins,
    LogLines,
)

PLANNED = (StateChange("planned", 1),)
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def device(device_id: str, token: str) -> Device:
    digest = hashlib.sha256(token.encode()).hexdigest()
    return Device(device_id=device_id, kind="solar", token_sha256=digest)


class Door:
    """A doorkeeper, and the time."""

    def __init__(self, *, demo_tokens: bool = True) -> None:
        devices = tuple(device(f"d{n}", f"right {n}") for n in range(100))
        demo = Device("demo", "solar", token_sha256=token_hash(device_token("demo")))
        self.registry = Registry([Site("s1", "north", (*devices, demo))])
        self.revocations = Revocations()
        self.counters: Counter[str] = Counter()
        self.ms = 0
        self.keeper = Doorkeeper(
            self.registry, self.revocations, self.counters, 0, demo_tokens=demo_tokens
        )

    def tries(self, device_id: str, token: str, address: str = HERE, **headers: str) -> int:
        all_headers = {
            "sec-websocket-protocol": "vpp.v1",
            "authorization": f"Bearer {token}",
            **headers,
        }
        answer = self.keeper.admit(f"/v1/{device_id}", all_headers, None, address, self.ms)
        return answer.status if isinstance(answer, AdmissionRefusal) else 101


def test_guesses_at_a_token_are_slowed() -> None:
    door = Door()
    answers = Counter(door.tries("d1", f"guess {n}") for n in range(300))
    assert answers == {401: GUESSES_BURST, 429: 300 - GUESSES_BURST}
    assert door.counters["logins_slowed"] == 300 - GUESSES_BURST
    assert door.tries("d1", "right 1") == 429, "not even the right one is looked at"
    door.ms += 10_000
    assert door.tries("d1", "right 1") == 101


def test_a_planned_site_is_refused_with_the_way_out_and_is_no_failed_login() -> None:
    door = Door()
    door.registry.apply(Site("s2", "north", (device("p1", "right"),), history=PLANNED))
    headers = {"sec-websocket-protocol": "vpp.v1", "authorization": "Bearer right"}
    answer = door.keeper.admit("/v1/p1", headers, None, HERE, 0)
    assert isinstance(answer, AdmissionRefusal)
    assert answer.status == 403
    assert "`vpp assets state s2 commissioning`" in answer.reason
    assert door.tries("p1", "wrong") == 401, "only the right token learns it"
    assert door.counters["logins_failed"] == 1
    for state in ("commissioning", "suspended"):
        history = (*PLANNED, StateChange(state, 2))
        door.registry.apply(Site("s2", "north", (device("p1", "right"),), history=history))
        assert door.tries("p1", "right") == 101


def test_guesses_keep_neither_other_addresses_nor_known_neighbours_out() -> None:
    door = Door()
    assert door.tries("d2", "right 2") == 101
    for n in range(1000):
        door.tries(f"d{n}", "wrong")
    assert door.tries("d1", "right 1", ELSEWHERE) == 101
    assert door.tries("d2", "right 2") == 101
    assert door.tries("d50", "right 50") == 429, "never seen there: it waits for its turn"


def test_guesses_at_many_devices_are_slowed_together() -> None:
    door = Door()
    answers = Counter(door.tries(f"nobody-{n}", "guess") for n in range(300))
    assert answers == {401: ADDRESS_GUESSES_BURST, 429: 300 - ADDRESS_GUESSES_BURST}


def test_an_unknown_device_is_slowed_as_a_known_one_is() -> None:
    door = Door()
    known = [door.tries("d1", "wrong", "198.51.100.1") for _ in range(20)]
    unknown = [door.tries("nobody", "wrong", "198.51.100.2") for _ in range(20)]
    assert known == unknown


def test_a_device_connects_once_a_second() -> None:
    door = Door()
    taken = 0
    for ms in range(0, 60_000, 20):
        door.ms = ms
        taken += door.tries("d1", "right 1") == 101
    assert CONNECTS_BURST + 59 <= taken <= CONNECTS_BURST + 60
    assert door.tries("d2", "right 2") == 101, "others are not concerned"


def test_nobody_without_the_token_uses_up_a_devices_connects() -> None:
    door = Door()
    for n in range(1000):
        door.tries("d1", "wrong", f"198.51.100.{n % 250}")
    assert door.tries("d1", "right 1") == 101


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "REMEMBERED", 50)
    failed, lines = FailedLogins(), LogLines(0)
    for n in range(1000):
        failed.failed(f"2001:db8:{n:x}::1", f"d{n}", 0)
        lines.take(f"2001:db8:{n:x}::1", 0)
    kept: list[Any] = [failed._by_device, failed._by_address, lines._by_address]  # noqa: SLF001  # what is kept must be bounded
    assert [len(buckets._buckets) for buckets in kept] == [50, 50, 50]  # noqa: SLF001  # what is kept must be bounded
    assert failed._good == {}  # noqa: SLF001  # what is kept must be bounded


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "192.0.2.1", False),
    ],
)
def test_an_address_is_what_one_party_holds(one: str, other: str, same: bool) -> None:
    failed = FailedLogins()
    for _ in range(10):
        failed.failed(one, "d1", 0)
    assert failed.slowed(other, "d1", 0) is same


def test_refusals_are_logged_with_who_and_where_and_never_the_token() -> None:
    door = Door()
    with capture_logs() as logged:
        door.tries("d1", "s3cret")
        door.tries("d1", "right 1", origin="https://evil.example")
    first, second = logged
    assert (first["device"], first["address"], first["status"]) == ("d1", HERE, 401)
    assert second["status"] == 403
    assert "s3cret" not in str(logged)


def test_a_flood_of_refusals_is_not_a_flood_of_lines_and_hides_no_other() -> None:
    door = Door()
    with capture_logs() as logged:
        for _ in range(10_000):
            door.tries("d1", "wrong")
        door.tries("d1", "wrong", ELSEWHERE)
    assert len(logged) <= 10
    assert logged[-1]["address"] == ELSEWHERE
    assert logged[-1]["not_logged_before"] == 10_000 - (len(logged) - 1)
    assert door.counters["refused"] == 10_001


def test_the_demos_tokens_open_on_loopback_only() -> None:
    token = device_token("demo")
    assert Door().tries("demo", token) == 101
    outside = Door(demo_tokens=False)
    assert outside.tries("demo", token) == 401
    assert outside.tries("d1", "right 1") == 101
    assert count_demo_devices(d for s in outside.registry.sites() for d in s.devices) == 1


def test_an_admitted_device_comes_with_its_site() -> None:
    door = Door()
    headers = {"sec-websocket-protocol": "vpp.v1", "authorization": "bearer right 3"}
    answer = door.keeper.admit("/v1/d3", headers, None, HERE, 0)
    assert isinstance(answer, Admitted)
    assert (answer.device.device_id, answer.site.site_id) == ("d3", "s1")
