"""Incidents over HTTP and in the browser: listed, acknowledged by whoever may, shown as text."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from playwright.async_api import Browser, ViewportSize, expect

from schemas.incidents import Acknowledgement, IncidentRecord, Notification
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.incidents import OPENED_MS, incident
from tests.support.web_records import HOSTILE, NOW_MS
from tests.support.web_world import KafkaInMemory, apply, fed_read_model
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.operators import Operator, digest_of, lines_for, make_demo_operator
from vpp_streams.web.readmodel import ReadModel

ANN, BOB = ({"Authorization": f"Bearer {name}-token"} for name in ("ann", "bob"))
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


@pytest.fixture
def operators(tmp_path: Path) -> Path:
    path = tmp_path / "operators.toml"
    everywhere = Operator(name="ann", token_sha256=digest_of("ann-token"), regions="*", may=())
    south = Operator(
        name="bob", token_sha256=digest_of("bob-token"), regions=("south",), may=("hold",)
    )
    path.write_text(lines_for(everywhere) + lines_for(south))
    return path


def client(model: ReadModel, kafka: KafkaInMemory, operators: Path | None) -> httpx.AsyncClient:
    app = create_web(Settings(operators=operators), model, lambda: NOW_MS, kafka)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_open_ones_come_first_and_filters_filter(model: ReadModel) -> None:
    async with client(model, KafkaInMemory(), None) as http:
        page = (await http.get("/api/v1/incidents")).json()
        assert (page["total"], page["open"], page["unacknowledged"]) == (4, 3, 3)
        assert page["incidents"][-1]["closed_at_ms"] == OPENED_MS + 60_000
        assert page["incidents"][0]["notifications"][0]["delivered"] is False
        for query, subjects in (
            ("state=closed", ["south"]),
            ("region=north", ["north"]),
            ("severity=warning", ["north"]),
        ):
            found = (await http.get(f"/api/v1/incidents?{query}")).json()["incidents"]
            assert [one["subject"] for one in found] == subjects
        assert (await http.get("/api/v1/incidents?state=odd")).status_code == 400


async def test_the_first_who_acknowledges_attends_to_it(model: ReadModel, operators: Path) -> None:
    kafka = KafkaInMemory()
    async with client(model, kafka, operators) as http:
        body = {"incident_id": ID, "note": "on it"}
        answer = await http.post("/api/v1/incidents/acknowledge", json=body, headers=ANN)
        assert (answer.status_code, answer.json()["acknowledged_by"]) == (201, "ann")
    ((topic, _, value),) = kafka.written
    record: Any = msgspec.json.decode(value, type=IncidentRecord)
    assert topic is topics.INCIDENTS
    assert record == Acknowledgement(incident_id=ID, by="operator:ann", at_ms=NOW_MS, note="on it")
    assert model.alarms(NOW_MS, 10).incidents_unacknowledged == 2


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, {"incident_id": ID}, 401),
        (BOB, {"incident_id": ID}, 403),
        (ANN, {"incident_id": "silent|nowhere|1"}, 404),
        (ANN, {"incident_id": incident("south").incident_id}, 409),
        (ANN, {"incident_id": ID, "note": "x" * 501}, 422),
        (ANN, {"incident_id": ID, "more": 1}, 422),
        (ANN, {}, 422),
    ],
)
async def test_what_cannot_be_acknowledged_writes_nothing(
    model: ReadModel, operators: Path, headers: dict[str, str], body: Any, status: int
) -> None:
    kafka = KafkaInMemory()
    async with client(model, kafka, operators) as http:
        answer = await http.post("/api/v1/incidents/acknowledge", json=body, headers=headers)
    assert (answer.status_code, kafka.written) == (status, [])
    assert answer.json()["hint"]


async def test_whoever_has_a_region_attends_to_what_concerns_none(
    model: ReadModel, operators: Path
) -> None:
    body = {"incident_id": f"region-silent|optimizer|{OPENED_MS}"}
    async with client(model, KafkaInMemory(), operators) as http:
        answer = await http.post("/api/v1/incidents/acknowledge", json=body, headers=BOB)
    assert answer.status_code == 201


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_an_operator_acknowledges_by_the_keyboard(
    browser: Browser, model: ReadModel, tmp_path: Path, viewport: ViewportSize
) -> None:
    operators, access = make_demo_operator(tmp_path, "demo", "http://web.test")
    kafka = KafkaInMemory()
    async with (
        serving(model, kafka, operators) as home,
        opened(browser, home, viewport) as watched,
    ):
        page = watched.page
        await page.goto(home + "#/regions")
        await page.get_by_role("link", name="3 incidents are open").click()
        await expect(page.locator(".incidents > li")).to_have_count(3)
        assert await page.evaluate("window.hacked") is None
        mine = page.locator(".incidents > li", has_text="region-silent · coast")
        await expect(mine).to_contain_text("not delivered after 5 attempts")
        await mine.get_by_label("Note").fill("restarting the gateway")
        await mine.get_by_label("Operator's token").fill(access.token)
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
