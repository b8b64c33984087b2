"""What a person at the desk reads and keeps, in a headless Chromium: words, times and addresses."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, ViewportSize, expect

from tests.support.browser_world import DESK, PHONE, Watched, opened, serving, signed_in
from tests.support.desk_world import desk_model
from tests.support.incidents import incident
from tests.support.market_feed import feed_market
from tests.support.web_records import dispatch_status, region_forecast, region_live
from tests.support.web_world import apply
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
BOTH = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])


@pytest.fixture
def model() -> ReadModel:
    return desk_model()


@BOTH
async def test_a_card_says_who_rules_until_when_and_what_is_missing(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    apply(model, topics.INCIDENTS, incident("north"))
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home)
        card = page.locator(".card", has_text="north")
        for words in (
            "Discharge 400 kW, target-1 by operator ann until 23:58:20 UTC.",
            "Requested 400 kW, measured 358 kW. 42.0 kW is missing.",
            "73 of 74 batteries, 365 kW of 370 kW installed",
        ):
            await expect(card).to_contain_text(words)
        await card.get_by_role("link", name="1 open incident").click()
        await expect(page.locator("h1")).to_have_text("Incidents of north")
        await expect(page.locator(".incidents > li")).to_have_count(1)
        await page.goto(home + "#/incidents?region=south&state=all")
        await expect(page.get_by_text("No incident of south is known.")).to_be_visible()


async def test_a_region_that_nobody_rules_says_nothing_of_it(
    browser: Browser, model: ReadModel
) -> None:
    idle: dict[str, Any] = {"mode": "idle", "request_id": "", "ends_at_ms": 0, "asked_w": None}
    apply(model, topics.DISPATCH_EVENTS, dispatch_status("south", **idle))
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        await watched.page.goto(home)
        card = watched.page.locator(".card", has_text="south")
        await expect(card.locator(".pill")).to_have_text("Live")
        await expect(card.locator(".standing li")).to_have_count(0)


async def test_times_counts_and_axes_in_words(browser: Browser, model: ReadModel) -> None:
    async with serving(model) as home:
        context = await browser.new_context(viewport=DESK, timezone_id="Europe/Berlin")
        await signed_in(context, home)
        watched = Watched(await context.new_page(), home)
        await watched.page.goto(home)

        async def words(module: str, expression: str) -> Any:
            return await watched.page.evaluate(f"import('./{module}').then((m) => {expression})")

        for expression, shown in (
            ("m.clockSeconds(0)", "01:00:00 CET"),
            ("m.dateTime(1750000000000)", "15 Jun 2025, 17:06:40 CEST"),
            ("m.span(0, 900)", "01:00–01:15 CET"),
            ("m.fromTo(0, 60000)", "01:00:00 – 01:01:00 CET"),
            ("m.fromTo(0, 86400000)", "1 Jan 1970, 01:00:00 – 2 Jan 1970, 01:00:00 CET"),
            ("m.dateTime(null)", "–"),
            ("m.counted(1, 'award')", "1 award"),
            ("m.counted(1200, 'bid was', 'bids were')", "1,200 bids were"),
            ("m.number(-0.04, 1)", "0.0"),
            ("m.number(-0.06, 1)", "−0.1"),
        ):
            assert await words("format.js", expression) == shown, expression
        for low, high, ticks in (
            (-0.02, 0.05, ["−0.02", "0.00", "0.02", "0.04"]),
            (0, 10, ["0.0", "2.5", "5.0", "7.5", "10.0"]),
            (0, 1000, ["0", "250", "500", "750", "1000"]),
            (-3, 4, ["−2", "0", "2", "4"]),
        ):
            axis = await watched.page.evaluate(
                "async ([low, high]) => { const [c, f] = await Promise.all([import('./chart.js'),"
                " import('./format.js')]); return c.labelled(low, high, 4, f.number); }",
                [low, high],
            )
            assert [label for _, label in axis] == ticks
        coarse = await words("chart.js", "m.labelled(-0.4, 0.4, 5, (v) => `${Math.round(v)} W`)")
        assert [tick for tick, label in coarse if label] == [0], "a label that is there twice"
        await context.close()


async def test_without_a_forecast_none_is_requested(browser: Browser, model: ReadModel) -> None:
    apply(model, topics.REGION_LIVE, region_live("east"))
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        requested: list[str] = []
        watched.page.on("request", lambda request: requested.append(request.url))
        await watched.page.goto(home + "#/regions/east")
        await expect(watched.page.get_by_text("No forecast yet")).to_be_visible()
        await expect(watched.page.get_by_text("One value so far").first).to_be_visible()
        assert not any(url.endswith("/forecast") for url in requested)
        apply(model, topics.REGION_FORECASTS, region_forecast("east"))
        apply(model, topics.REGION_LIVE, region_live("east"))
        await expect(watched.page.get_by_role("img", name="Load, forecast")).to_be_visible()
        assert sum(url.endswith("/forecast") for url in requested) == 1


@pytest.mark.parametrize(
    ("path", "name", "address"),
    [
        ("#/market", "24 h", r"#/market\?hours=24$"),
        ("#/rejected", "out_of_range 1", r"#/rejected\?reason=out_of_range$"),
        ("#/regions/north", "1 min", r"#/regions/north\?size=60$"),
        ("#/regions/north", "rejected 1", r"#/regions/north\?commands=rejected$"),
        ("#/sites/home-001", "15 min", r"#/sites/home-001\?size=900$"),
    ],
)
async def test_what_was_chosen_is_in_the_address(
    browser: Browser, model: ReadModel, path: str, name: str, address: str
) -> None:
    feed_market(model, 4)
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + path)
        button = page.get_by_role("button", name=name, exact=True)
        await button.click()
        await expect(page).to_have_url(re.compile(address))
        await page.reload()
        await expect(button).to_have_attribute("aria-pressed", "true")
        await page.go_back()
        await expect(button).to_have_attribute("aria-pressed", "false")


async def test_the_skip_link_keeps_the_address(browser: Browser, model: ReadModel) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/sites?q=home-007")
        await page.get_by_role("link", name="Skip to content").press("Enter")
        await expect(page.locator("main")).to_be_focused()
        assert page.url.endswith("#/sites?q=home-007")


# The API's page


@BOTH
async def test_the_api_page_has_contents_and_tries_a_path_out(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "docs")
        contents = page.get_by_role("navigation", name="Contents")
        await contents.get_by_role("searchbox").fill("windows")
        await expect(
            contents.get_by_role("link", name="GET /regions/{region}/windows")
        ).to_be_visible()
        await expect(contents.get_by_role("link", name="GET /summary")).to_be_hidden()
        await contents.get_by_role("link", name="SiteWindows").click()
        await expect(page.locator("details#SiteWindows")).to_have_attribute("open", "")
        await contents.get_by_role("link", name="GET /regions/{region}/windows").click()
        operation = page.locator("#get-regions-region-windows")
        await expect(operation).to_be_in_viewport()
        await operation.get_by_text("Try it").click()
        await operation.get_by_label("region").fill("north")
        await operation.get_by_label("limit").fill("1")
        await operation.get_by_role("button", name="Send").click()
        await expect(operation.get_by_role("status")).to_have_text(
            "200 OK: /api/v1/regions/north/windows?limit=1"
        )
        await expect(operation.locator("pre")).to_contain_text('"coverage": 0.98')
        assert await page.evaluate("document.documentElement.scrollHeight") < 20_000


async def test_an_order_is_not_tried_out_without_a_yes(browser: Browser, model: ReadModel) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        sent: list[str] = []
        asked: list[str] = []
        page.on("request", lambda request: sent.append(request.method))

        async def dismiss(dialog: Any) -> None:
            asked.append(dialog.message)
            await dialog.dismiss()

        page.on("dialog", dismiss)
        await page.goto(home + "docs")
        operation = page.locator("#post-regions-region-hold")
        await operation.locator("summary").first.click()
        await operation.get_by_text("Try it").click()
        await operation.get_by_label("region").fill("north")
        await operation.get_by_role("button", name="Send").click()
        assert len(asked) == 1
        assert "POST" not in sent
