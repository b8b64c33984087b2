"""The page Reports in a headless Chromium, at a desk's and a phone's width; no Kafka."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, ViewportSize, expect

from tests.support.axe import violations
from tests.support.browser_world import DESK, PHONE, opened, serving, signed_in
from tests.support.history_world import (
    LATENESS_MS,
    HistoryWorld,
    quarter,
    region_quarter,
    starts,
)
from tests.support.statement_world import booked
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
BOTH = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
OCTOBER = "#/reports/energy?span=month&date=2026-10-15"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """The last week of October of two regions and a site; the 31st is not there."""
    world = HistoryWorld(tmp_path)
    week = starts("2026-10-24", "2026-10-31")
    world.write(
        "region.windows", [region_quarter(r, s, 250.0) for s in week for r in ("north", "south")]
    )
    world.write("site.windows", [quarter("home-001", s, 25.0) for s in week])
    world.caught_up(week.stop + LATENESS_MS)
    return tmp_path


def rows(page: Page) -> Locator:
    return page.locator(".report-rows tbody tr")


async def sideways(page: Page) -> int:
    over: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return over


@BOTH
async def test_a_month_is_a_chart_and_a_table_that_fit_the_screen(
    browser: Browser, history: Path, viewport: ViewportSize
) -> None:
    model = ReadModel(started_at_ms=0)
    async with (
        serving(model, settings=Settings(history=history)) as home,
        opened(browser, home, viewport) as watched,
    ):
        page = watched.page
        await page.goto(home)
        link = page.get_by_role("link", name="Reports", exact=True)
        await expect(link).to_be_in_viewport(ratio=1)
        await page.goto(home + OCTOBER)
        await expect(page.locator("h1")).to_have_text("Energy")
        await expect(link).to_have_attribute("aria-current", "page")
        await expect(
            page.get_by_text("1 Oct 2026 to 31 Oct 2026, all regions together")
        ).to_be_visible()
        await expect(rows(page)).to_have_count(31)
        await expect(rows(page).nth(24)).to_contain_text("25 Oct 2026")
        await expect(rows(page).nth(24)).to_contain_text("50.0 kWh")  # of 25 hours
        await expect(rows(page).nth(0)).to_contain_text("–")
        await expect(page.get_by_text("24 of 31 rows are not final")).to_be_visible()
        canvas = page.locator(".report-plot canvas")
        await expect(canvas).to_have_count(1)
        drawn = await canvas.evaluate(
            "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
        )
        assert drawn > 2
        assert await sideways(page) == 0


async def test_the_keyboard_alone_changes_the_report_and_the_focus_stays(
    browser: Browser, history: Path
) -> None:
    model = ReadModel(started_at_ms=0)
    async with (
        serving(model, settings=Settings(history=history)) as home,
        opened(browser, home, DESK) as watched,
    ):
        page = watched.page
        await page.goto(home + OCTOBER)
        await expect(rows(page)).to_have_count(31)
        previous = page.get_by_role("button", name="Previous")
        await previous.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("1 Sept 2026 to 30 Sept 2026")).to_be_visible()
        await expect(page.get_by_text("Nothing was measured in this span")).to_be_visible()
        await expect(previous).to_be_focused()
        await expect(page).to_have_url(re.compile("date=2026-09-30"))
        await page.get_by_role("button", name="Next").press("Enter")
        await expect(rows(page)).to_have_count(31)
        await page.get_by_role("combobox", name="Rows").select_option("total")
        await expect(rows(page)).to_have_count(1)
        await page.get_by_role("combobox", name="Region").select_option("*")
        await expect(rows(page)).to_have_count(2)
        await page.get_by_role("textbox", name="Site").fill("home-001")
        await expect(rows(page)).to_have_count(1)
        await expect(page).to_have_url(re.compile("site=home-001"))
        plot = page.get_by_role("img", name=re.compile("Chart of the table"))
        await plot.focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator(".readout")).to_contain_text("Battery discharge 16.9 kWh")
        # The address alone opens the same report.
        await page.reload()
        await expect(rows(page)).to_have_count(1)
        await expect(page.get_by_role("textbox", name="Site")).to_have_value("home-001")


async def test_a_report_is_downloaded_and_printed(browser: Browser, history: Path) -> None:
    model = ReadModel(started_at_ms=0)
    async with (
        serving(model, settings=Settings(history=history)) as home,
        opened(browser, home, DESK) as watched,
    ):
        page = watched.page
        await page.goto(home + OCTOBER)
        await expect(rows(page)).to_have_count(31)
        async with page.expect_download() as waiting:
            await page.get_by_role("link", name="CSV").click()
        download = await waiting.value
        assert download.suggested_filename == "energy-2026-10-01-2026-10-31-day.csv"
        await download.save_as(history / "saved.csv")
        text = (history / "saved.csv").read_text(encoding="utf-8")
        assert len(text.splitlines()) == 32
        assert "2026-10-25T00:00:00+02:00" in text
        await page.emulate_media(media="print")
        for gone in (page.locator("header.bar"), page.get_by_role("button", name="Next")):
            await expect(gone).to_be_hidden()
        await expect(page.locator(".scope")).to_be_visible()
        await expect(rows(page).nth(30)).to_be_visible()


async def test_without_history_the_page_names_the_way_out(browser: Browser, tmp_path: Path) -> None:
    model = ReadModel(started_at_ms=0)
    none = tmp_path / "none"
    async with serving(model, settings=Settings(history=none)) as home:
        context = await browser.new_context()
        try:
            await signed_in(context, home)
            page = await context.new_page()
            await page.goto(home + OCTOBER)
            await expect(page.locator(".problem")).to_contain_text("vpp worker historian")
        finally:
            await context.close()


@BOTH
async def test_earnings_of_a_home_are_from_the_ledger(
    browser: Browser, tmp_path: Path, history: Path, viewport: ViewportSize
) -> None:
    """Without and with a site the page is the same; a closed month is final."""
    settings = booked(tmp_path / "ledger").model_copy(update={"history": history})
    page_of = "#/reports/earnings?span=month&date=2025-10-15&group=month"
    model = ReadModel(0)
    async with (
        serving(model, settings=settings) as home,
        opened(browser, home, viewport) as watched,
    ):
        page = watched.page
        await page.goto(home + page_of + "&site=home-001")
        await expect(rows(page)).to_have_count(1)
        await expect(rows(page)).to_contain_text("9.60")
        await expect(page.get_by_text("every row is final")).to_be_visible()
        await expect(page.get_by_text("Final rows are of closed months")).to_be_visible()
        assert await violations(page) == []
        await page.get_by_label("Site").fill("*")
        await expect(rows(page)).to_have_count(3)
        assert await sideways(page) == 0
