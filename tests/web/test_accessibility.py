"""axe-core finds nothing on any page of the dashboard, at a desk's and a phone's width."""

import pytest
from playwright.async_api import Browser, ViewportSize, expect

from tests.support.axe import violations
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.incidents import incident
from tests.support.market_feed import feed_market
from tests.support.rejected_records import rejected_record
from tests.support.web_world import apply, fed_read_model, feed_control
from vpp_streams.kafka import topics
from vpp_streams.web.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
PAGES = (
    "#/regions",
    "#/regions/north",
    "#/sites",
    "#/sites/home-001",
    "#/market",
    "#/incidents",
    "#/rejected",
    "#/records",
    "#/pipeline",
    "#/nowhere",
    "docs",
)


@pytest.fixture
def model() -> ReadModel:
    model = fed_read_model()
    feed_control(model)
    feed_market(model, 8)
    apply(model, topics.INCIDENTS, incident("north"))
    apply(model, topics.RECORDS_REJECTED, rejected_record())
    return model


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing_on_any_page(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    found = {}
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        for path in PAGES:
            await watched.page.goto(home + path)
            await expect(watched.page.locator("h1, .empty").first).to_be_visible()
            await watched.page.wait_for_timeout(500)
            found[path] = await violations(watched.page)
    broken = [f"{path}: {rule}" for path, rules in found.items() for rule in rules]
    assert broken == [], "\n".join(broken)
