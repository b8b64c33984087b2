"""Forms for orders in a headless Chromium: what is sent, and what is asked before."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Browser, Dialog, Locator, Page, ViewportSize, expect

from schemas.dispatch import Limit, Request, RequestEvent, Target
from schemas.grid import Alert
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.desk_world import desk_model, held
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, apply, apply_raw
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
BOTH = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])


class Roles:
    """A region role that accepts every request; storms reach the read model as others do."""

    def __init__(self, model: ReadModel) -> None:
        self.model = model
        self.written: list[Any] = []

    def write(self, topic: Topic, _key: bytes, value: bytes) -> None:
        apply_raw(self.model, topic, None, value)
        if topic is topics.GRID_ALERTS:
            self.written.append(msgspec.json.decode(value, type=Alert))
            return
        request = msgspec.json.decode(value, type=Request)
        self.written.append(request)
        event = RequestEvent(
            request_id=request.request_id, region=request.region, state="accepted", at_ms=NOW_MS
        )
        apply(self.model, topics.DISPATCH_EVENTS, event)


class Person:
    """Answers the questions of a page, and notes them."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self.agrees = True
        page.on("dialog", self._answer)

    async def _answer(self, dialog: Dialog) -> None:
        self.asked.append(dialog.message)
        await (dialog.accept() if self.agrees else dialog.dismiss())


@asynccontextmanager
async def at_the_desk(
    browser: Browser, roles: Roles, viewport: ViewportSize
) -> AsyncIterator[tuple[Page, Person, Locator]]:
    """The page of north for an operator who may do everything, and its panel of requests."""
    async with (
        serving(roles.model, KafkaInMemory(roles.write)) as home,
        opened(browser, home, viewport) as watched,
    ):
        await watched.page.goto(home + "#/regions/north")
        panel = watched.page.locator(".panel", has_text="Give an order")
        yield watched.page, Person(watched.page), panel


@pytest.fixture
def roles() -> Roles:
    return Roles(desk_model())


@BOTH
async def test_a_limit_of_a_region_asks_first(
    browser: Browser, roles: Roles, viewport: ViewportSize
) -> None:
    async with at_the_desk(browser, roles, viewport) as (_, person, panel):
        await panel.get_by_role("button", name="Limit", exact=True).click()
        send = panel.locator("form:visible").get_by_role("button", name="Limit")
        await send.click()
        assert roles.written == [], "it needs an export or an import limit"
        await panel.get_by_label("Export at most, kW").fill("0")
        await panel.locator("form:visible").get_by_label("For, min").fill("30")
        person.agrees = False
        await send.click()
        assert roles.written == []
        person.agrees = True
        await send.click()
        await expect(panel.locator(".said")).to_contain_text("accepted")
        [limit] = roles.written
        assert isinstance(limit, Limit)
        assert (limit.export_limit_w, limit.import_limit_w, limit.feeder) == (0.0, None, None)
        assert limit.ends_at_ms == NOW_MS + 1_800_000
        assert person.asked == [person.asked[0]] * 2
        assert "all sites of north" in person.asked[0]
        await panel.get_by_label("Feeder").fill("f1")
        await send.click()
        await expect(panel.get_by_role("table", name="Requests")).to_contain_text(
            "export 0 W on f1"
        )
        assert len(person.asked) == 2, "a feeder's limit is not wide"


