"""The market page in a headless Chromium, at a desk's and a phone's width; no Kafka."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from schemas.market import Award, Gate, Refusal, Shortfall
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.market_feed import OPEN_MS, RULES, at, bid, feed, feed_market
from tests.support.web_records import HOSTILE, NOW_MS
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
BOTH = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
INTERVALS = 14
DRAWN = re.compile(r"^M[\d.]+ [\d.]+[HL]")
"""A path of at least one stroke, of numbers only."""


@pytest.fixture
def model() -> ReadModel:
    model = ReadModel(started_at_ms=NOW_MS)
    feed_market(model, INTERVALS)
    return model


def panel(page: Page, title: str) -> Locator:
    return page.locator(".panel", has=page.get_by_role("heading", name=title, exact=True))


def tile(page: Page, name: str) -> Locator:
    return page.locator(".tile", has=page.get_by_text(name, exact=True)).locator(".value")


def award(start_ms: int = OPEN_MS, energy_w: float = 256e3) -> Award:
    return Award(
        bid_id=at(start_ms),
        market="sim",
        region="north",
        start_ms=start_ms,
        interval_ms=RULES.interval_ms,
        cleared_at_ms=start_ms - RULES.gate_ms,
        energy_w=energy_w,
        prices={"energy": 123.45},
        currency="USD",
    )


def steps(count: int) -> re.Pattern[str]:
    """A path that holds so many values, each until the next."""
    return re.compile(rf"^([^H]+H){{{count}}}[^H]+$")


async def sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    over: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return over


@BOTH
async def test_a_region_in_a_market_is_shown_whole_and_fits_its_screen(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    totals = model.markets.view("sim", "north", 6, NOW_MS).totals
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home)
        await page.get_by_role("link", name="Market", exact=True).click()
        await expect(page.locator("h1")).to_have_text("north in market sim")
        prices = panel(page, "Prices")
        await expect(prices).to_contain_text("USD per MWh")
        await expect(prices.locator("path.band.forecast")).to_have_attribute("d", DRAWN)
        await expect(prices.locator("path.line.price")).to_have_attribute("d", DRAWN)
        for tone in ("award", "measured", "plan"):
            line = panel(page, "Power").locator(f"path.line.{tone}")
            await expect(line).to_have_attribute("d", DRAWN)
        await expect(panel(page, "Money").locator("path.line.money")).to_have_count(1)
        await expect(tile(page, "Earned, last day")).to_have_text(f"{totals.money:.3f} USD")
        await expect(tile(page, "Gate closes in")).to_have_text("1 min 10 s")
        await expect(panel(page, "The last day")).to_contain_text(f"{INTERVALS} warm LP")
        awards = page.get_by_role("table", name="Outcomes of bids")
        await expect(awards.locator("tbody tr")).to_have_count(12)
        await page.get_by_role("button", name="Show more").click()
        await expect(awards.locator("tbody tr")).to_have_count(INTERVALS - 1)
        assert await sideways(page) == 0


@BOTH
async def test_an_open_bid_is_shown_with_its_curve_and_how_it_was_decided(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/market")
        row = page.get_by_role("table", name="Bids without an outcome").locator("tbody tr")
        await expect(row).to_have_count(1)
        for said in (
            "buys 320 kW below 4.50, sells 320 kW from 88.25",
            "96.0 kW regulation up from 4.10",
            "12.8 kW costs 0.050 USD",
            "warm LP",
            "the plan ends 1.2 kWh short",
            "12 prices outside of floor and cap were left out",
            "1 min 10 s",
        ):
            await expect(row).to_contain_text(said)
        await expect(row.locator("svg.curve path")).to_have_attribute("d", DRAWN)
        await row.get_by_role("button").click()
        shown = panel(page, "Bid")
        await expect(shown.locator(".pill").first).to_have_text("open")
        await expect(shown).to_contain_text(f"vpp explain {at(OPEN_MS)}")
        offer = shown.get_by_role("table", name="Power by price").locator("tbody tr")
        await expect(offer).to_have_count(5)
        await expect(offer.nth(3)).to_contain_text("sells 160 kW")
        assert await sideways(page) == 0
        await shown.get_by_role("button", name="Close").click()
        await expect(shown).to_be_hidden()


@BOTH
async def test_the_page_moves_as_records_come(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/market/sim/north")
        await panel(page, "Open bids").get_by_role("button").click()
        state = panel(page, "Bid").locator(".pill").first
        await expect(state).to_have_text("open")
        feed(model, award())
        newest = page.get_by_role("table", name="Outcomes of bids").locator("tbody tr").first
        await expect(newest).to_contain_text("sells 256 kW")
        await expect(newest).to_contain_text("123.45")
        await expect(state).to_have_text("awarded")
        await expect(panel(page, "Open bids")).to_contain_text("No bid waits for its gate")
        missing: dict[str, Any] = {"awarded_w": 256e3, "deliverable_w": 200e3, "missing_w": 56e3}
        told: dict[str, Any] = {"bid_id": at(OPEN_MS), "market": "sim", "region": "north"}
        feed(model, Shortfall(**told, at_ms=NOW_MS, start_ms=OPEN_MS, **missing))
        await expect(newest).to_contain_text("a shortfall of 56.0 kW was announced")
        await expect(panel(page, "The last day")).to_contain_text("1 shortfall was announced")


async def test_hours_and_regions_are_chosen(browser: Browser, model: ReadModel) -> None:
    feed_market(model, INTERVALS, ("south",))
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/market")
        await expect(page.locator("h1")).to_have_text("north in market sim")
        line = panel(page, "Prices").locator("path.line.price")
        await expect(line).to_have_attribute("d", steps(INTERVALS - 1))
        await page.get_by_role("button", name="1 h").click()
        await expect(line).to_have_attribute("d", steps(12))
        await page.get_by_role("link", name="south").click()
        await expect(page.locator("h1")).to_have_text("south in market sim")
        await expect(page.get_by_role("link", name="south")).to_have_attribute(
            "aria-current", "true"
        )


@BOTH
async def test_an_empty_market_says_so_until_somebody_bids(
    browser: Browser, viewport: ViewportSize
) -> None:
    model = ReadModel(started_at_ms=NOW_MS)
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/market")
        empty = page.locator(".empty:visible")
        await expect(empty).to_contain_text("There is no record of a market in the last day")
        await expect(page.locator(".panel:visible")).to_have_count(0)
        assert await sideways(page) == 0
        long = {"interval_ms": RULES.interval_ms, "gate_ms": OPEN_MS - RULES.gate_ms}
        feed(model, Gate(market="sim", start_ms=OPEN_MS, **long))
        await expect(empty).to_contain_text("No region has bid into market sim yet")
        feed(model, bid(OPEN_MS))
        await expect(page.locator("h1")).to_have_text("north in market sim")
        await expect(panel(page, "Awards")).to_contain_text("No bid of the last day has an outcome")
        await expect(page.get_by_text("There is no record of a market")).to_be_hidden()


async def test_what_is_not_known_is_said_and_words_from_data_are_text(
    browser: Browser, model: ReadModel
) -> None:
    start_ms = OPEN_MS + RULES.interval_ms
    feed(model, bid(start_ms, faults=(HOSTILE,), slacks={HOSTILE: 1.0}))
    over = {"bid_id": at(OPEN_MS), "market": "sim", "region": "north"}
    feed(model, Refusal(**over, at_ms=NOW_MS, reason=HOSTILE))
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/market")
        offers = page.get_by_role("table", name="Bids without an outcome")
        await expect(offers).to_contain_text(HOSTILE)
        await expect(offers).to_contain_text(f"the plan passes {HOSTILE} by 1.0")
        awards = page.get_by_role("table", name="Outcomes of bids")
        await expect(awards.locator("tbody tr").first).to_contain_text(HOSTILE)
        await awards.get_by_role("button").first.click()
        await expect(panel(page, "Bid")).to_contain_text(HOSTILE)
        await page.goto(f"{home}#/market/{quote('<img src=x>', safe='')}/nowhere")
        await expect(page.locator(".problem")).to_contain_text("in a market '<img src=x>'")
        await expect(page.locator(".problem")).to_contain_text("there are: sim/north")
        assert await page.locator("main img, main script").count() == 0
        assert await page.evaluate("window.hacked") is None
        # The browser notes an answer of 404 as an error: this one was ours.
        watched.errors[:] = [e for e in watched.errors if "404" not in e]
