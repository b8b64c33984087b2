"""Tokens are fetched when needed, kept for most of their life, and a failure is one line."""

import base64
from collections.abc import Callable
from urllib.parse import parse_qs

import httpx
import pytest
from aiokafka.errors import AuthenticationFailedError

from vpp_streams.kafka.oauth import ClientTokens

Answer = Callable[[httpx.Request], httpx.Response]


class Endpoint:
    """A token endpoint with a clock of its own."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.now_s = 1000.0
        self.asked: list[httpx.Request] = []
        self._answer = answer or self._numbered

    def _numbered(self, _request: httpx.Request) -> httpx.Response:
        token = f"token-{len(self.asked)}"
        return httpx.Response(200, json={"access_token": token, "expires_in": 100})

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answer(request)

    def tokens(self) -> ClientTokens:
        return ClientTokens(
            "https://id.example/token",
            "vpp-web",
            "the secret",
            transport=httpx.MockTransport(self._take),
            now_s=lambda: self.now_s,
        )


async def test_a_token_is_renewed_before_it_ends() -> None:
    endpoint = Endpoint()
    tokens = endpoint.tokens()
    found = []
    for after_s in (0, 79, 2, 50):
        endpoint.now_s += after_s
        found.append(await tokens.token())
    assert found == ["token-1", "token-1", "token-2", "token-2"]


async def test_the_client_asks_with_its_secret() -> None:
    endpoint = Endpoint()
    await endpoint.tokens().token()
    (request,) = endpoint.asked
    assert parse_qs(request.content.decode()) == {"grant_type": ["client_credentials"]}
    basic = request.headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(basic) == b"vpp-web:the secret"


async def test_a_token_without_a_life_serves_one_connection() -> None:
    answers = iter("ab")
    endpoint = Endpoint(lambda _r: httpx.Response(200, json={"access_token": next(answers)}))
    tokens = endpoint.tokens()
    assert [await tokens.token(), await tokens.token()] == ["a", "b"]


def _broken(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody is there")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_broken, "nobody is there"),
        (lambda _r: httpx.Response(401, json={"error": "invalid_client"}), "answer 401"),
        (lambda _r: httpx.Response(200, text="<html>"), "answer 200 has no token"),
        (lambda _r: httpx.Response(200, json=["x"]), "no token"),
        (lambda _r: httpx.Response(200, json={"access_token": 7}), "no token"),
        (lambda _r: httpx.Response(200, json={"access_token": "a", "expires_in": -1}), "no token"),
    ],
)
async def test_no_token_is_one_line_without_the_secret(answer: Answer, words: str) -> None:
    with pytest.raises(AuthenticationFailedError, match=words) as raised:
        await Endpoint(answer).tokens().token()
    assert "the secret" not in str(raised.value)
    assert "VPP_KAFKA_OAUTH_CLIENT_ID" in str(raised.value)