@BOTH
async def test_a_storm_is_announced_listed_and_cancelled(
    browser: Browser, roles: Roles, viewport: ViewportSize
) -> None:
    async with at_the_desk(browser, roles, viewport) as (_, person, panel):
        await panel.get_by_role("button", name="Storm", exact=True).click()
        form = panel.locator("form:visible")
        await form.get_by_label("For, h").fill("3")
        await form.get_by_label("In, h").fill("2")
        await form.get_by_label("Keep charged, %").fill("90")
        await form.get_by_role("button", name="Announce the storm").click()
        await expect(panel.locator(".said")).to_contain_text("announced")
        [storm] = roles.written
        assert (storm.regions, storm.reserve) == (("north",), 0.9)
        assert (storm.starts_at_ms, storm.ends_at_ms) == (NOW_MS + 7_200_000, NOW_MS + 18_000_000)
        assert "all sites of north" in person.asked[0]
        await form.get_by_label("Only these sites").fill("home-001, home-002")
        await form.get_by_role("button", name="Announce the storm").click()
        listed = panel.get_by_role("table", name="Storms that are expected")
        await expect(listed.locator("tbody tr")).to_have_count(2)
        assert roles.written[1].site_ids == ("home-001", "home-002")
        assert len(person.asked) == 1
        await (
            listed.get_by_role("row", name="home-001").get_by_role("button", name="Cancel").click()
        )
        await expect(listed.locator("tbody tr")).to_have_count(1)
        assert (roles.written[2].cancelled, len(person.asked)) == (True, 2)


async def test_power_with_frequency_response_by_keyboard_alone(
    browser: Browser, roles: Roles, tmp_path: Path
) -> None:
    async with at_the_desk(browser, roles, DESK) as (page, person, panel):
        await panel.get_by_label("Power, kW").focus()
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.type("50")
        for words in ("charge", "20", "0"):  # direction, duration, delay
            await page.keyboard.press("Tab")
            await page.keyboard.type(words)
        for _ in ("best effort", "emergency", "frequency response"):
            await page.keyboard.press("Tab")
        await page.keyboard.press("Space")
        await page.keyboard.press("Tab")
        await page.keyboard.type("60 Hz")
        await page.keyboard.press("Tab")
        await expect(panel.get_by_role("button", name="Dispatch")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(panel.locator(".said")).to_contain_text("accepted")
        [target] = roles.written
        assert isinstance(target, Target)
        assert (target.export_w, target.ends_at_ms) == (-50_000.0, NOW_MS + 1_200_000)
        assert target.droop is not None
        assert (target.droop.nominal_hz, target.priority) == (60.0, "operator")
        assert person.asked == []


async def test_an_emergency_asks_and_self_consumption_has_no_power(
    browser: Browser, roles: Roles, tmp_path: Path
) -> None:
    async with at_the_desk(browser, roles, DESK) as (_, person, panel):
        await panel.get_by_label("Direction").select_option("self-consumption")
        await expect(panel.get_by_label("Power, kW")).to_be_disabled()
        await panel.get_by_label("emergency").check()
        await panel.get_by_role("button", name="Dispatch").click()
        await expect(panel.locator(".said")).to_contain_text("accepted")
        [target] = roles.written
        assert (target.export_w, target.priority) == (None, "emergency")
        assert person.asked == [
            "Release north for 15 min, as an emergency? It outranks what is sold to markets:"
            " undelivered energy costs money."
        ]


@BOTH
async def test_a_hold_is_a_banner_on_every_page_until_it_is_released(
    browser: Browser, roles: Roles, viewport: ViewportSize
) -> None:
    held(roles.model, "south")
    async with serving(roles.model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        banner = page.get_by_role("status", name="Held regions")
        for path in ("#/regions", "#/sites", "#/map", "#/pipeline", "#/regions/north"):
            await page.goto(home + path)
            await expect(banner).to_contain_text(
                "south is held since 22 Nov 2025, 23:42:20 UTC by operator ann: works on the line"
            )
            await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            await expect(banner.get_by_role("link")).to_be_in_viewport(ratio=1)
        # Both stay in reach: what is held elsewhere, and the button of this region.
        await expect(page.get_by_role("button", name="Hold the region")).to_be_in_viewport(ratio=1)
        await banner.get_by_role("link").click()
        await expect(page.locator("h1")).to_have_text("south")
        await expect(banner).to_be_hidden()
        await expect(page.get_by_role("button", name="Release").first).to_be_in_viewport(ratio=1)
