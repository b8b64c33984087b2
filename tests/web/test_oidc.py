"""Signing in with an organisation's provider: a small one runs here, with a key of its own."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.support.accounts_world import Entrance
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, fed_read_model
from vpp_streams import clock
from vpp_streams.errors import SettingsError
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.oidc import REQUEST_MS, Oidc, safe_path
from vpp_streams.web.oidc_client import OidcClient

ISSUER = "https://id.example"
CODE = "one-code"


class SmallProvider:
    """Discovery, keys and tokens; what it says of people, and its faults, are the test's."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
        self.signs_with = self.key
        self.claims: dict[str, Any] = {
            "sub": "person-1",
            "email": "ann@plant.example",
            "email_verified": True,
        }
        self.challenge, self.nonce, self.status = "", "", 200
        self.forms: list[dict[str, list[str]]] = []

    def authorize(self, url: str) -> str:
        """What the browser brings back: the state."""
        query = parse_qs(urlsplit(url).query)
        assert query["response_type"] == ["code"]
        assert query["code_challenge_method"] == ["S256"]
        assert "openid" in query["scope"][0].split()
        self.challenge, self.nonce = query["code_challenge"][0], query["nonce"][0]
        return query["state"][0]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/.well-known/openid-configuration":
            return httpx.Response(
                200,
                json={
                    "issuer": ISSUER,
                    "authorization_endpoint": f"{ISSUER}/authorize",
                    "token_endpoint": f"{ISSUER}/token",
                    "jwks_uri": f"{ISSUER}/keys",
                    "id_token_signing_alg_values_supported": ["ES256"],
                },
            )
        if path == "/keys":
            return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})
        assert path == "/token"
        return self._token(parse_qs(request.content.decode()))

    def _token(self, form: dict[str, list[str]]) -> httpx.Response:
        from authlib.oauth2.rfc7636 import create_s256_code_challenge  # noqa: PLC0415  # warns

        self.forms.append(form)
        proven = create_s256_code_challenge(form["code_verifier"][0]) == self.challenge
        if self.status != 200 or form["code"] != [CODE] or not proven:
            return httpx.Response(max(self.status, 400), json={"error": "invalid_grant"})
        now_s = clock.now_ms() // 1000
        claims = {"iss": ISSUER, "aud": "vpp", "iat": now_s, "exp": now_s + 60}
        claims |= {"nonce": self.nonce} | self.claims
        id_token = jwt.encode({"alg": "ES256", "kid": "k1"}, claims, self.signs_with)
        return httpx.Response(
            200, json={"access_token": "a", "token_type": "Bearer", "id_token": id_token}
        )


class World:
    def __init__(self, **changes: Any) -> None:
        self.now_ms = NOW_MS
        self.entrance = Entrance(now_ms=lambda: self.now_ms)
        self.provider = SmallProvider()
        settings = Settings(
            oidc_issuer=ISSUER, oidc_client_id="vpp", oidc_name="Plant Ltd", **changes
        )
        client = OidcClient(settings, httpx.MockTransport(self.provider))
        accounts, now = self.entrance.accounts, lambda: self.now_ms
        app = create_web(
            *(settings, fed_read_model(), now, KafkaInMemory()),
            logins=self.entrance.logins,
            oidc=Oidc(settings, accounts, now, client),
        )
        transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))
        self.browser = httpx.AsyncClient(transport=transport, base_url="https://localhost")

    async def go(self, to: str = "") -> str:
        """Go to the provider; returns the state to come back with."""
        away = await self.browser.get("/api/v1/session/oidc", params={"to": to})
        assert away.status_code == 302, away.text
        cookie = away.headers["set-cookie"]
        for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/api/v1/session/oidc/back"):
            assert part in cookie
        return self.provider.authorize(away.headers["location"])

    async def back(self, state: str, code: str = CODE) -> httpx.Response:
        parameters = {"state": state, "code": code}
        return await self.browser.get("/api/v1/session/oidc/back", params=parameters)

    async def sign_in(self, to: str = "") -> httpx.Response:
        return await self.back(await self.go(to))


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.entrance.accounts.people.add("ann", [], at_ms=0, email="ann@plant.example")
    yield world
    await world.browser.aclose()


