"""Homes for their owners: what is shown, what is decided, and nobody else's home."""

from typing import Any

import httpx
import msgspec
import pytest
from playwright.async_api import Browser, Dialog, ViewportSize, expect

from schemas.dispatch import Target
from schemas.grid import Alert
from schemas.preferences import Preferences
from tests.support.accounts_world import Entrance
from tests.support.browser_world import DESK, PHONE, opened, serving
from tests.support.web_records import NOW_MS, command_frame, dispatch_status, site
from tests.support.web_world import TWIN, KafkaInMemory, apply, fed_read_model, fleet_that_answers
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web

HOME, OTHER = "home-001", "home-002"


class World:
    def __init__(self, model: ReadModel) -> None:
        self.model, self.kafka, self.entrance = model, KafkaInMemory(), Entrance()
        fleet = FleetWorker("http://fleet.test", fleet_that_answers(httpx.Response(200, json=TWIN)))
        app = create_web(
            Settings(), model, lambda: NOW_MS, self.kafka, fleet=fleet, logins=self.entrance.logins
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        self.owner = self.entrance.headers("owner", f"site:{HOME}")

    async def get(self, path: str) -> Any:
        answer = await self.client.get(f"/api/v1/{path}", headers=self.owner)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, by: Any = None) -> httpx.Response:
        headers = by or self.owner
        return await self.client.post(f"/api/v1/homes/{path}", json=body, headers=headers)


@pytest.fixture
def world() -> World:
    model = fed_read_model()
    apply(model, topics.ASSETS, site(1))
    apply(model, topics.ASSETS, site(2))
    return World(model)


def target(request_id: str, starts_ms: int, **changes: Any) -> Target:
    fields: dict[str, Any] = {
        "region": "north", "export_w": 250_000.0, "starts_at_ms": starts_ms,
        "ends_at_ms": starts_ms + 300_000, "priority": "market", "source": "market:sim-day",
        "issued_at_ms": NOW_MS,
    }  # fmt: skip
    return Target(request_id=request_id, **fields | changes)


async def test_an_owner_sees_the_flows_the_reason_and_what_comes(world: World) -> None:
    apply(world.model, topics.DISPATCH_TARGETS, target("r-later", NOW_MS + 60_000))
    apply(world.model, topics.DISPATCH_TARGETS, target("r-now", NOW_MS - 1000, export_w=-9.0))
    apply(world.model, topics.DISPATCH_TARGETS, target("r-over", NOW_MS - 900_000))
    apply(world.model, topics.DISPATCH_TARGETS, target("r-coast", NOW_MS, region="coast"))
    home = await world.get(f"homes/{HOME}")
    assert [(e["request_id"], e["direction"], e["running"]) for e in home["events"]] == [
        ("r-now", "charge", True), ("r-later", "give", False),
    ]  # fmt: skip
    assert "250000" not in msgspec.json.encode(home).decode(), "the region's power is not theirs"
    assert home["choices"] == {
        "backup_reserve": 0.2, "registered_reserve": 0.2, "storm_mode": True,
        "paused_until_ms": None, "left": False, "set_at_ms": None,
    }  # fmt: skip
    assert (await world.get("homes"))["homes"] == [HOME]


async def test_an_order_that_holds_is_the_reason(world: World) -> None:
    apply(world.model, topics.DISPATCH_TARGETS, target("r1", NOW_MS - 1000))
    frame = command_frame(NOW_MS - 500, {"pw-001": 3_000.0})
    apply(world.model, topics.COMMANDS, msgspec.structs.replace(frame, request_id="r1"))
    reason = (await world.get(f"homes/{HOME}"))["reason"]
    assert reason["kind"] in ("alone", "not_heard"), "it was not delivered yet"


async def test_decisions_are_written_whole_and_shown_at_once(world: World) -> None:
    answer = await world.post(f"{HOME}/preferences", {"backup_reserve": 0.6})
    assert (answer.status_code, answer.json()["choices"]["backup_reserve"]) == (200, 0.6)
    await world.post(f"{HOME}/preferences", {"storm_mode": False})
    written = [msgspec.json.decode(value, type=Preferences) for _, _, value in world.kafka.written]
    assert [key for _, key, _ in world.kafka.written] == [HOME.encode()] * 2
    assert (written[1].backup_reserve, written[1].storm_mode) == (0.6, False)
    assert written[1].by.startswith("owner:owner-site-")


