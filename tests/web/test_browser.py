"""The dashboard in a headless Chromium, at a desk's and a phone's width; no Kafka."""

from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from playwright.async_api import Browser, Dialog, ViewportSize, expect

from schemas.bounds import PARTITIONS
from schemas.dispatch import Hold, Request, RequestEvent, StormCost, Target
from tests.support.browser_world import DESK, PHONE, opened, serving, signed_in
from tests.support.web_records import (
    HOSTILE,
    NOW_MS,
    commandable,
    dispatch_status,
    region_live,
    rejected,
)
from tests.support.web_world import (
    KafkaInMemory,
    apply,
    apply_raw,
    fed_read_model,
    feed_control,
    story_records,
)
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
PAGES = (
    "#/regions",
    "#/regions/north",
    "#/sites",
    "#/sites/home-001",
    "#/rejected",
    "#/pipeline",
    "docs",
)


@pytest.fixture
def model() -> ReadModel:
    model = fed_read_model()
    feed_control(model)
    return model


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_every_page_fits_its_screen_without_errors(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
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
async def test_a_region_moves_as_soon_as_it_is_heard_of(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
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
        # Of the devices that can be commanded, as the region role tells it.
        await expect(card).to_contain_text("455 kW")
        await expect(card).to_contain_text("Partly covered")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_a_region_that_cannot_be_commanded_is_held_or_unheard_is_not_green(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    """U-F1, U-F4: 16 of 25 batteries could not be commanded, and a region was held, all green."""
    idle = {"mode": "idle", "request_id": "", "asked_w": None, "allocated_w": None}
    south = dispatch_status("south", NOW_MS, **idle, commandable=commandable(9, not_connected=16))
    apply(model, topics.DISPATCH_EVENTS, south)
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home)
        cards = {name: page.locator(".card", has_text=name) for name in ("north", "south", "west")}
        await expect(cards["north"].locator(".pill")).to_have_class("pill good")
        await expect(cards["north"]).to_contain_text(
            "Discharge 400 kW, target-1 by operator ann until"
        )
        await expect(cards["north"]).to_contain_text("73 of 74 batteries")
        await expect(cards["south"].locator(".pill")).to_have_class("pill bad")
        await expect(cards["south"].locator(".pill")).to_have_text("64% cannot be commanded")
        said = "9 of 25 batteries can be commanded (45.0 of 125.0 kW): 16 not connected"
        await expect(cards["south"]).to_contain_text(said)
        await expect(cards["west"].locator(".pill")).to_have_text("No dispatch report")
        strip = page.get_by_role("status", name="Alarms")
        await expect(strip).to_contain_text(f"south: {said}")
        await expect(strip).to_contain_text("west: no report of its dispatch was received")
        over = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert over == 0
        storm = StormCost(devices=3, withheld_w=15e3, charge_wh=9e3)
        stormy = commandable(70, not_connected=1, storm=3)
        changed = dispatch_status("north", NOW_MS, storm=storm, commandable=stormy)
        apply(model, topics.DISPATCH_EVENTS, changed)
        await expect(cards["north"].locator(".pill")).to_have_text("Storm")
        apply(model, topics.DISPATCH_EVENTS, dispatch_status("north", NOW_MS, mode="hold"))
        await expect(cards["north"].locator(".pill")).to_have_text("Held")
        await expect(cards["north"].locator(".pill")).to_have_class("pill bad")
        await page.goto(home + "#/regions/south")
        await expect(page.locator(".title .pill")).to_have_text("64% cannot be commanded")
        await expect(page.get_by_text(said).first).to_be_visible()
        await expect(page.locator(".commandable")).to_contain_text("9 of 25 batteries, 45.0 kW")


async def test_region_charts_draw_their_series_and_answer_to_the_keyboard(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/regions/north")
        chart = page.locator("figure.chart", has=page.get_by_role("img", name="Powers over"))
        await expect(chart.locator("path.line")).to_have_count(4)
        await chart.get_by_role("button", name="Solar").click()
        await expect(chart.locator("path.line")).to_have_count(3)
        newest = await chart.locator(".readout").inner_text()
        await chart.locator("svg").focus()
        await page.keyboard.press("ArrowLeft")
        await expect(chart.locator(".readout")).not_to_have_text(newest)
        await expect(page.get_by_role("table", name="Closed windows")).to_contain_text("98.0 %")


async def test_a_person_finds_a_site_with_the_keyboard_alone(
    browser: Browser, model: ReadModel
) -> None:
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


async def test_rejected_readings_are_shown_as_text_whatever_they_hold(
    browser: Browser, model: ReadModel
) -> None:
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


async def test_a_lost_connection_is_said_and_the_numbers_stay(
    browser: Browser, model: ReadModel
) -> None:
    context = await browser.new_context(viewport=DESK)
    page = await context.new_page()
    async with serving(model) as home:
        await signed_in(context, home)
        await page.goto(home)
        await expect(page.locator("#link-text")).to_have_text("Live")
        await expect(page.get_by_role("alert")).to_be_hidden()
    await expect(page.get_by_role("alert")).to_contain_text("Connection to the web process lost")
    await expect(page.locator(".card", has_text="north")).to_contain_text("73 of 74 sites")
    await context.close()


# Control


async def test_a_dispatch_is_shown_with_what_is_missing_and_why(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/regions/north")
        panel = page.locator(".panel", has=page.get_by_role("heading", name="Dispatch"))
        for said in (
            "Target active",
            "400 kW",
            "42.0 kW of target-1 is missing since",
            "60 applied",
        ):
            await expect(panel).to_contain_text(said)
        await expect(panel).to_contain_text("7 devices not connected: 35.0 kW")
        await expect(panel.locator("path.line.asked")).to_have_count(1)
        requests = page.get_by_role("table", name="Requests")
        await expect(requests.locator("tbody tr")).to_have_count(3)
        await expect(requests).to_contain_text("target-1 was asked for later")
        commands = page.get_by_role("table", name="Newest command")
        await expect(commands).to_contain_text("discharge 3.0 kW")
        await page.get_by_role("button", name="rejected 1").click()
        await expect(commands.locator("tbody tr")).to_have_count(1)
        strip = page.get_by_role("status", name="Alarms")
        await expect(strip).to_contain_text("pw-001 is to discharge 3.0 kW and reports idle 0 W")
        held = dispatch_status("north", NOW_MS, mode="hold", asked_w=None, causes=())
        apply(model, topics.DISPATCH_EVENTS, held)
        await expect(panel.locator(".pill")).to_have_text("Held")


class Region:
    """A region role that accepts what is written; what it heard is in ``requests``."""

    def __init__(self, model: ReadModel) -> None:
        self.model = model
        self.requests: list[Any] = []

    def write(self, topic: Topic, _key: bytes, value: bytes) -> None:
        request = msgspec.json.decode(value, type=Request)
        self.requests.append(request)
        apply_raw(self.model, topic, None, value, offset=0, now_ms=NOW_MS)
        told = {"region": request.region, "state": "accepted", "at_ms": NOW_MS}
        event = RequestEvent(request_id=request.request_id, **told)
        apply(self.model, topics.DISPATCH_EVENTS, event)


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_an_operator_dispatches_holds_and_releases(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    region = Region(model)
    kafka = KafkaInMemory(region.write)
    async with serving(model, kafka) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/regions/north")
        requests = page.locator(".panel", has_text="Give an order")
        said = requests.locator(".said")
        await page.get_by_label("Power, kW").fill("250")
        await page.get_by_label("Direction").select_option("charge")
        await page.get_by_role("button", name="Dispatch", exact=True).click()
        await expect(said).to_contain_text("accepted")
        [target] = region.requests
        assert (target.export_w, target.ends_at_ms) == (-250_000, NOW_MS + 900_000)
        bar = page.get_by_role("region", name="Hold")
        await bar.get_by_role("button", name="Hold the region").click()
        await bar.get_by_placeholder("Why").fill("works")
        await page.keyboard.press("Enter")
        confirmed = bar.get_by_role("button", name="Hold north now")
        await expect(confirmed).to_be_focused()
        assert len(region.requests) == 1, "Enter in a field holds nothing"
        await confirmed.click()
        await expect(bar.locator(".said")).to_contain_text("the region is held")
        await expect(bar).to_contain_text("by operator demo: works")
        asked: list[str] = []
        answers = [False, True]

        async def answer(dialog: Dialog) -> None:
            asked.append(dialog.message)
            await (dialog.accept() if answers.pop(0) else dialog.dismiss())

        page.on("dialog", answer)
        await bar.get_by_role("button", name="Release").click()
        assert len(region.requests) == 2
        await bar.get_by_role("button", name="Release").click()
        await expect(bar.locator(".said")).to_contain_text("the hold is released")
        assert asked == ["Release north? Its other requests apply again at once."] * 2
        assert [type(r).__name__ for r in region.requests] == ["Target", "Hold", "Withdraw"]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_the_kill_switch_stays_in_reach_however_long_the_page_is(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/regions/north")
        button = page.get_by_role("button", name="Hold the region")
        await expect(page.get_by_role("table", name="Closed windows")).to_be_visible()
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        assert await page.evaluate("scrollY") > 500
        await expect(button).to_be_in_viewport(ratio=1)
        await button.click()
        await expect(page.get_by_role("button", name="Hold north now")).to_be_in_viewport(ratio=1)


async def test_the_kill_switch_is_there_while_the_web_process_is_not(
    browser: Browser, model: ReadModel
) -> None:
    server = AsyncExitStack()
    home = await server.enter_async_context(serving(model))
    async with server, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/regions/north")
        bar = page.get_by_role("region", name="Hold")
        await expect(bar).to_contain_text("Not held")
        await server.aclose()
        await expect(page.locator("#link")).to_contain_text("Connection lost", timeout=60_000)
        await expect(bar).to_contain_text("No connection to the web process")
        await expect(bar).to_contain_text("vpp hold north --kafka")
        await expect(bar.get_by_role("button", name="Hold the region")).to_be_enabled()
        await expect(page.get_by_role("heading", name="Requests")).to_be_visible()
        # The browser notes each request that found nobody: these were ours.
        watched.errors[:] = [e for e in watched.errors if "ERR_" not in e]


async def test_what_was_shown_stays_while_a_web_process_has_just_started(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home + "#/regions/north")
        requests = page.get_by_role("heading", name="Requests")
        await expect(page.get_by_role("table", name="Requests")).to_be_visible()
        gone = '{"error": "there is no record of a region", "hint": ""}'
        await page.route("**/api/v1/regions/north/**", lambda r: r.fulfill(status=404, body=gone))
        await expect(page.locator(".problem")).to_contain_text("there is no record of a region")
        await expect(requests).to_be_visible()
        await expect(page.get_by_role("button", name="Hold the region")).to_be_visible()
        watched.errors[:] = [e for e in watched.errors if "404" not in e]


async def test_withdrawing_an_award_asks_first(browser: Browser, model: ReadModel) -> None:
    region = Region(model)
    award = Target(
        request_id="sim-north-1",
        region="north",
        export_w=50_000.0,
        starts_at_ms=NOW_MS - 1000,
        ends_at_ms=NOW_MS + 900_000,
        priority="market",
        source="market:sim",
        issued_at_ms=NOW_MS - 1000,
    )
    apply(model, topics.DISPATCH_TARGETS, award)
    async with (
        serving(model, KafkaInMemory(region.write)) as home,
        opened(browser, home, DESK) as watched,
    ):
        page = watched.page
        await page.goto(home + "#/regions/north")
        asked: list[str] = []

        async def answer(dialog: Dialog) -> None:
            asked.append(dialog.message)
            await (dialog.dismiss() if len(asked) == 1 else dialog.accept())

        page.on("dialog", answer)
        row = page.get_by_role("row", name="sim-north-1")
        await row.get_by_role("button", name="Withdraw").click()
        assert "undelivered energy costs money" in asked[0]
        assert region.requests == []
        await row.get_by_role("button", name="Withdraw").click()
        await expect(page.locator(".said", has_text="withdrawn")).to_be_visible()
        assert [type(r).__name__ for r in region.requests] == ["Withdraw"]


async def test_a_site_tells_desired_reported_and_its_devices_story(
    browser: Browser, model: ReadModel
) -> None:
    kafka = KafkaInMemory()
    kafka.records = story_records(partition_of("home-001", PARTITIONS))
    async with serving(model, kafka) as home, opened(browser, home, PHONE) as watched:
        page = watched.page
        await page.goto(home + "#/sites/home-001")
        twin = page.get_by_role("table", name="Newest reading")
        await expect(twin).to_contain_text("discharge 3.0 kW until")
        story = page.locator(".story li")
        await expect(story).to_have_count(5)
        await expect(story.first).to_contain_text("applied at +3,031 W")
        await expect(story.last).to_contain_text("renewed 2 times")
        await expect(story.last).to_contain_text("commanded to discharge 3,040 W for 30 s")


async def test_what_people_write_into_requests_is_shown_as_text(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        hold = Hold(
            request_id="hold-1",
            region="north",
            source=f"operator:{HOSTILE}",
            issued_at_ms=NOW_MS,
            reason=HOSTILE,
        )
        told: dict[str, Any] = {"request_id": "hold-1", "region": "north", "at_ms": NOW_MS}
        apply(model, topics.DISPATCH_TARGETS, hold)
        apply(model, topics.DISPATCH_EVENTS, RequestEvent(state="active", reason=HOSTILE, **told))
        await page.goto(home + "#/regions/north")
        await expect(page.get_by_role("table", name="Requests")).to_contain_text(HOSTILE)
        assert await page.evaluate("window.hacked") is None