async def refused(world: World, says: str) -> None:
    answer = await world.sign_in()
    assert answer.status_code == 401, answer.text
    assert says in answer.json()["error"]
    assert (await world.browser.get("/api/v1/me")).status_code == 401


async def test_a_verified_address_finds_the_account_and_then_the_subject_does(
    world: World,
) -> None:
    answer = await world.sign_in("#/regions/north")
    assert (answer.status_code, answer.headers["location"]) == (302, "/#/regions/north")
    assert (await world.browser.get("/api/v1/me")).json()["name"] == "ann"
    [form] = world.provider.forms
    assert form["redirect_uri"] == ["https://localhost/api/v1/session/oidc/back"]
    # The provider's name of the person counts from now on, whatever address it has.
    world.provider.claims |= {"email": "ann@elsewhere.example"}
    assert (await world.sign_in()).status_code == 302
    # Another person with this address does not get the account.
    world.provider.claims |= {"sub": "person-2", "email": "ann@plant.example"}
    world.browser.cookies.clear()
    await refused(world, "belongs to another person")
    event = world.entrance.accounts.audit.waiting()[-1]
    assert (event.how, event.result, event.who) == ("oidc", "refused", "ann@plant.example")


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": "nobody@plant.example"},
        {"email": None},
        {"email": ["ann@plant.example"]},
    ],
)
async def test_without_a_verified_known_address_there_is_no_account(
    world: World, claims: dict[str, Any]
) -> None:
    world.provider.claims |= claims
    await refused(world, "there is no account for you here")
    assert [a.name for a in world.entrance.accounts.people.all()] == ["ann"]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another-client"},
        {"exp": 1},
        {"nonce": "another"},
        {"sub": None},
    ],
)
async def test_claims_of_another_sign_in_are_refused(world: World, claims: dict[str, Any]) -> None:
    world.provider.claims |= claims
    await refused(world, "did not")


async def test_a_foreign_signature_and_a_failing_provider_are_refused(world: World) -> None:
    world.provider.signs_with = ECKey.generate_key("P-256", {"kid": "k1"})
    await refused(world, "did not confirm the sign-in")
    world.provider.signs_with = world.provider.key
    world.provider.status = 500
    await refused(world, "did not confirm the sign-in")


async def test_a_state_works_once_in_its_own_browser_within_its_time(world: World) -> None:
    state = await world.go()
    kept = dict(world.browser.cookies)
    world.browser.cookies.clear()
    stolen = await world.back(state)
    assert "begun in another browser" in stolen.json()["error"]
    for name, value in kept.items():
        world.browser.cookies.set(name, value)
    assert (await world.back(state)).status_code == 302
    world.browser.cookies.clear()
    for name, value in kept.items():
        world.browser.cookies.set(name, value)
    assert "finished already" in (await world.back(state)).json()["error"]
    world.browser.cookies.clear()
    late = await world.go()
    world.now_ms += REQUEST_MS
    assert "took too long" in (await world.back(late)).json()["error"]


async def test_accounts_are_created_only_where_that_is_set() -> None:
    world = World(oidc_create="viewer region:north")
    async with world.browser:
        assert (await world.sign_in()).status_code == 302
        me = (await world.browser.get("/api/v1/me")).json()
    assert me["name"] == "ann@plant.example"
    assert me["roles"] == [{"role": "viewer", "scope": "region:north"}]


@pytest.mark.parametrize("create", ["viewer", "emperor *", "owner region:north", "viewer * *"])
def test_a_role_that_cannot_be_is_a_sentence(create: str) -> None:
    with pytest.raises(SettingsError, match="VPP_OIDC_CREATE"):
        World(oidc_create=create)


@pytest.mark.parametrize(
    ("wanted", "opened"),
    [
        ("#/sites/home-001", "/#/sites/home-001"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("#//evil.example", "/#//evil.example"),
        ("javascript:alert(1)", "/"),
        ("#/\nx", "/"),
        ("#/x\\..", "/"),
        ("", "/"),
    ],
)
def test_after_signing_in_only_pages_of_ours_are_opened(wanted: str, opened: str) -> None:
    assert safe_path(wanted) == opened
    assert urlsplit(safe_path(wanted)).netloc == ""
