"""Hosts, origins and headers: what a browser is kept from, and what still works."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.accounts_world import Entrance
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, fed_read_model
from vpp_streams.serving.operators import make_demo_operator
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web


def client(base_url: str = "http://localhost", **changes: Any) -> httpx.AsyncClient:
    entrance = Entrance(changes.get("operators"))
    app = create_web(
        *(Settings(**changes), fed_read_model(), lambda: NOW_MS, KafkaInMemory()),
        logins=entrance.logins,
    )
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=base_url, headers=entrance.headers()
    )


@pytest.mark.parametrize("path", ["/", "/docs", "/app.js", "/api/v1/summary", "/openapi.json"])
async def test_every_answer_has_the_headers_of_a_page_that_trusts_nobody_else(path: str) -> None:
    async with client() as web:
        answer = await web.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "geolocation=()" in answer.headers["permissions-policy"]
    assert "strict-transport-security" not in answer.headers


async def test_a_problem_has_them_too_and_tls_has_more() -> None:
    async with client("https://localhost") as web:
        for path in ("/nowhere", "/api/v1/regions/nowhere", "/api/v1/summary?x=1"):
            answer = await web.get(path)
            assert answer.status_code in (400, 404)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("host", "settings", "status"),
    [
        ("localhost:8080", {}, 200),
        ("127.0.0.1", {}, 200),
        ("[::1]:8080", {}, 200),
        ("LOCALHOST", {}, 200),
        ("evil.example", {}, 421),
        ("localhost.evil.example", {}, 421),
        ("evil.example@localhost", {}, 421),
        ("192.0.2.7", {}, 421),
        ("[", {}, 421),
        ("", {}, 421),
        ("vpp.example:443", {"web_hosts": "other.example, vpp.example"}, 200),
        ("plant.lan", {"host": "plant.lan"}, 200),
        ("192.0.2.7:8080", {"host": "0.0.0.0"}, 200),
        ("evil.example", {"host": "0.0.0.0"}, 421),
    ],
)
async def test_only_its_own_hosts_are_answered(
    host: str, settings: dict[str, str], status: int
) -> None:
    async with client(**settings) as web:
        for path in ("/", "/api/v1/summary"):
            answer = await web.get(path, headers={"Host": host})
            assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 202),
        ("http://localhost:8080", 202),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
    ],
)
async def test_pages_of_others_order_nothing_even_with_a_token(
    tmp_path: Path, origin: str | None, status: int
) -> None:
    operators, access = make_demo_operator(tmp_path, "demo", "http://localhost")
    kafka = KafkaInMemory()
    settings = Settings(operators=operators)
    logins = Entrance(operators).logins
    app = create_web(settings, fed_read_model(), lambda: NOW_MS, kafka, logins=logins, answer_s=0.0)
    headers = {"Authorization": f"Bearer {access.token}"}
    headers |= {"Origin": origin} if origin else {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as web:
        answer = await web.post("/api/v1/regions/north/hold", json={}, headers=headers)
    assert answer.status_code == status, answer.text
    assert len(kafka.written) == (status == 202)


async def test_a_token_that_is_nobodys_is_refused_on_reads_too(tmp_path: Path) -> None:
    operators, access = make_demo_operator(tmp_path, "demo", "http://localhost")
    async with client(operators=operators) as web:
        for token, status in ((access.token, 200), ("vpp_wrong", 401)):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await web.get("/api/v1/summary", headers=headers)).status_code == status
        basic = {"Authorization": "Basic YTpi"}  # that of a proxy in front says nothing here
        assert (await web.get("/api/v1/summary", headers=basic)).status_code == 401
        assert (await web.get("/style.css", headers=basic)).status_code == 200


async def test_files_are_packed_and_kept_until_they_change() -> None:
    async with client() as web:
        style = await web.get("/style.css", headers={"Accept-Encoding": "gzip"})
        assert style.headers["content-encoding"] == "gzip"
        assert style.headers["cache-control"] == "no-cache"
        again = await web.get("/style.css", headers={"If-None-Match": style.headers["etag"]})
        assert again.status_code == 304
        data = await web.get("/api/v1/regions/north/history", headers={"Accept-Encoding": "gzip"})
        assert data.headers["content-encoding"] == "gzip"
        assert data.headers["cache-control"] == "no-store"
