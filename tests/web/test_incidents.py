"""Incidents over HTTP and in the browser: listed, acknowledged by whoever may, shown as text."""

from typing import Any

import httpx
import msgspec
import pytest
from playwright.async_api import Browser, ViewportSize, expect

from schemas.incidents import Acknowledgement, IncidentRecord, Notification
from tests.support.accounts_world import Entrance
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.incidents import OPENED_MS, incident
from tests.support.web_records import HOSTILE, NOW_MS
from tests.support.web_world import KafkaInMemory, apply, fed_read_model
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web

ID = incident().incident_id


@pytest.fixture
def model() -> ReadModel:
    model = fed_read_model()
    for record in (
        incident(),
        incident("north", severity="warning", evidence=HOSTILE),
        incident("south", closed_at_ms=OPENED_MS + 60_000),
        incident("optimizer", region="", kind="process_silent", rule="process-silent"),
        Notification(
            incident_id=ID, channel="ops", state="opened", at_ms=OPENED_MS, delivered=False,
            attempts=5, reason="channel ops did not answer within 20 s",
        ),
    ):  # fmt: skip
        apply(model, topics.INCIDENTS, record)
    return model


class World:
    def __init__(self, model: ReadModel) -> None:
        self.kafka, self.entrance = KafkaInMemory(), Entrance()
        app = create_web(Settings(), model, lambda: NOW_MS, self.kafka, logins=self.entrance.logins)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def get(self, query: str = "", role: str = "operator", scope: str = "*") -> Any:
        headers = self.entrance.headers(role, scope)
        return await self.client.get(f"/api/v1/incidents{query}", headers=headers)

    async def acknowledge(self, body: Any, role: str = "operator", scope: str = "*") -> Any:
        headers = self.entrance.headers(role, scope) if role else {}
        path = "/api/v1/incidents/acknowledge"
        return await self.client.post(path, json=body, headers=headers)


@pytest.fixture
def world(model: ReadModel) -> World:
    return World(model)


async def test_open_ones_come_first_and_filters_filter(world: World) -> None:
    page = (await world.get()).json()
    assert (page["total"], page["open"], page["unacknowledged"]) == (4, 3, 3)
    assert page["incidents"][-1]["closed_at_ms"] == OPENED_MS + 60_000
    assert page["incidents"][0]["notifications"][0]["delivered"] is False
    for query, subjects in (
        ("?state=closed", ["south"]),
        ("?region=north", ["north"]),
        ("?severity=warning", ["north"]),
    ):
        found = (await world.get(query)).json()["incidents"]
        assert [one["subject"] for one in found] == subjects
    assert (await world.get("?state=odd")).status_code == 400


async def test_who_reads_a_region_sees_its_incidents_and_those_of_the_system(world: World) -> None:
    page = (await world.get("", "viewer", "region:north")).json()
    assert {one["subject"] for one in page["incidents"]} == {"north", "optimizer"}
    assert (page["total"], page["open"]) == (2, 2)
    assert (await world.get("", "owner", "site:home-001")).status_code == 403


async def test_the_first_who_acknowledges_attends_to_it(world: World, model: ReadModel) -> None:
    answer = await world.acknowledge({"incident_id": ID, "note": "on it"})
    assert (answer.status_code, answer.json()["acknowledged_by"]) == (201, "operator-all")
    ((topic, _, value),) = world.kafka.written
    record: Any = msgspec.json.decode(value, type=IncidentRecord)
    assert topic is topics.INCIDENTS
    assert record == Acknowledgement(
        incident_id=ID, by="operator:operator-all", at_ms=NOW_MS, note="on it"
    )
    assert model.alarms(NOW_MS, 10).incidents_unacknowledged == 2


@pytest.mark.parametrize(
    ("role", "scope", "body", "status"),
    [
        ("", "", {"incident_id": ID}, 401),
        ("viewer", "*", {"incident_id": ID}, 403),
        ("operator", "region:south", {"incident_id": ID}, 404),
        ("operator", "*", {"incident_id": "silent|nowhere|1"}, 404),
        ("operator", "*", {"incident_id": incident("south").incident_id}, 409),
        ("operator", "*", {"incident_id": ID, "note": "x" * 501}, 422),
        ("operator", "*", {"incident_id": ID, "more": 1}, 422),
        ("operator", "*", {}, 422),
    ],
)
async def test_what_cannot_be_acknowledged_writes_nothing(
    world: World, role: str, scope: str, body: Any, status: int
) -> None:
    answer = await world.acknowledge(body, role, scope)
    assert (answer.status_code, world.kafka.written) == (status, [])
    assert answer.json()["hint"]


async def test_the_operator_of_a_region_attends_to_what_concerns_none(world: World) -> None:
    body = {"incident_id": f"region-silent|optimizer|{OPENED_MS}"}
    assert (await world.acknowledge(body, "operator", "region:south")).status_code == 201


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_an_operator_acknowledges_by_the_keyboard(
    browser: Browser, model: ReadModel, viewport: ViewportSize
) -> None:
    kafka = KafkaInMemory()
    async with serving(model, kafka) as home, opened(browser, home, viewport) as watched:
        page = watched.page
        await page.goto(home + "#/regions")
        await page.get_by_role("link", name="3 incidents are open").click()
        await expect(page.locator(".incidents > li")).to_have_count(3)
        assert await page.evaluate("window.hacked") is None
        mine = page.locator(".incidents > li", has_text="region-silent · coast")
        await expect(mine).to_contain_text("not delivered after 5 attempts")
        await mine.get_by_label("Note").fill("restarting the gateway")
        await page.keyboard.press("Enter")
        await expect(mine).to_contain_text("demo attends to it since")
        await expect(mine).to_contain_text("restarting the gateway")
        await expect(mine.get_by_role("button")).to_be_hidden()
        assert len(kafka.written) == 1
        await page.get_by_role("link", name="Closed").click()
        await expect(page.locator(".incidents > li")).to_have_count(1)
        over = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert over == 0
