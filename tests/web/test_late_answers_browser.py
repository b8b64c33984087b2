"""Answers that reach a page late: they replace neither newer ones nor what a person has typed."""

from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.support.accounts_world import PASSWORD, Entrance
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.held_answers import HeldAnswer, stop_clock
from tests.support.statement_world import FIRST, SECOND, booked
from tests.support.web_records import NOW_MS, site
from tests.support.web_world import apply, fed_read_model, feed_control
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
BOTH = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
HOME = "home-001"


@pytest.fixture
def model() -> ReadModel:
    model = fed_read_model()
    feed_control(model)
    apply(model, topics.ASSETS, site(1))
    return model


def owner() -> Entrance:
    entrance = Entrance()
    entrance.add("ann", ("owner", f"site:{HOME}"))
    return entrance


async def refresh_late(page: Page, path: str, every_ms: int) -> HeldAnswer:
    """Let the page refresh itself, and hold the answer."""
    held = await HeldAnswer.of(page, path)
    await page.clock.fast_forward(every_ms)
    await held.kept()
    return held


@BOTH
async def test_an_account_of_before_the_second_factor_leaves_the_forms_alone(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport, "ann") as watched:
        page = watched.page
        await stop_clock(page)
        await page.goto(home + "#/account")
        second = page.locator(".panel", has=page.get_by_role("heading", name="Second factor"))
        tokens = page.locator(".panel", has=page.get_by_role("heading", name="Tokens"))
        await second.get_by_label("Password").fill(PASSWORD)
        await second.get_by_role("button", name="Set it up").click()
        secret = await second.locator("code").inner_text()
        late = await refresh_late(page, "account", 10_000)
        await tokens.get_by_label("Name").fill("meter reader")
        await second.get_by_label("Code that the app shows").fill(
            pyotp.TOTP(secret).at(NOW_MS // 1000)
        )
        await page.keyboard.press("Enter")
        await expect(second).to_contain_text("on: signing in needs a code")
        await expect(tokens.get_by_label("Name")).to_have_value("meter reader")
        await late.let_go()
        await expect(second.get_by_role("button")).to_have_text("Turn it off")
        await expect(second).to_contain_text("The second factor is on")
        await expect(tokens.get_by_label("Name")).to_have_value("meter reader")


async def test_what_is_shown_only_once_stays_until_the_page_is_left(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK, "ann") as watched:
        page, accounts = watched.page, home.entrance.accounts
        await stop_clock(page)
        await page.goto(home + "#/account")
        second = page.locator(".panel", has=page.get_by_role("heading", name="Second factor"))
        tokens = page.locator(".panel", has=page.get_by_role("heading", name="Tokens"))
        await second.get_by_label("Password").fill(PASSWORD)
        await second.get_by_role("button", name="Set it up").click()
        secret = await second.locator("code").inner_text()
        await tokens.get_by_label("Name").fill("meter reader")
        await tokens.get_by_role("button", name="Make the token").click()
        token = await tokens.locator("code").inner_text()
        # Elsewhere, the second factor is turned on and the person loses a role.
        ann = accounts.people.named("ann")
        assert accounts.totp.confirm(ann, pyotp.TOTP(secret).at(NOW_MS // 1000), NOW_MS)
        assert accounts.people.take(ann, ann.grants[0])
        await page.clock.fast_forward(10_000)
        await expect(second).to_contain_text("on: signing in needs a code")
        await expect(tokens.get_by_role("checkbox")).to_have_count(0)
        await expect(second.locator("code")).to_have_text(secret)
        await expect(tokens.locator("code")).to_have_text(token)
        # Neither an attempt that fails takes it away.
        await tokens.get_by_label("Name").fill("another one")
        await tokens.get_by_role("button", name="Make the token").click()
        await expect(tokens.locator(".problem")).to_be_visible()
        await expect(tokens.locator("code")).to_have_text(token)
        watched.errors.clear()  # the browser's note of the refusal


async def test_an_answer_for_another_filter_is_not_shown(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await stop_clock(page)
        await page.goto(home + "#/rejected")
        entries = page.locator(".rejects li")
        await expect(entries).to_have_count(6)
        late = await refresh_late(page, "rejected*", 2000)
        await page.get_by_role("button", name="out_of_range 1").click()
        await expect(entries).to_have_count(1)
        await late.let_go()
        await expect(entries).to_have_count(1)


async def test_windows_and_commands_of_a_region_are_those_that_were_chosen_last(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await stop_clock(page)
        await page.goto(home + "#/regions/north")
        windows = page.get_by_role("table", name="Closed windows")
        commands = page.get_by_role("table", name="Newest command").locator("tbody tr")
        await expect(windows).to_contain_text("23:30")
        every = await commands.count()
        late_windows = await refresh_late(page, "regions/north/windows*", 2000)
        late_commands = await HeldAnswer.of(page, "commands*")
        await page.get_by_role("button", name="applied").click()
        await late_commands.kept()
        await page.get_by_role("button", name="rejected 1").click()
        await expect(commands).to_have_count(1)
        await page.get_by_role("button", name="1 min").click()
        await expect(page.get_by_text("No window of this size has closed yet.")).to_be_visible()
        await late_windows.let_go()
        await late_commands.let_go()
        await expect(page.get_by_text("No window of this size has closed yet.")).to_be_visible()
        await expect(commands).to_have_count(1)
        assert every > 1


async def test_a_reserve_stays_where_its_owner_has_put_it(
    browser: Browser, model: ReadModel
) -> None:
    async with (
        serving(model, entrance=owner()) as home,
        opened(browser, home, PHONE, "ann") as watched,
    ):
        page = watched.page
        await stop_clock(page)
        await page.goto(home)
        slider = page.get_by_role("slider")
        await expect(slider).to_have_value("20")
        late = await refresh_late(page, f"homes/{HOME}", 1000)
        await slider.fill("55")
        await expect(page.get_by_text("Your reserve is 55 %.")).to_be_visible()
        await late.let_go()
        await expect(slider).to_have_value("55")
        # Nor does an answer move it that arrives while the decision is on its way.
        sent = await HeldAnswer.of(page, f"homes/{HOME}/preferences")
        await slider.fill("60")
        await sent.kept()
        await page.clock.fast_forward(1000)
        await expect(slider).to_have_value("60")
        await sent.let_go()
        await expect(page.get_by_text("Your reserve is 60 %.")).to_be_visible()
        watched.errors[:] = [e for e in watched.errors if "503" not in e]  # there is no ledger


async def test_entries_that_are_requested_twice_are_shown_once(
    browser: Browser, model: ReadModel, tmp_path: Path
) -> None:
    for program in (FIRST, SECOND):
        apply(model, topics.PROGRAMS, program)
    async with (
        serving(model, entrance=owner(), settings=booked(tmp_path)) as home,
        opened(browser, home, DESK, "ann") as watched,
    ):
        page = watched.page
        await page.goto(f"{home}#/home/{HOME}/statements/2025-10")
        late = await HeldAnswer.of(page, f"homes/{HOME}/entries*")
        line = page.get_by_text("Share of what the market paid, terms version 1")
        await line.click()
        await late.kept()
        await line.click()
        await line.click()
        entries = page.locator(".paid .paid > li")
        await expect(entries).to_have_count(50)
        await late.let_go()
        await expect(entries).to_have_count(50)


async def test_a_page_shows_answers_that_take_longer_than_its_interval(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await stop_clock(page)
        first = await HeldAnswer.of(page, "health")
        await page.goto(home + "#/pipeline")
        await first.kept()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        await page.clock.run_for(5000)
        await first.let_go()
        await expect(page.get_by_role("table", name="Processes")).to_be_visible()
        assert [url for url in requests if url.endswith("/health")] == []
