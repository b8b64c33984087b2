"""The dashboard in a headless Chromium, at a desk's and a phone's width; no Kafka."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.web_world import (
    HOSTILE,
    NOW_MS,
    TWIN,
    KafkaInMemory,
    apply,
    fed_read_model,
    fleet_that_answers,
    region_live,
    rejected,
)
from vpp_streams import topics
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.readmodel import ReadModel
from vpp_streams.web.twins import FleetWorker

pytestmark = pytest.mark.browser
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = (
    "#/regions",
    "#/regions/north",
    "#/sites",
    "#/sites/home-001",
    "#/rejected",
    "#/pipeline",
    "docs",
)


@asynccontextmanager
async def serving(model: ReadModel) -> AsyncIterator[str]:
    """A real server on a free port over the read model; the clock stands still."""
    fleet = FleetWorker("http://fleet.test", fleet_that_answers(httpx.Response(200, json=TWIN)))
    app = create_web(
        Settings(), model, lambda: NOW_MS, KafkaInMemory(), fleet, lambda: server.should_exit
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        await task


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        way_out = "no Chromium: install it (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(way_out)
        pytest.skip(way_out)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


class Watched:
    """A page that notes what no page of ours may do: log an error, or ask another host."""

    def __init__(self, page: Page, home: str) -> None:
        self.page, self.home = page, home
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._note)

    def _note(self, request) -> None:
        if not request.url.startswith((self.home, "data:")):
            self.foreign.append(request.url)


@asynccontextmanager
async def opened(browser: Browser, home: str, viewport: dict[str, int]) -> AsyncIterator[Watched]:
    """A new window of that size; on leaving, checks that the page behaved."""
    context = await browser.new_context(viewport=viewport)
    watched = Watched(await context.new_page(), home)
    yield watched
    assert watched.errors == []
    assert watched.foreign == []
    await context.close()


@pytest.fixture
def model() -> ReadModel:
    return fed_read_model()


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_every_page_fits_its_screen_without_errors(browser, model, viewport):
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        for path in PAGES:
            await watched.page.goto(home + path)
            await expect(watched.page.locator("h1").first).to_be_visible()
            await expect(watched.page.locator(".panel, .rejects li").first).to_be_visible()
            over = await watched.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert over == 0, f"{path} scrolls sideways by {over} px"


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_a_region_moves_as_soon_as_it_is_heard_of(browser, model, viewport):
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        await watched.page.goto(home)
        card = watched.page.locator(".card", has_text="north")
        await expect(card).to_contain_text("73 of 74 sites")
        changed = region_live(
            "north",
            NOW_MS + 1,
            battery_w=-1_250_000.0,
            grid_w=2e6,
            sites_reporting=50,
            coverage=50 / 74,
            oldest_sample_age_s=7.5,
        )
        apply(model, topics.REGION_LIVE, changed)
        await expect(card).to_contain_text("1.25 MW")
        await expect(card).to_contain_text("charging")
        await expect(card).to_contain_text("importing")
        await expect(card.locator(".basis").first).to_have_text(
            "50 of 74 sites (67.5 %) · oldest sample 7.5 s"
        )
        await expect(card).to_contain_text("355 kW")
        await expect(card).to_contain_text("Partly covered")


async def test_region_charts_draw_their_series_and_answer_to_the_keyboard(browser, model):
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/regions/north")
        chart = page.locator("figure.chart").first
        await expect(chart.locator("path.line")).to_have_count(4)
        await chart.get_by_role("button", name="Solar").click()
        await expect(chart.locator("path.line")).to_have_count(3)
        newest = await chart.locator(".readout").inner_text()
        await chart.locator("svg").focus()
        await page.keyboard.press("ArrowLeft")
        await expect(chart.locator(".readout")).not_to_have_text(newest)
        await expect(page.get_by_role("table", name="Closed windows")).to_contain_text("98.0 %")


async def test_a_person_finds_a_site_with_the_keyboard_alone(browser, model):
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home)
        await page.get_by_role("link", name="Sites", exact=True).press("Enter")
        await page.get_by_role("searchbox").fill("home-001")
        await expect(page.get_by_role("status")).to_have_text("1 site")
        await page.get_by_role("link", name="home-001").press("Enter")
        await expect(page.locator("h1")).to_have_text("home-001")
        twin = page.get_by_role("table", name="Newest reading")
        await expect(twin).to_contain_text("discharging 1.2 kW")
        await expect(twin).to_contain_text("50.01 Hz")
        await expect(page.locator("figure.chart path.line")).to_have_count(4)


async def test_rejected_readings_are_shown_as_text_whatever_they_hold(browser, model):
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/rejected")
        await page.get_by_role("button", name="out_of_range 1").click()
        entry = page.locator(".rejects li")
        await expect(entry).to_have_count(1)
        await expect(entry.locator(".detail")).to_have_text(HOSTILE)
        await entry.locator("summary").click()
        await expect(entry.locator("pre")).to_contain_text(HOSTILE)
        assert await page.evaluate("window.hacked") is None
        assert await page.locator("main img, main script").count() == 0
        # What was opened stays open when something new comes in.
        again = msgspec.structs.replace(rejected(50, "out_of_range"))
        apply(model, topics.TELEMETRY_REJECTED, again)
        await expect(entry).to_have_count(2)
        await expect(page.locator("details[open]")).to_have_count(1)


async def test_a_lost_connection_is_said_and_the_numbers_stay(browser, model):
    context = await browser.new_context(viewport=DESK)
    page = await context.new_page()
    async with serving(model) as home:
        await page.goto(home)
        await expect(page.locator("#link-text")).to_have_text("Live")
        await expect(page.get_by_role("alert")).to_be_hidden()
    await expect(page.get_by_role("alert")).to_contain_text("Connection to the web process lost")
    await expect(page.locator(".card", has_text="north")).to_contain_text("73 of 74 sites")
    await context.close()