async def test_an_event_is_skipped_and_joined_again(world: World) -> None:
    apply(world.model, topics.DISPATCH_TARGETS, target("r1", NOW_MS - 1000))
    apply(
        world.model, topics.DISPATCH_EVENTS,
        dispatch_status("north", mode="target", request_id="r1"),
    )  # fmt: skip
    answer = (await world.post(f"{HOME}/skips", {"request_id": "r1"})).json()
    assert [event["skipped"] for event in answer["events"]] == [True]
    joined = (await world.post(f"{HOME}/skips", {"request_id": "r1", "skip": False})).json()
    assert [event["skipped"] for event in joined["events"]] == [False]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{HOME}/preferences", {"backup_reserve": 1.2}, 422),
        (f"{HOME}/preferences", {"backup_reserve": "half"}, 422),
        (f"{HOME}/preferences", {"reserve": 0.5}, 422),
        (f"{HOME}/preferences", {}, 422),
        (f"{HOME}/skips", {"request_id": "r-none"}, 422),
        (f"{OTHER}/preferences", {"backup_reserve": 0.5}, 404),
        (f"{OTHER}/skips", {"request_id": "r1"}, 404),
        ("home-999/preferences", {"backup_reserve": 0.5}, 404),
    ],
)
async def test_what_cannot_be_decided_writes_nothing(
    world: World, path: str, body: Any, status: int
) -> None:
    answer = await world.post(path, body)
    assert (answer.status_code, world.kafka.written) == (status, [])
    assert answer.json()["hint"]


async def test_another_home_and_one_that_does_not_exist_look_the_same(world: World) -> None:
    answers = [
        await world.client.get(f"/api/v1/homes/{home}", headers=world.owner)
        for home in (OTHER, "home-999")
    ]
    texts = [a.text.replace(OTHER, "x").replace("home-999", "x") for a in answers]
    assert answers[0].status_code == 404
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("installer", 403), ("operator", 200)]
)
async def test_who_may_decide(world: World, role: str, status: int) -> None:
    by = world.entrance.headers(role)
    answer = await world.post(f"{HOME}/preferences", {"storm_mode": False}, by)
    assert answer.status_code == status, answer.text


async def test_a_storm_states_what_it_costs_this_home(world: World) -> None:
    gale = Alert(
        alert_id="gale", kind="storm", regions=("north",), prepare_from_ms=NOW_MS - 1,
        starts_at_ms=NOW_MS + 10**6, ends_at_ms=NOW_MS + 10**7,
    )  # fmt: skip
    apply(world.model, topics.GRID_ALERTS, gale)
    (storm,) = (await world.get(f"homes/{HOME}"))["storms"]
    assert (storm["alert_id"], storm["cost"]) == ("gale", None), "no price is known"


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
async def test_an_owner_decides_with_the_keyboard_alone(
    browser: Browser, viewport: ViewportSize
) -> None:
    model, kafka, entrance = fed_read_model(), KafkaInMemory(), Entrance()
    apply(model, topics.ASSETS, site(1))
    apply(model, topics.DISPATCH_TARGETS, target("r1", NOW_MS + 60_000))
    entrance.add("ann", ("owner", f"site:{HOME}"))
    async with (
        serving(model, kafka, entrance) as home,
        opened(browser, home, viewport, "ann") as watched,
    ):
        page = watched.page
        await page.goto(home)
        await expect(page.locator("h1")).to_have_text(HOME)
        await expect(page.locator(".reason[data-kind]")).not_to_be_empty()
        nav = page.get_by_role("navigation", name="Views")
        await expect(nav.get_by_role("link", name="Regions")).to_be_hidden()
        await page.get_by_role("slider").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator(".said")).to_have_text("Your reserve is 21 %.")
        skip = page.get_by_role("button", name="Skip: Batteries give power to the grid")
        await skip.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".rejects li")).to_contain_text("skipped")
        await page.get_by_role("button", name="Pause", exact=True).focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".said")).to_contain_text("a pause ends later than now")
        page.on("dialog", accept)
        await page.get_by_role("button", name="Leave", exact=True).click()
        await expect(page.locator(".reason[data-kind]")).to_contain_text("You have left")
        await expect(page.get_by_role("button", name="Join again")).to_be_visible()
        written = [msgspec.json.decode(value, type=Preferences) for *_, value in kafka.written]
        assert [w.backup_reserve for w in written] == [0.21] * 3
        assert written[-1].skips == ("r1",)
        assert written[-1].left
        over = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert over == 0
        # The pause was refused, and there is no ledger.
        watched.errors[:] = [e for e in watched.errors if "422" not in e and "503" not in e]


async def accept(dialog: Dialog) -> None:
    await dialog.accept()
