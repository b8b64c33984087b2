"""Refused records in the browser: an alarm leads to them, and their bytes are shown as text."""

from base64 import b64encode

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser_world import DESK, opened, serving
from tests.support.rejected_records import rejected_record
from tests.support.web_records import HOSTILE, NOW_MS
from tests.support.web_world import apply
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_an_alarm_leads_to_the_refused_record(browser: Browser) -> None:
    model = ReadModel(started_at_ms=NOW_MS - 3_600_000)
    bytes_ = b64encode(HOSTILE.encode()).decode()
    apply(model, topics.RECORDS_REJECTED, rejected_record(detail=HOSTILE, original_base64=bytes_))
    async with serving(model) as home, opened(browser, home, DESK) as watched:
        page = watched.page
        await page.goto(home)
        await page.get_by_role("link", name="1 record was refused in the last 5 minutes").click()
        await expect(page.locator("h1")).to_have_text("Refused records")
        await expect(page.get_by_text("1 refused in the last 5 minutes.")).to_be_visible()
        entry = page.locator(".rejects li")
        await expect(entry).to_have_count(1)
        await expect(entry.locator(".detail")).to_have_text(HOSTILE)
        await entry.locator("summary").click()
        await expect(entry.locator("pre")).to_have_text(HOSTILE)
        assert await page.evaluate("window.hacked") is None
        assert await page.locator("main img, main script").count() == 0
