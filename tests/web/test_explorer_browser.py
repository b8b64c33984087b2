"""The fleet explorer and the map in a headless Chromium, at a desk's and a phone's width."""

import csv
import re

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.support.axe import violations
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.desk_world import desk_model, owners_decided, reading
from tests.support.telemetry_factory import make_batch
from tests.support.web_records import NOW_MS, site
from tests.support.web_world import apply
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
BOTH = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])


@pytest.fixture
def model() -> ReadModel:
    return desk_model()


def found(page: Page, words: str):  # type: ignore[no-untyped-def]  # playwright's assertion
    return expect(page.get_by_role("search").get_by_role("status")).to_have_text(words)


async def first_site(page: Page) -> str:
    return await page.get_by_role("table", name="Sites").locator("tbody a").first.inner_text()


@BOTH
async def test_filters_and_order_are_in_the_address_and_back_and_reload_keep_them(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/sites")
        await found(page, "30 sites")
        await page.get_by_label("Region", exact=True).select_option("south")
        await found(page, "10 sites")
        await page.get_by_text("More filters").click()
        await page.get_by_label("Why not commandable").select_option("not connected")
        await found(page, "2 sites")
        await page.get_by_label("Order by", exact=True).select_option("soc")
        await page.get_by_role("button", name="Reverse the order").click()
        await expect(page).to_have_url(
            re.compile(r"#/sites\?region=south&why=not_connected&sort=soc&order=desc$")
        )
        assert await first_site(page) == "home-024", "28 has sent no reading: it is last"
        await page.reload()
        await found(page, "2 sites")
        await expect(page.get_by_label("Region", exact=True)).to_have_value("south")
        await expect(page.get_by_label("Why not commandable")).to_be_visible()
        await page.get_by_role("link", name="home-024").click()
        await expect(page.locator("h1")).to_have_text("home-024")
        await page.go_back()
        await found(page, "2 sites")
        for _ in range(3):  # the order, its key, and the cause
            await page.go_back()
        await found(page, "10 sites")
        over = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert over == 0


async def test_the_keyboard_alone_suffices(browser: Browser, model: ReadModel) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/sites")
        await found(page, "30 sites")
        await page.get_by_role("searchbox").focus()
        await page.keyboard.type("home-01")
        await found(page, "10 sites")
        await page.keyboard.press("Tab")
        await page.keyboard.type("north")
        await found(page, "10 sites")
        charge = page.get_by_role("button", name="Charge", exact=True)
        await charge.focus()
        await page.keyboard.press("Enter")
        header = page.get_by_role("columnheader", name="Charge")
        await expect(header).to_have_attribute("aria-sort", "ascending")
        await expect(charge).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(header).to_have_attribute("aria-sort", "descending")
        assert await first_site(page) == "home-019"


async def test_rows_show_newer_readings_and_keep_the_focus(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/sites?q=home-007")
        row = page.get_by_role("row", name="home-007")
        await expect(row).to_contain_text("discharging 700 W")
        await page.get_by_role("link", name="home-007").focus()
        newer = {"measured_at_ms": NOW_MS - 100, "received_at_ms": NOW_MS - 50}
        model.explorer.apply_readings(make_batch([reading(7, battery_w=-2500.0, **newer)]))
        await expect(row).to_contain_text("charging 2.5 kW", timeout=15_000)
        await expect(page.get_by_role("link", name="home-007")).to_be_focused()


async def test_pages_of_many_sites_are_in_the_address(browser: Browser, model: ReadModel) -> None:
    for number in range(100, 200):
        apply(model, topics.ASSETS, site(number))
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/sites?page=2")
        await found(page, "51 to 100 of 130 sites")
        await page.get_by_role("button", name="Next").click()
        await found(page, "101 to 130 of 130 sites")
        await expect(page.get_by_role("button", name="Next")).to_be_disabled()
        await page.go_back()
        await found(page, "51 to 100 of 130 sites")
        await page.goto(home + "#/sites?page=99")
        await found(page, "101 to 130 of 130 sites")


async def test_the_file_has_the_filters_of_the_list(browser: Browser, model: ReadModel) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/sites?region=south&soc_min=0.25")
        await found(page, "3 sites")
        async with page.expect_download() as download:
            await page.get_by_role("link", name="CSV").click()
        file = await (await download.value).path()
        assert len(file.read_text().splitlines()) == 4


async def test_a_device_id_finds_its_site(browser: Browser, model: ReadModel) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/regions")
        await page.goto(home + "#/sites/pw-007")
        await expect(page.locator("h1")).to_have_text("home-007")
        await page.go_back()
        await expect(page.locator("h1")).to_have_text("Regions now")
        # The browser notes that there is no site of that id.
        watched.errors[:] = [e for e in watched.errors if "404" not in e]


# The map


@BOTH
async def test_the_map_shows_clusters_that_lead_to_a_site(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/map")
        await found(page, "30 sites")
        pins = page.locator(".map .pin")
        await expect(pins.first).to_be_visible()
        names = await page.locator(".map .pin-box").evaluate_all(
            "all => all.map((one) => one.getAttribute('aria-label'))"
        )
        many = [re.match(r"(\d+) sites: ", name) for name in names]
        assert sum(int(found[1]) if found else 1 for found in many) == 30
        legend = page.get_by_role("list", name="Legend")
        for words in ("needs attention", "partly available", "in order", "not active"):
            await expect(legend).to_contain_text(words)
        await page.get_by_role("searchbox").fill("home-007")
        await expect(pins).to_have_count(1)
        pin = page.get_by_role("button", name="home-007: in order")
        await expect(pin).to_be_visible()
        await pin.press("Enter")
        await expect(page.locator("h1")).to_have_text("home-007")
        await page.go_back()
        await expect(pins).to_have_count(1)
        over = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert over == 0


async def test_the_part_of_the_map_in_sight_is_in_the_address(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/map?region=north")
        await found(page, "20 sites")
        await expect(page).to_have_url(re.compile("at="))
        cluster = page.get_by_role("button", name=re.compile("sites: ")).first
        await page.get_by_role("button", name="Zoom out").click()
        await page.get_by_role("button", name="Zoom out").click()
        address = page.url
        await expect(cluster).to_be_visible()
        await page.reload()
        await found(page, "20 sites")
        assert page.url == address
        await page.get_by_role("link", name="List").click()
        await found(page, "20 sites")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_what_owners_decided_is_a_column_and_a_filter(
    browser: Browser, viewport: ViewportSize
) -> None:
    model = owners_decided(desk_model())
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/sites?owner=paused")
        row = page.locator("table tbody tr")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text("home-002")
        await expect(row).to_contain_text("paused until")
        assert await violations(page) == []
        await page.get_by_label("Owner's decision").select_option("reserve_raised")
        await expect(row).to_contain_text("80 % (raised)")
        await expect(page).to_have_url(re.compile("owner=reserve_raised"))
        file = await page.get_by_role("link", name="CSV").get_attribute("href")
        answer = await page.request.get(home + (file or ""))
        [site] = csv.DictReader((await answer.text()).splitlines())
        assert (site["site_id"], site["backup_reserve"]) == ("home-001", "0.8")
        assert site["reserve_raised"] == "True"
