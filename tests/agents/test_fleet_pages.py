"""Who may read a fleet worker's pages; over a real socket, without Faust."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from agents.fleet_pages import guard_pages
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings

TOKEN = SecretStr("s3rvice")


@asynccontextmanager
async def pages(settings: Settings) -> AsyncIterator[str]:
    pages = web.Application()

    async def answer(_: web.Request) -> web.Response:
        twin = {"site_id": "s", "partition": 0, "stream_time_ms": 0, "devices": []}
        return web.json_response(twin)

    pages.router.add_get("/{anything:.*}", answer)
    guard_pages(SimpleNamespace(web=SimpleNamespace(web_app=pages)), settings)
    async with TestServer(pages, host="127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    ("host", "token", "listens_on"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("localhost", None, "localhost"),
        ("0.0.0.0", None, "127.0.0.1"),
        ("192.0.2.7", None, "127.0.0.1"),
        ("0.0.0.0", TOKEN, "0.0.0.0"),
    ],
)
def test_pages_leave_this_machine_only_where_a_token_is_checked(
    host: str, token: SecretStr | None, listens_on: str
) -> None:
    assert Settings(host=host, service_token=token).pages_host == listens_on


async def test_without_the_service_token_nothing_is_told() -> None:
    async with (
        pages(Settings(host="0.0.0.0", service_token=TOKEN)) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        wrong: tuple[dict[Any, Any], ...] = (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": b"Bearer s3rvic\xe9"},
        )
        for given in wrong:
            for path in ("/sites/s/twin", "/", "/graph", "/table"):
                assert (await client.get(path, headers=given)).status_code == 401
        assert not isinstance(await FleetWorker(url, token=TOKEN).twin("s"), str)
        assert "answered 401" in await FleetWorker(url).twin("s")


async def test_without_a_token_a_browser_reads_nothing_under_another_name() -> None:
    async with pages(Settings()) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/sites/s/twin")).status_code == 200
        foreign = await client.get("/sites/s/twin", headers={"Host": "evil.example"})
        assert foreign.status_code == 421
