"""Signing in and out over HTTP: passwords, codes, links, sessions, and who guesses; no waiting."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pyotp
import pytest
import pytest_asyncio

from tests.support.accounts_world import PAGE, PASSWORD, Entrance
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, fed_read_model
from vpp_streams.accounts.sessions import IDLE_MS, LONGEST_MS
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.sign_in import FREE_TRIES_OF_ACCOUNT

HERE = "192.0.2.1"


class World:
    """A web process; browsers with cookies of their own; two clocks that the test moves."""

    def __init__(self) -> None:
        self.now_ms, self.now_s = NOW_MS, 0.0
        self.entrance = Entrance(now_ms=lambda: self.now_ms, clock_s=lambda: self.now_s)
        self.accounts = self.entrance.accounts
        self.entrance.add("ann", ("operator", "*"))
        self.app = create_web(
            *(Settings(), fed_read_model(), lambda: self.now_ms, KafkaInMemory()),
            logins=self.entrance.logins,
            answer_s=0.0,
        )
        self.opened: list[httpx.AsyncClient] = []

    def browser(
        self, scheme: str = "https", address: str = HERE, **headers: str
    ) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        client = httpx.AsyncClient(
            transport=transport, base_url=f"{scheme}://localhost", headers=PAGE | headers
        )
        self.opened.append(client)
        return client

    async def signed_in(self, name: str = "ann", **more: str) -> httpx.AsyncClient:
        browser = self.browser()
        answer = await sign_in(browser, name, **more)
        assert answer.status_code == 201, answer.text
        return browser

    def events(self, action: str = "sign_in") -> list[tuple[str, str, str]]:
        waiting = self.accounts.audit.waiting(1000)
        return [(e.who, e.result, e.address) for e in waiting if e.action == action]


async def sign_in(
    browser: httpx.AsyncClient, name: str = "ann", password: str = PASSWORD, code: str = ""
) -> httpx.Response:
    body = {"account": name, "password": password, "code": code}
    return await browser.post("/api/v1/session", json=body)


async def status(browser: httpx.AsyncClient, path: str = "/me") -> int:
    return (await browser.get(f"/api/v1{path}")).status_code


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for client in world.opened:
        await client.aclose()


async def test_a_password_opens_a_session_that_signing_out_ends(world: World) -> None:
    browser = world.browser()
    assert await status(browser) == 401
    answer = await sign_in(browser)
    assert (answer.status_code, answer.json()["signed_in"]) == (201, True)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-vpp-session=vpps_")
    for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie
    assert answer.headers["cache-control"] == "no-store"
    me = (await browser.get("/api/v1/me")).json()
    assert (me["name"], me["kind"]) == ("ann", "session")
    word = browser.cookies["__Host-vpp-session"]
    assert (await browser.post("/api/v1/session/end", json={})).status_code == 200
    browser.cookies.set("__Host-vpp-session", word)  # who has kept the cookie has nothing
    assert await status(browser) == 401
    assert world.events() == [("ann", "done", HERE)]


async def test_the_store_holds_no_session_password_or_token(world: World) -> None:
    browser = await world.signed_in()
    body = {"name": "ci", "may": ["read_region"], "days": 1}
    token = (await browser.post("/api/v1/account/tokens", json=body)).json()["token"]
    dump = "\n".join(world.accounts.store._db.iterdump())  # noqa: SLF001  # all that is stored
    for secret in (token, browser.cookies["__Host-vpp-session"], PASSWORD):
        assert secret not in dump
    assert "$argon2id$" in dump


async def test_a_session_ends_after_idleness_and_after_its_longest_time(world: World) -> None:
    browser = await world.signed_in()
    for _ in range(LONGEST_MS // (IDLE_MS // 2)):
        assert await status(browser) == 200
        world.now_ms += IDLE_MS // 2
    assert await status(browser) == 401
    browser = await world.signed_in()
    world.now_ms += IDLE_MS
    assert await status(browser) == 401


async def test_a_changed_password_ends_every_other_session(world: World) -> None:
    here, there = await world.signed_in(), await world.signed_in()
    wrong = {"old": "not the password", "new": "another fine password"}
    assert (await here.post("/api/v1/account/password", json=wrong)).status_code == 403
    short = {"old": PASSWORD, "new": "short"}
    assert (await here.post("/api/v1/account/password", json=short)).status_code == 422
    assert await status(there) == 200
    good = {"old": PASSWORD, "new": "another fine password"}
    answer = await here.post("/api/v1/account/password", json=good)
    assert "1 other sessions" in answer.json()["said"]
    assert (await status(here), await status(there)) == (200, 401)
    assert (await sign_in(there)).status_code == 401
    assert (await sign_in(there, password="another fine password")).status_code == 201


async def test_disabling_ends_sessions_and_tokens_at_once(world: World) -> None:
    browser = await world.signed_in()
    token = {"Authorization": f"Bearer {world.entrance.token(name='ann')}"}
    program = world.browser(**token)
    assert (await status(browser), await status(program)) == (200, 200)
    world.accounts.people.disable(world.accounts.people.named("ann"), NOW_MS)
    assert (await status(browser), await status(program)) == (401, 401)
    refused = await sign_in(browser)
    unknown = await sign_in(browser, "nobody")
    assert (refused.status_code, refused.json()) == (401, unknown.json())


async def test_an_unknown_account_is_checked_as_long_as_a_known_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str | None] = []
    fits = world.accounts.passwords.fits

    def counted(stored: str | None, password: str) -> bool:
        checked.append(stored)
        return fits(stored, password)

    monkeypatch.setattr(world.accounts.passwords, "fits", counted)
    world.entrance.add("linked", ("viewer", "*"), password=None)
    for name in ("ann", "nobody", "linked"):
        answer = await sign_in(world.browser(), name, password="a wrong password")
        assert answer.status_code == 401
        assert answer.json()["error"] == "the name or the password is wrong"
    assert [stored is None for stored in checked] == [False, True, True]
    assert not world.accounts.passwords.fits(None, PASSWORD)


async def test_an_address_that_guesses_is_locked_out_and_others_are_not(world: World) -> None:
    guesser = world.browser(address="192.0.2.66")
    answers = [
        (await sign_in(guesser, f"user-{number}", password="guess")).status_code
        for number in range(8)
    ]
    assert answers == [401] * 5 + [429] * 3
    locked = await sign_in(guesser)
    assert (locked.status_code, locked.headers["retry-after"]) == (429, "30")
    assert (await sign_in(world.browser())).status_code == 201
    world.now_s = 31
    assert (await sign_in(guesser)).status_code == 201
    refused = [event for event in world.events() if event[1] == "refused"]
    assert len(refused) == 5, "what is refused without a check fills no log"
    assert refused[0] == ("user-0", "refused", "192.0.2.66")


async def test_a_guessed_account_is_locked_but_not_where_its_owner_was_before(
    world: World,
) -> None:
    home = await world.signed_in()
    for number in range(FREE_TRIES_OF_ACCOUNT):
        crowd = world.browser(address=f"198.51.100.{number}")
        assert (await sign_in(crowd, password="guess")).status_code == 401
    assert (await sign_in(world.browser(address="203.0.113.5"))).status_code == 429
    assert (await sign_in(home)).status_code == 201
    world.now_s = 31
    assert (await sign_in(world.browser(address="203.0.113.5"))).status_code == 201


async def test_a_second_factor_is_set_up_asked_for_and_works_once(world: World) -> None:
    browser = await world.signed_in()
    refused = await browser.post("/api/v1/account/totp", json={"password": "wrong"})
    assert refused.status_code == 403
    start = (await browser.post("/api/v1/account/totp", json={"password": PASSWORD})).json()
    assert start["qr"].startswith("data:image/svg+xml")
    totp = pyotp.TOTP(start["secret"])
    assert totp.provisioning_uri(name="ann", issuer_name="vpp_streams") == start["uri"]

    def code() -> str:
        return totp.at(world.now_ms // 1000)

    wrong = f"{(int(code()) + 1) % 1_000_000:06}"
    path = "/api/v1/account/totp/confirm"
    assert (await browser.post(path, json={"code": wrong})).status_code == 422
    assert (await sign_in(world.browser())).status_code == 201, "it counts once it is confirmed"
    assert (await browser.post(path, json={"code": code()})).status_code == 200
    replayed = await sign_in(world.browser(), code=code())
    assert replayed.status_code == 401, "the code that confirmed it is used up"
    asked = await sign_in(world.browser())
    assert (asked.status_code, asked.headers["x-vpp-needs"]) == (401, "code")
    unknown = await sign_in(world.browser(), password="a wrong password")
    assert "x-vpp-needs" not in unknown.headers
    world.now_ms += 30_000
    assert (await sign_in(world.browser(), code=code())).status_code == 201
    again = await sign_in(world.browser(), code=code())
    assert (again.status_code, again.json()["error"]) == (
        401,
        "the code is wrong, or was used before",
    )
    earlier = totp.at(world.now_ms // 1000 - 30)
    assert (await sign_in(world.browser(), code=earlier)).status_code == 401
    off = await browser.post("/api/v1/account/totp/off", json={"password": PASSWORD})
    assert off.status_code == 200
    assert (await sign_in(world.browser())).status_code == 201


async def test_a_link_signs_in_once_within_its_time(world: World) -> None:
    word = world.entrance.link()
    first, second = world.browser(), world.browser()
    answers = [await b.post("/api/v1/session/link", json={"link": word}) for b in (first, second)]
    assert [a.status_code for a in answers] == [201, 401]
    assert (await status(first), await status(second)) == (200, 401)
    late = world.entrance.link()
    world.now_ms += 15 * 60_000
    answer = await second.post("/api/v1/session/link", json={"link": late})
    assert answer.status_code == 401
    assert "was used, has ended, or was replaced" in answer.json()["error"]


async def test_a_link_for_a_password_ends_what_was_open(world: World) -> None:
    browser = await world.signed_in()
    account = world.accounts.people.named("ann")
    word = world.accounts.sessions.add_link(account, "password", world.now_ms)
    fresh = world.browser()
    asked = await fresh.post("/api/v1/session/link", json={"link": word})
    assert (asked.status_code, asked.headers["x-vpp-needs"]) == (422, "password")
    body = {"link": word, "password": "short"}
    assert (await fresh.post("/api/v1/session/link", json=body)).status_code == 422
    body = {"link": word, "password": "a password that is long"}
    assert (await fresh.post("/api/v1/session/link", json=body)).status_code == 201
    assert (await status(fresh), await status(browser)) == (200, 401)
    assert (await fresh.post("/api/v1/session/link", json=body)).status_code == 401
    assert (await sign_in(world.browser())).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://localhost:3000"},
        {"Origin": "http://localhost"} | {"Host": "localhost:8080"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-VPP-Page": "0"},
    ],
    ids=lambda headers: " ".join(f"{n}={v}" for n, v in headers.items()),
)
async def test_a_session_is_of_no_use_to_another_page(
    world: World, headers: dict[str, str]
) -> None:
    browser = await world.signed_in()
    before = len(world.accounts.audit.waiting(1000))
    answer = await browser.post("/api/v1/regions/north/hold", json={}, headers=headers)
    assert answer.status_code in (401, 403), answer.text
    opened = await world.browser(**headers).post(
        "/api/v1/session", json={"account": "ann", "password": PASSWORD}
    )
    assert opened.status_code == 403, "nor does it sign anybody in"
    held = await browser.post("/api/v1/regions/north/hold", json={})
    assert held.status_code == 202
    assert len(world.accounts.audit.waiting(1000)) > before


async def test_a_page_of_another_port_of_this_host_reads_nothing(world: World) -> None:
    browser = await world.signed_in()
    for site, expected in (("same-origin", 200), ("none", 200), ("same-site", 401)):
        answer = await browser.get("/api/v1/regions", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == expected
        assert "access-control-allow-origin" not in answer.headers


async def test_nobody_signs_in_over_plain_http_from_another_machine(world: World) -> None:
    plain = world.browser("http")
    answer = await sign_in(plain)
    assert answer.status_code == 403
    assert "VPP_WEB_PROXIES" in answer.json()["hint"]
    here = world.browser("http", "127.0.0.1")
    cookie = (await sign_in(here)).headers["set-cookie"]
    assert cookie.startswith("vpp-session=")
    assert "Secure" not in cookie
    assert await status(here) == 200


async def test_sessions_and_tokens_are_listed_and_ended_by_their_owner_alone(
    world: World,
) -> None:
    world.entrance.add("bob", ("viewer", "*"))
    ann, other, bob = await world.signed_in(), await world.signed_in(), await world.signed_in("bob")
    mine = (await ann.get("/api/v1/account")).json()
    assert len(mine["sessions"]) == 2
    [key] = [s["key"] for s in mine["sessions"] if s["key"] != mine["session"]]
    path = f"/api/v1/account/sessions/{key}/end"
    assert (await bob.post(path, json={})).status_code == 404
    assert await status(other) == 200
    assert (await ann.post(path, json={})).status_code == 200
    assert await status(other) == 401
    body = {"name": "ci", "may": ["read_region", "hold"], "days": 2}
    token = (await ann.post("/api/v1/account/tokens", json=body)).json()["token"]
    program = world.browser(Authorization=f"Bearer {token}")
    assert await status(program, "/regions") == 200
    [listed] = (await ann.get("/api/v1/account")).json()["tokens"]
    assert (listed["name"], listed["actions"]) == ("ci", ["read_region", "hold"])
    end = f"/api/v1/account/tokens/{listed['key']}/end"
    assert (await bob.post(end, json={})).status_code == 404
    assert (await ann.post(end, json={})).status_code == 200
    assert await status(program, "/regions") == 401


async def test_a_token_ends_and_gives_nothing_that_its_owner_has_not(world: World) -> None:
    world.entrance.add("vic", ("viewer", "region:north"))
    vic = await world.signed_in("vic")

    def more(**changes: Any) -> dict[str, Any]:
        return {"name": "x", "may": ["read_region"], **changes}

    for body in (
        more(may=["hold"]),
        more(may=["everything"]),
        more(may=[]),
        more(days=0),
        more(days=400),
        more(name=""),
    ):
        answer = await vic.post("/api/v1/account/tokens", json=body)
        assert answer.status_code == 422, body
    answer = await vic.post("/api/v1/account/tokens", json=more(days=1))
    program = world.browser(Authorization=f"Bearer {answer.json()['token']}")
    regions = (await program.get("/api/v1/regions")).json()["regions"]
    assert [r["region"] for r in regions] == ["north"]
    world.now_ms += 86_400_000
    assert await status(program, "/regions") == 401


async def test_a_body_that_is_no_document_is_a_sentence(world: World) -> None:
    browser = world.browser()
    for content in (b"", b"{", b"[]", b'{"account": 5}', b"x" * 70_000, b"[" * 50_000):
        answer = await browser.post("/api/v1/session", content=content)
        assert answer.status_code == 422
        assert "the sign-in cannot be read" in answer.json()["error"]
    for name in ("\x00", "💣" * 100, "'; DROP TABLE account; --", "ann\n"):
        assert (await sign_in(browser, name)).status_code in (401, 429)
    assert (await sign_in(world.browser())).status_code == 201
