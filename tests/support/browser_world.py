"""The dashboard in a browser: a server over a read model, and pages that are watched; no Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from playwright.async_api import Browser, BrowserContext, Page, Request, ViewportSize

from tests.support.accounts_world import PAGE, Entrance
from tests.support.web_records import NOW_MS
from tests.support.web_world import TWIN, KafkaInMemory, fleet_that_answers
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.connections import DoorConfig, open_files
from vpp_streams.web.places import Places, limits_for

DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)


class Home(str):
    """The address of a server, with a slash at its end, and what signs people in there."""

    entrance: Entrance


@asynccontextmanager
async def serving(
    model: ReadModel,
    kafka: KafkaInMemory | None = None,
    entrance: Entrance | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[Home]:
    """A real server on a free port over the read model; the clock stands still."""
    kafka, entrance = kafka or KafkaInMemory(), entrance or Entrance()
    settings = settings or Settings()
    fleet = FleetWorker("http://fleet.test", fleet_that_answers(httpx.Response(200, json=TWIN)))
    app = create_web(
        settings,
        model,
        lambda: NOW_MS,
        kafka,
        logins=entrance.logins,
        fleet=fleet,
        stopping=lambda: server.should_exit,
        answer_s=0.05,
    )
    places = Places(limits_for(open_files(), settings.web_per_client))
    config = DoorConfig(app, places, lambda _: False, host="127.0.0.1", port=0)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.01)
        home = Home(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/")
        home.entrance = entrance
        yield home
    finally:
        server.should_exit = True
        await task


class Watched:
    """A page that notes what no page of ours may do: log an error, or ask another host."""

    def __init__(self, page: Page, home: str) -> None:
        self.page, self.home = page, home
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self.home, "data:")):
            self.foreign.append(request.url)


async def signed_in(context: BrowserContext, home: Home, name: str = "demo") -> None:
    """Sign a browser in by a link that works once, as the sign-in page does."""
    answer = await context.request.post(
        f"{home}api/v1/session/link", data={"link": home.entrance.link(name)}, headers=PAGE
    )
    assert answer.status == 201, await answer.text()


@asynccontextmanager
async def opened(
    browser: Browser, home: Home, viewport: ViewportSize, name: str | None = "demo"
) -> AsyncIterator[Watched]:
    """A new window of that size, in UTC, signed in as ``name``; on leaving, checks that it behaved.

    With no name, nobody is signed in.
    """
    context = await browser.new_context(viewport=viewport, timezone_id="UTC")
    try:
        if name is not None:
            await signed_in(context, home, name)
        watched = Watched(await context.new_page(), home)
        yield watched
        assert watched.errors == []
        assert "[object " not in await watched.page.inner_text("body"), "an element shown as text"
        assert watched.foreign == []
    finally:
        await context.close()
