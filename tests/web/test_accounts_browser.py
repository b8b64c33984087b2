"""Signing in and one's own account in a headless Chromium, at a desk's and a phone's width."""

import re

import pyotp
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.support.accounts_world import PASSWORD, Entrance
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.web_records import NOW_MS
from tests.support.web_world import fed_read_model
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
BOTH = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])


@pytest.fixture(scope="module")
def model() -> ReadModel:
    return fed_read_model()


async def finds_nothing(page: Page) -> None:
    """axe finds nothing on the page, and it fits its screen."""
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    over = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert over == 0


def without(errors: list[str], *statuses: str) -> None:
    """Forget the browser's notes of refusals that the test wanted."""
    errors[:] = [e for e in errors if not any(status in e for status in statuses)]


@BOTH
async def test_a_person_signs_in_with_the_keyboard_and_out_again(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport, None) as watched:
        home.entrance.add("ann", ("operator", "*"))
        page = watched.page
        await page.goto(home + "#/regions/north")
        await expect(page).to_have_url(re.compile("/sign-in.html#to="))
        await expect(page.get_by_label("Name or e-mail address")).to_be_focused()
        await finds_nothing(page)
        await page.keyboard.type("ann")
        await page.keyboard.press("Tab")
        await page.keyboard.type("a wrong password")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("the name or the password is wrong")
        await finds_nothing(page)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("north")
        await expect(page).to_have_url(home + "#/regions/north")
        await expect(page.locator("#link-text")).to_have_text("Live")
        await expect(page.get_by_role("link", name="ann")).to_be_visible()
        await page.get_by_role("button", name="Sign out").press("Enter")
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        await page.goto(home + "#/regions")
        await expect(page).to_have_url(re.compile("/sign-in.html"))
        without(watched.errors, "401")


