"""Pages of what a home was paid, in a headless Chromium: by keyboard, on a desk and a phone."""

import re

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.support.accounts_world import Entrance
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.statement_world import FIRST, SECOND, booked
from tests.support.web_records import site
from tests.support.web_world import apply, fed_read_model
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
BOTH = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
HOME = "home-001"
FORMULA = re.compile(r"\d kWh × [\d.]+ EUR/kWh × 60 % = [\d.]+ EUR")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return booked(tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="module")
def model() -> ReadModel:
    model = fed_read_model()
    apply(model, topics.ASSETS, site(1))
    for program in (FIRST, SECOND):
        apply(model, topics.PROGRAMS, program)
    return model


def owner() -> Entrance:
    entrance = Entrance()
    entrance.add("ann", ("owner", f"site:{HOME}"))
    return entrance


async def finds_nothing(page: Page) -> None:
    """axe finds nothing on the page, and it fits its screen."""
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    over = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert over == 0


@BOTH
async def test_an_owner_goes_from_the_home_to_the_entry_behind_a_cent(
    browser: Browser, model: ReadModel, ledger: Settings, viewport: ViewportSize
) -> None:
    async with (
        serving(model, entrance=owner(), settings=ledger) as home,
        opened(browser, home, viewport, "ann") as watched,
    ):
        page = watched.page
        await page.goto(home)
        earned = page.locator(".panel", has=page.get_by_role("heading", name="What you earned"))
        await expect(earned).to_contain_text("November 2025 so far: 0.02 EUR")
        await expect(earned).to_contain_text("Last event, 31 Oct 2025, 23:50 to 1 Nov 2025, 00:10")
        await finds_nothing(page)
        await earned.get_by_role("link", name="Monthly statements").press("Enter")
        await expect(page.locator("h1")).to_have_text("Monthly statements")
        await expect(page.locator(".paid > li")).to_have_count(3)
        await finds_nothing(page)
        await page.get_by_role("link", name="October 2025").press("Enter")
        await expect(page.locator("h1")).to_have_text("Statement for October 2025")
        sums = page.locator(".sums")
        await expect(sums).to_contain_text("Earned in this month9.604312 EUR")
        await expect(sums).to_contain_text("Can be paid out at the end of the month9.60 EUR")
        await expect(page.get_by_text(FORMULA).first).to_be_visible()
        await expect(page.get_by_text("not complete")).to_be_visible()
        await page.get_by_text("Share of what the market paid, terms version 1").press("Enter")
        entries = page.locator(".paid .paid > li")
        await expect(page.get_by_text(re.compile(r"^50 of \d+ entries\.$"))).to_be_visible()
        await expect(entries).to_have_count(50)
        await expect(entries.first).to_contain_text("Measured")
        await page.get_by_role("button", name="Show more").press("Enter")
        await expect(page.get_by_text(re.compile(r"^(\d+) of \1 entries\.$"))).to_be_visible()
        await expect(page.get_by_role("button", name="Show more").first).to_be_hidden()
        await expect(entries.filter(has_text="Taken back").first).to_be_visible()
        await finds_nothing(page)


@BOTH
async def test_past_events_state_what_was_given_and_what_is_missing(
    browser: Browser, model: ReadModel, ledger: Settings, viewport: ViewportSize
) -> None:
    async with (
        serving(model, entrance=owner(), settings=ledger) as home,
        opened(browser, home, viewport, "ann") as watched,
    ):
        page = watched.page
        await page.goto(f"{home}#/home/{HOME}/events")
        await expect(page.locator(".panel .empty")).to_have_text("No event in this time.")
        await page.get_by_role("link", name="Quarter").press("Enter")
        events = page.locator(".paid > li")
        await expect(events.first).to_contain_text("your battery gave 0.796 kWh")
        night = events.filter(has_text="26 Oct 2025, 01:30 to 04:00 (GMT+2 to GMT+1)")
        await expect(night).to_contain_text("of 210 minutes were measured; the rest was not paid.")
        await expect(events.filter(has_text="Operator's event").first).to_contain_text(
            "1 event × 0.25 EUR = 0.2500 EUR"
        )
        sold = {"why": "event", "market": "sim", "direction": "gave", "delivered_wh": 500}
        title = await page.evaluate(
            "async (event) => (await import('/views/payments.js')).eventTitle(event)", sold
        )
        assert title == "Event of market awards (sim): your battery gave 0.500 kWh"
        await finds_nothing(page)


async def test_a_statement_is_downloaded_as_pdf(
    browser: Browser, model: ReadModel, ledger: Settings
) -> None:
    async with (
        serving(model, entrance=owner(), settings=ledger) as home,
        opened(browser, home, PHONE, "ann") as watched,
    ):
        page = watched.page
        await page.goto(f"{home}#/home/{HOME}/statements/2025-10")
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Download as PDF").click()
        file = await download.value
        assert file.suggested_filename == "statement-home-001-2025-10.pdf"


async def test_without_a_ledger_the_home_is_shown_and_says_what_is_missing(
    browser: Browser, model: ReadModel, ledger: Settings
) -> None:
    elsewhere = ledger.model_copy(update={"namespace": "elsewhere"})
    async with (
        serving(model, entrance=owner(), settings=elsewhere) as home,
        opened(browser, home, PHONE, "ann") as watched,
    ):
        page = watched.page
        await page.goto(home)
        await expect(page.get_by_text("the ledger cannot be read at the moment")).to_be_visible()
        await expect(page.locator(".reason").first).not_to_be_empty()
        await page.goto(f"{home}#/home/{HOME}/statements/2025-10")
        await expect(page.locator(".view > .problem")).to_contain_text("ask your operator")
        watched.errors[:] = [e for e in watched.errors if "503" not in e]
