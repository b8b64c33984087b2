"""axe-core finds nothing on any page of the dashboard, at a desk's and a phone's width."""

import pytest
from playwright.async_api import Browser, expect

from tests.support.axe import violations
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.desk_world import desk_model, held
from tests.support.incidents import incident
from tests.support.market_feed import feed_market
from tests.support.rejected_records import rejected_record
from tests.support.web_world import apply
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
PAGES = {
    "#/regions": ".card .deliverable tbody tr",
    "#/regions/north": "table:has-text('Closed windows') tbody tr",
    "#/sites?silent=no": "table tbody tr",
    "#/sites/home-001": "table:has-text('Closed windows') tbody tr",
    "#/map": ".map .pin",
    "#/market": "table tbody tr",
    "#/incidents": ".incidents form",
    "#/rejected": ".rejects li",
    "#/records": ".rejects li",
    "#/pipeline": "table tbody tr",
    "#/nowhere": "h1",
    "docs": ".panel",
}
"""Each page, and what it has once it is complete."""


@pytest.fixture
def model() -> ReadModel:
    model = desk_model()
    feed_market(model, 8)
    apply(model, topics.INCIDENTS, incident("north"))
    apply(model, topics.RECORDS_REJECTED, rejected_record())
    held(model, "south")
    return model


@pytest.mark.parametrize("path", PAGES)
async def test_axe_finds_nothing_on_any_page(browser: Browser, model: ReadModel, path: str) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + path)
        await expect(page.locator(PAGES[path]).first).to_be_visible()
        assert await violations(page) == []
        await page.set_viewport_size(PHONE)
        if path.startswith("#/sites?"):
            await page.reload()  # a list's header is that of the width at which it was made
            await expect(page.locator(PAGES[path]).first).to_be_visible()
        assert await violations(page) == []