@BOTH
async def test_an_account_page_sets_up_a_second_factor_and_makes_a_token(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport, "ann") as watched:
        page, entrance = watched.page, home.entrance
        await page.goto(home + "#/account")
        await expect(page.locator("h1")).to_have_text("Your account")
        await expect(page.get_by_text("operator of every region")).to_be_visible()
        await finds_nothing(page)
        second = page.locator(".panel", has=page.get_by_role("heading", name="Second factor"))
        await second.get_by_label("Password").fill(PASSWORD)
        await second.get_by_role("button", name="Set it up").press("Enter")
        await expect(second.get_by_role("img")).to_be_visible()
        await finds_nothing(page)
        secret = await second.locator("code").inner_text()
        await second.get_by_label("Code that the app shows").fill(
            pyotp.TOTP(secret).at(NOW_MS // 1000)
        )
        await page.keyboard.press("Enter")
        await expect(second).to_contain_text("on: signing in needs a code")
        assert entrance.accounts.people.named("ann").has_totp
        tokens = page.locator(".panel", has=page.get_by_role("heading", name="Tokens"))
        await tokens.get_by_label("Name").fill("meter reader")
        await tokens.get_by_role("button", name="Make the token").press("Enter")
        token = await tokens.locator("code").inner_text()
        await expect(tokens.get_by_role("table", name="Tokens")).to_contain_text("meter reader")
        holder = entrance.accounts.sessions.token_holder(token, NOW_MS)
        assert holder is not None
        assert not holder.gives_orders
        await expect(page.get_by_role("table", name="Sessions")).to_contain_text("this one")
        await finds_nothing(page)


async def test_a_code_is_asked_for_where_there_is_a_second_factor(
    browser: Browser, model: ReadModel
) -> None:
    entrance = Entrance()
    account = entrance.add("ann", ("operator", "*"))
    secret, _ = entrance.accounts.totp.start(account)
    totp = pyotp.TOTP(secret)
    before_s = NOW_MS // 1000 - 30
    assert entrance.accounts.totp.confirm(account, totp.at(before_s), NOW_MS)
    async with (
        serving(model, entrance=entrance) as home,
        opened(browser, home, PHONE, None) as watched,
    ):
        page = watched.page
        await page.goto(home + "sign-in.html")
        await expect(page.get_by_label("Code of your authenticator app")).to_be_hidden()
        await page.get_by_label("Name or e-mail address").fill("ann")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Code of your authenticator app")).to_be_focused()
        await finds_nothing(page)
        await page.keyboard.type(totp.at(NOW_MS // 1000))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="ann")).to_be_visible()
        without(watched.errors, "401")


async def test_a_link_signs_in_once_and_is_not_kept_in_the_address(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home:
        word = home.entrance.link()
        async with opened(browser, home, DESK, None) as watched:
            await watched.page.goto(f"{home}sign-in.html#link={word}")
            await expect(watched.page.get_by_role("link", name="demo")).to_be_visible()
            await watched.page.go_back()
            assert word not in watched.page.url
        async with opened(browser, home, DESK, None) as watched:
            await watched.page.goto(f"{home}sign-in.html#link={word}")
            await expect(watched.page.get_by_role("alert")).to_contain_text("does not work")
            await expect(watched.page.get_by_label("Password")).to_be_visible()
            without(watched.errors, "401")


@BOTH
async def test_a_link_lets_its_owner_choose_a_password(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    async with serving(model) as home, opened(browser, home, viewport, None) as watched:
        entrance, page = home.entrance, watched.page
        account = entrance.add("olga", ("owner", "site:home-001"), password=None)
        word = entrance.accounts.sessions.add_link(account, "password", NOW_MS)
        await page.goto(f"{home}sign-in.html#link={word}")
        await expect(page.locator("h1")).to_have_text("Choose a password")
        await finds_nothing(page)
        await page.get_by_label("New password").fill(PASSWORD)
        await page.get_by_label("The same again").fill("another one than before")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("differ")
        await page.get_by_label("The same again").fill(PASSWORD)
        await page.keyboard.press("Enter")
        # An owner sees the own home: no regions, and nothing that is followed live.
        await expect(page.locator("h1")).to_have_text("home-001")
        for name, count in (("Sites", 1), ("Regions", 0), ("Market", 0), ("Pipeline", 0)):
            await expect(page.get_by_role("link", name=name, exact=True)).to_have_count(count)
        await page.get_by_role("link", name="Devices, readings and commands").press("Enter")
        await expect(page.get_by_role("table", name="Newest reading")).to_contain_text("1.2 kW")
        await page.goto(home + "#/sites/home-002")
        await expect(page.locator(".problem").first).to_contain_text("there is no site 'home-002'")
        await expect(page.get_by_role("table")).to_have_count(0)
        without(watched.errors, "422", "404", "503")  # there is no ledger here


async def test_a_session_that_ends_opens_the_sign_in_page_and_comes_back(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK, "ann") as watched:
        page, accounts = watched.page, home.entrance.accounts
        await page.goto(home + "#/pipeline")
        await expect(page.locator("h1")).to_have_text("Pipeline health")
        accounts.sessions.end_all(accounts.people.named("ann"))
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        await page.get_by_label("Name or e-mail address").fill("ann")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("Pipeline health")
        without(watched.errors, "401")


async def test_no_address_sends_a_person_to_another_site(
    browser: Browser, model: ReadModel
) -> None:
    async with serving(model) as home, opened(browser, home, DESK, None) as watched:
        home.entrance.add("ann", ("operator", "*"))
        page = watched.page
        for to in ("https://evil.example", "javascript:alert(1)", "#//evil.example"):
            await page.context.clear_cookies()
            await page.goto("about:blank")
            await page.goto(f"{home}sign-in.html#to={to.replace('#', '%23')}")
            await page.get_by_label("Name or e-mail address").fill("ann")
            await page.get_by_label("Password").fill(PASSWORD)
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("link", name="ann")).to_be_visible()
            assert page.url.startswith(home)
