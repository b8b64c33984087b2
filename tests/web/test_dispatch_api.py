"""Orders over HTTP: who may, what is wrong with them, what is written, and what comes back."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from schemas.bounds import PARTITIONS
from schemas.commands import CommandEvent, CommandEvents
from schemas.dispatch import Request, RequestEvent, Target
from schemas.encoding import encode_json
from schemas.grid import Alert
from tests.support.accounts_world import Entrance
from tests.support.web_records import NOW_MS, command_frame, dispatch_status, notice
from tests.support.web_world import KafkaInMemory, apply, apply_raw, fed_read_model
from vpp_streams.accounts.secrets import digest_of
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.operators import Operator, lines_for
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web

TARGET = {"export_w": 5000, "for_s": 900}
ANN = {"Authorization": "Bearer ann-token"}
BOB = {"Authorization": "Bearer bob-token"}


@pytest.fixture
def model() -> ReadModel:
    return fed_read_model()


@pytest.fixture
def operators(tmp_path: Path) -> Path:
    path = tmp_path / "operators.toml"
    ann = Operator(
        name="ann",
        token_sha256=digest_of("ann-token"),
        regions="*",
        may=("dispatch", "emergency", "limit", "hold", "storm"),
    )
    bob = Operator(
        name="bob", token_sha256=digest_of("bob-token"), regions=("south",), may=("dispatch",)
    )
    path.write_text(lines_for(ann) + lines_for(bob))
    return path


class World:
    """The API, what it writes, and a region role that answers as the test says."""

    def __init__(self, model: ReadModel, operators: Path | None) -> None:
        self.model = model
        self.answer: Callable[[Any], RequestEvent | None] = lambda request: RequestEvent(
            request_id=request.request_id,
            region=request.region,
            state="accepted",
            at_ms=NOW_MS,
            request=request,
        )
        self.kafka = KafkaInMemory(self._on_write)
        self.entrance = Entrance(operators)
        app = create_web(
            *(Settings(operators=operators), model, lambda: NOW_MS, self.kafka),
            logins=self.entrance.logins,
            answer_s=0.05,
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    def _on_write(self, topic: Topic, _key: bytes, value: bytes) -> None:
        if topic is topics.DISPATCH_TARGETS:
            request = msgspec.json.decode(value, type=Request)
            told = self.answer(request)
            apply_raw(self.model, topic, None, value, offset=0, now_ms=NOW_MS)
            if told is not None:
                apply(self.model, topics.DISPATCH_EVENTS, told)
        else:
            apply_raw(self.model, topic, None, value, offset=0, now_ms=NOW_MS)

    async def post(
        self, path: str, body: Any = None, by: dict[str, str] | None = ANN
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return await self.client.post(f"/api/v1{path}", content=content, headers=by or {})

    async def get(self, path: str) -> Any:
        headers = self.entrance.headers()
        response = await self.client.get(f"/api/v1{path}", headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def requests(self) -> list[Any]:
        return [msgspec.json.decode(v, type=Request) for _, _, v in self.kafka.written]


@pytest_asyncio.fixture
async def world(model: ReadModel, operators: Path) -> AsyncIterator[World]:
    world = World(model, operators)
    yield world
    await world.client.aclose()


# Rights


async def test_without_a_file_a_token_of_it_is_nobodys_and_the_way_out_is_told(
    model: ReadModel,
) -> None:
    world = World(model, None)
    response = await world.post("/regions/north/targets", TARGET)
    assert response.status_code == 401
    assert "request a new one" in response.json()["hint"]
    assert not world.kafka.written


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic ann-token"},
        {"Authorization": "ann-token"},
        {"Authorization": f"Bearer {digest_of('ann-token')}"},
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/regions/north/targets",
        "/regions/north/limits",
        "/regions/north/hold",
        "/regions/north/requests/x/withdraw",
        "/alerts",
        "/alerts/x/cancel",
    ],
)
async def test_without_a_good_token_nothing_is_written(
    world: World, path: str, headers: dict[str, str] | None
) -> None:
    response = await world.post(path, TARGET, headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert set(response.json()) == {"error", "hint"}
    assert not world.kafka.written


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/regions/north/targets", TARGET, "the right 'dispatch' in region 'north'"),
        ("/regions/south/targets", {**TARGET, "priority": "emergency"}, "'emergency'"),
        ("/regions/south/limits", {"import_limit_w": 1, "for_s": 60}, "'limit'"),
        ("/regions/south/hold", {}, "'hold'"),
        ("/alerts", {"regions": ["south"], "for_s": 60}, "'storm'"),
    ],
)
async def test_a_right_that_lacks_is_named_and_nothing_is_written(
    world: World,
    path: str,
    body: dict[str, int | list[str]] | dict[str, int | str] | dict[str, int],
    says: str,
) -> None:
    response = await world.post(path, body, BOB)
    assert response.status_code == 403
    assert says in response.json()["error"]
    assert "bob may: dispatch, in south" in response.json()["hint"]
    assert not world.kafka.written


async def test_to_withdraw_a_request_takes_the_right_to_it(world: World) -> None:
    held = (await world.post("/regions/south/hold", {})).json()["request_id"]
    response = await world.post(f"/regions/south/requests/{held}/withdraw", by=BOB)
    assert response.status_code == 403
    assert "'hold'" in response.json()["error"]
    assert len(world.kafka.written) == 1


async def test_a_token_that_was_taken_out_of_the_file_is_out_at_once(
    world: World, operators: Path
) -> None:
    assert (await world.post("/regions/south/targets", TARGET, BOB)).status_code == 201
    operators.write_text(operators.read_text().split('[[operators]]\nname = "bob"')[0])  # noqa: ASYNC240  # a small file
    assert (await world.post("/regions/south/targets", TARGET, BOB)).status_code == 401
    operators.write_text("[[operators")  # noqa: ASYNC240  # a small file
    broken = await world.post("/regions/south/targets", TARGET)
    assert broken.status_code == 403
    assert "cannot be used" in broken.json()["error"]


# Orders


async def test_a_target_is_written_and_answered_with_what_became_of_it(world: World) -> None:
    droop = {"nominal_hz": 60.0}
    order = {**TARGET, "starts_at_ms": NOW_MS + 60_000, "best_effort": True, "droop": droop}
    response = await world.post("/regions/north/targets", order)
    assert response.status_code == 201
    answer = response.json()
    [request] = world.requests()
    assert answer["request_id"] == request.request_id
    assert (answer["state"], answer["operator"]) == ("accepted", "ann")
    assert (request.source, request.priority) == ("operator:ann", "operator")
    assert (request.region, request.export_w, request.best_effort) == ("north", 5000.0, True)
    assert request.starts_at_ms == NOW_MS + 60_000
    assert request.ends_at_ms == NOW_MS + 960_000
    assert request.issued_at_ms == NOW_MS
    assert request.droop.nominal_hz == 60.0
    [(topic, key, _)] = world.kafka.written
    assert (topic, key.decode()) == (topics.DISPATCH_TARGETS, request.request_id)


async def test_to_leave_a_region_to_itself_is_an_order_too(world: World) -> None:
    order = {"export_w": None, "ends_at_ms": NOW_MS + 1000}
    assert (await world.post("/regions/north/targets", order)).status_code == 201
    assert world.requests()[0].export_w is None


async def test_a_rejection_is_a_conflict_with_its_sentence(world: World) -> None:
    world.answer = lambda request: RequestEvent(
        request_id=request.request_id,
        region=request.region,
        state="rejected",
        at_ms=NOW_MS,
        reason="north can hold 355 kW for 15 min, 9 MW were asked",
        by="hold-1",
    )
    response = await world.post("/regions/north/targets", {**TARGET, "export_w": 9e6})
    assert response.status_code == 409
    assert response.json()["error"] == "north can hold 355 kW for 15 min, 9 MW were asked"
    assert "hold-1" in response.json()["hint"]


async def test_without_an_answer_in_time_it_is_told_that_it_is_written(world: World) -> None:
    world.answer = lambda _: None
    response = await world.post("/regions/north/targets", TARGET)
    assert response.status_code == 202
    assert response.json()["state"] == "written"
    assert len(world.kafka.written) == 1


async def test_without_kafka_it_is_not_known_whether_it_was_written(world: World) -> None:
    async def fail(*_: Any) -> None:
        raise TimeoutError

    world.kafka.write = fail  # type: ignore[method-assign, assignment]  # it raises only
    response = await world.post("/regions/north/targets", TARGET)
    assert response.status_code == 503
    assert "not known whether target-" in response.json()["error"]


async def test_limit_hold_and_withdrawal(world: World) -> None:
    limit = {"import_limit_w": 40_000, "for_s": 60, "feeder": "f1"}
    assert (await world.post("/regions/north/limits", limit)).status_code == 201
    held = await world.post("/regions/north/hold", {"reason": "maintenance"})
    ended = await world.post(f"/regions/north/requests/{held.json()['request_id']}/withdraw")
    assert ended.status_code == 201
    first, hold, withdraw = world.requests()
    assert (first.import_limit_w, first.export_limit_w, first.feeder) == (40_000, None, "f1")
    assert (first.priority, hold.reason) == ("grid_limit", "maintenance")
    assert withdraw.withdraws == hold.request_id
    # A hold without a body is one, too: it must be easy to stop.
    assert (await world.post("/regions/north/hold")).status_code == 201


@pytest.mark.parametrize("request_id", ["nothing", "x" * 300, "%00"])
async def test_a_request_that_is_not_there_cannot_be_withdrawn(
    world: World, request_id: str
) -> None:
    response = await world.post(f"/regions/north/requests/{request_id}/withdraw")
    assert response.status_code == 404
    assert not world.kafka.written


async def test_a_storm_is_told_and_called_off(world: World) -> None:
    order = {"regions": ["south"], "site_ids": ["home-001"], "for_s": 3600}
    order["starts_at_ms"] = NOW_MS + 7_200_000
    told = (await world.post("/alerts", order)).json()
    [(topic, key, value)] = world.kafka.written
    alert = msgspec.json.decode(value, type=Alert)
    assert (topic, key.decode()) == (topics.GRID_ALERTS, alert.alert_id)
    assert alert.alert_id == told["request_id"]
    assert (alert.prepare_from_ms, alert.reserve) == (NOW_MS, 1.0)
    assert alert.ends_at_ms == NOW_MS + 10_800_000
    assert [a["alert_id"] for a in (await world.get("/alerts"))["alerts"]] == [alert.alert_id]
    assert (await world.post(f"/alerts/{alert.alert_id}/cancel")).status_code == 201
    assert (await world.get("/alerts"))["alerts"] == []
    assert (await world.post(f"/alerts/{alert.alert_id}/cancel")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/regions/north/targets", {"export_w": 1}, "an order needs an end"),
        ("/regions/north/targets", {**TARGET, "ends_at_ms": NOW_MS + 1}, "an order needs an end"),
        ("/regions/north/targets", {"for_s": 60}, "export_w"),
        ("/regions/north/targets", {"export_w": 1, "ends_at_ms": NOW_MS}, "in the past"),
        ("/regions/north/targets", {**TARGET, "starts_at_ms": NOW_MS - 6000}, "in the past"),
        (
            "/regions/north/targets",
            {"export_w": 1, "starts_at_ms": NOW_MS + 2000, "ends_at_ms": NOW_MS + 1000},
            "before it starts",
        ),
        ("/regions/atlantis/targets", TARGET, "there is no region 'atlantis'"),
        ("/regions/north/targets", b'{"export_w": NaN, "for_s": 60}', "cannot be read"),
        ("/regions/north/targets", b'{"export_w": 1e999, "for_s": 60}', "cannot be read"),
        ("/regions/north/targets", b'{"export_w": Infinity, "for_s": 60}', "cannot be read"),
        ("/regions/north/targets", {**TARGET, "export_w": "1"}, "export_w"),
        ("/regions/north/targets", {**TARGET, "export_w": 1e15}, "export_w"),
        ("/regions/north/targets", {**TARGET, "for_s": 0}, "for_s"),
        ("/regions/north/targets", {**TARGET, "for_s": 1e12}, "for_s"),
        ("/regions/north/targets", {**TARGET, "priority": "grid_limit"}, "priority"),
        ("/regions/north/targets", {**TARGET, "export_kw": 1}, "export_kw"),
        ("/regions/north/targets", {**TARGET, "droop": {}}, "nominal_hz"),
        ("/regions/north/targets", b"", "cannot be read"),
        ("/regions/north/targets", b"\xff\xfe", "cannot be read"),
        ("/regions/north/targets", b"[" * 60_000, "cannot be read"),
        ("/regions/north/targets", b" " * 70_000, "longer than"),
        ("/regions/north/limits", {"for_s": 60}, "import_limit_w"),
        ("/regions/north/limits", {"import_limit_w": -1, "for_s": 60}, "import_limit_w"),
        ("/regions/north/limits", {"import_limit_w": 1, "for_s": 60, "feeder": "x"}, "feeder 'x'"),
        ("/regions/north/limits", {"import_limit_w": 1}, "an order needs an end"),
        ("/regions/atlantis/hold", {}, "atlantis"),
        ("/regions/north/hold", {"reason": "x" * 201}, "reason"),
        ("/alerts", {"for_s": 60}, "a storm needs"),
        ("/alerts", {"regions": ["atlantis"], "for_s": 60}, "atlantis"),
        ("/alerts", {"site_ids": ["nobody"], "for_s": 60}, "nobody"),
        ("/alerts", {"regions": ["north"]}, "an order needs an end"),
        (
            "/alerts",
            {"regions": ["north"], "for_s": 60, "prepare_from_ms": NOW_MS + 1},
            "after the storm's start",
        ),
    ],
)
async def test_an_order_that_cannot_be_meant_is_one_sentence_and_nothing_is_written(
    world: World, path: str, body: Any, says: str
) -> None:
    response = await world.post(path, body)
    assert response.status_code == 422, response.text
    assert says in response.json()["error"]
    assert "\n" not in response.json()["error"]
    assert not world.kafka.written


# What everybody may see


async def test_a_regions_dispatch_is_told_with_its_requests_and_history(world: World) -> None:
    done = await world.post("/regions/north/targets", TARGET)
    running = (await world.post("/regions/north/targets", TARGET)).json()["request_id"]
    for at_s in range(10):
        status = dispatch_status("north", NOW_MS + 1000 * at_s, request_id=running)
        apply(world.model, topics.DISPATCH_EVENTS, status)
    apply(world.model, topics.DISPATCH_EVENTS, notice("north", running))
    event = RequestEvent(
        request_id=done.json()["request_id"], region="north", state="completed", at_ms=NOW_MS + 1
    )
    apply(world.model, topics.DISPATCH_EVENTS, event)
    view = await world.get("/regions/north/dispatch?points=5")
    assert view["now"]["status"]["asked_w"] == 400_000
    assert view["now"]["notices"][0]["causes"][0]["cause"] == "offline"
    assert [r["state"] for r in view["requests"]] == ["accepted", "completed"]
    assert view["requests"][0]["request"]["request_id"] == running
    assert view["history"]["at_ms"][-1] == NOW_MS + 9000
    assert len(view["history"]["at_ms"]) == 5


async def test_newest_commands_by_region_and_state(world: World) -> None:
    apply(world.model, topics.COMMANDS, command_frame(NOW_MS, {"pw-001": 3000.0, "pw-002": 1.0}))
    event = CommandEvent(
        device_id="pw-001", command_id=f"c0-{NOW_MS}", state="applied", at_ms=NOW_MS, epoch=1
    )
    events = CommandEvents(source="g", partition=0, events=(event,))
    apply(world.model, topics.COMMAND_EVENTS, events)
    listed = await world.get("/commands?region=north")
    assert listed["counts"] == {"applied": 1, "created": 1}
    [one] = (await world.get("/commands?state=applied"))["commands"]
    assert (one["device_id"], one["desired_w"]) == ("pw-001", 3000.0)
    assert (await world.get("/commands?region=south"))["commands"] == []
    wrong = await world.client.get("/api/v1/commands?state=done", headers=ANN)
    assert wrong.status_code == 400


async def test_a_devices_story_is_read_from_its_partition(world: World) -> None:
    partition = partition_of("home-001", PARTITIONS)
    frame = command_frame(NOW_MS - 5000, {"pw-001": 3000.0, "pw-002": 1.0})
    old = command_frame(NOW_MS - 7_200_000, {"pw-001": 1.0})
    world.kafka.records = [
        (topics.COMMANDS, partition, NOW_MS - 7_200_000, encode_json(old)),
        (topics.COMMANDS, partition, NOW_MS - 5000, encode_json(frame)),
        (topics.COMMANDS, partition, NOW_MS - 5000, b'junk "pw-001"'),
        (topics.COMMANDS, (partition + 1) % 8, NOW_MS - 5000, encode_json(old)),
    ]
    told = await world.get("/devices/pw-001/commands")
    assert (told["site_id"], told["region"]) == ("home-001", "north")
    assert [line["state"] for line in told["story"]] == ["created", "routed"]
    assert "discharge 3,000 W" in told["story"][0]["said"]
    assert len((await world.get("/devices/pw-001/commands?last_s=10000"))["story"]) > 2
    assert (
        await world.client.get("/api/v1/devices/nobody/commands", headers=ANN)
    ).status_code == 404


async def test_the_documented_orders_are_those_that_are_taken(world: World) -> None:
    document = (await world.client.get("/openapi.json", headers=ANN)).json()
    posts = {
        path: methods["post"]
        for path, methods in document["paths"].items()
        if "Orders" in methods.get("post", {}).get("tags", ())
    }
    assert len(posts) == 6
    for told in posts.values():
        assert told["security"] == [{"token": []}]
        assert {"201", "202", "401", "403", "409", "422"} <= set(told["responses"])
    schema = posts["/api/v1/regions/{region}/targets"]["requestBody"]["content"]
    assert schema["application/json"]["schema"]["$ref"].endswith("/TargetOrder")
    assert "export_w" in document["components"]["schemas"]["TargetOrder"]["properties"]


async def test_a_request_of_an_hour_ago_has_the_state_that_the_status_tells(world: World) -> None:
    """Its events are older than what a web process reads when it starts."""
    asked = Target(
        request_id="target-old",
        region="north",
        export_w=1.0,
        starts_at_ms=NOW_MS - 7_200_000,
        ends_at_ms=NOW_MS + 1000,
        priority="operator",
        source="operator:ann",
        issued_at_ms=NOW_MS - 7_200_000,
    )
    apply(world.model, topics.DISPATCH_TARGETS, asked)

    def state(view: Any) -> str | None:
        return view["requests"][0]["state"]

    assert state(await world.get("/regions/north/dispatch")) is None
    status = dispatch_status("north", NOW_MS, request_id="other", waiting=("target-old",))
    apply(world.model, topics.DISPATCH_EVENTS, status)
    assert state(await world.get("/regions/north/dispatch")) == "outranked"
    status = dispatch_status("north", NOW_MS + 1, request_id="target-old")
    apply(world.model, topics.DISPATCH_EVENTS, status)
    assert state(await world.get("/regions/north/dispatch")) == "active"
    apply_raw(world.model, topics.DISPATCH_TARGETS, b"target-old", None, offset=0, now_ms=NOW_MS)
    assert (await world.get("/regions/north/dispatch"))["requests"] == []
