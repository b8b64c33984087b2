"""``vpp dispatch`` and its like against a real web process's application over a socket."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner, Result

from schemas.bounds import PARTITIONS
from schemas.dispatch import Request, RequestEvent, RequestState
from schemas.encoding import encode_json
from tests.support.accounts_world import Entrance
from tests.support.web_records import NOW_MS, command_frame, dispatch_status, notice
from tests.support.web_world import KafkaInMemory, apply, apply_raw, fed_read_model
from vpp_streams.cli import build_app
from vpp_streams.cli.api_client import ApiClient
from vpp_streams.cli.region_requests import times_from_now
from vpp_streams.cli.screens.dispatch_view import one_line, screen, sparkline
from vpp_streams.domain.files.spoken_time import duration_s, moment_ms
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.errors import WebError
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.private_files import write_private
from vpp_streams.serving.operators import make_demo_operator
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web

Vpp = Callable[..., Result]


class Plant:
    """A web process in a thread, and a region role that rules as the test says."""

    def __init__(self) -> None:
        self.model: ReadModel = fed_read_model()
        self.kafka = KafkaInMemory(self._on_write)
        self.state: RequestState = "accepted"
        self.reason = ""
        for region in ("north", "south"):
            apply(self.model, topics.DISPATCH_EVENTS, dispatch_status(region))

    @property
    def requests(self) -> list[Any]:
        return [msgspec.json.decode(v, type=Request) for _, _, v in self.kafka.written]

    def _on_write(self, topic: Topic, _key: bytes, value: bytes) -> None:
        apply_raw(self.model, topic, None, value, offset=0, now_ms=NOW_MS)
        if topic is not topics.DISPATCH_TARGETS:
            return
        request = msgspec.json.decode(value, type=Request)
        told: dict[str, Any] = {"region": request.region, "at_ms": NOW_MS, "reason": self.reason}
        event = RequestEvent(request_id=request.request_id, state=self.state, **told)
        apply(self.model, topics.DISPATCH_EVENTS, event)


@contextmanager
def served(plant: Plant, operators: Path) -> Iterator[str]:
    settings = Settings(operators=operators)
    logins = Entrance(operators).logins
    app = create_web(
        settings, plant.model, lambda: NOW_MS, plant.kafka, logins=logins, answer_s=0.05
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    ready = threading.Event()
    startup = server.startup

    async def started(*arguments: Any, **more: Any) -> None:
        await startup(*arguments, **more)
        ready.set()

    server.startup = started  # type: ignore[method-assign]  # to know when it listens
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture
def vpp(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vpp]:
    """The command line on a machine where `vpp up` runs."""
    monkeypatch.setenv("VPP_STATE_DIR", str(tmp_path))
    operators, access = make_demo_operator(tmp_path, "demo", "http://nowhere.test")
    with served(plant, operators) as url:
        here = msgspec.structs.replace(access, url=url)
        write_private(tmp_path / "operator-access.json", encode_json(here))
        yield lambda *words: CliRunner().invoke(build_app(), list(words))


def test_an_order_is_given_with_what_up_left_on_this_machine(vpp: Vpp, plant: Plant) -> None:
    run = vpp("dispatch", "north", "--export-w", "400000", "--for", "15m", "--best-effort")
    assert run.exit_code == 0, run.output
    [target] = plant.requests
    assert f"{target.request_id} accepted" in run.stdout
    assert (target.region, target.export_w, target.best_effort) == ("north", 400_000, True)
    assert target.ends_at_ms - target.starts_at_ms == 900_000
    assert target.source == "operator:demo"


def test_charge_emergency_droop_and_self_consumption(vpp: Vpp, plant: Plant) -> None:
    vpp("dispatch", "north", "--export-w", "-2000", "--for", "1h", "--emergency", "--droop")
    vpp("dispatch", "north", "--self-consumption", "--for", "90s")
    charge, itself = plant.requests
    assert (charge.export_w, charge.priority) == (-2000, "emergency")
    assert charge.droop.nominal_hz == 60.0
    assert itself.export_w is None


def test_a_rejection_is_one_line_and_exit_4(vpp: Vpp, plant: Plant) -> None:
    plant.state, plant.reason = "rejected", "north can hold 355 kW for 15 min"
    run = vpp("dispatch", "north", "--export-w", "9e9", "--for", "15m")
    assert isinstance(run.exception, WebError)
    assert str(run.exception).startswith("north can hold 355 kW for 15 min")
    assert run.exception.exit_code == 4


def test_json_is_one_document(vpp: Vpp, plant: Plant) -> None:
    run = vpp("dispatch", "north", "--export-w", "1", "--for", "15m", "--json")
    assert json.loads(run.stdout)["request_id"] == plant.requests[0].request_id
    assert json.loads(vpp("dispatch", "north", "--json").stdout)["now"]["region"] == "north"


def test_withdraw_hold_and_release(vpp: Vpp, plant: Plant) -> None:
    vpp("dispatch", "north", "--export-w", "1", "--for", "15m")
    target = plant.requests[0]
    withdrawn = vpp("dispatch", "north", "--withdraw", target.request_id)
    assert withdrawn.stdout == f"{target.request_id} is withdrawn\n"
    held = vpp("hold", "north", "--reason", "works on feeder 3")
    assert "vpp hold north --release" in held.stdout
    assert vpp("hold", "north", "--release").exit_code == 0
    _, withdrawn, hold, released = plant.requests
    assert withdrawn.withdraws == target.request_id
    assert hold.reason == "works on feeder 3"
    assert released.withdraws == hold.request_id
    gone = RequestEvent(request_id=hold.request_id, region="north", state="withdrawn", at_ms=NOW_MS)
    apply(plant.model, topics.DISPATCH_EVENTS, gone)
    assert "north is not held" in str(vpp("hold", "north", "--release").exception)


def test_limit_and_storm(vpp: Vpp, plant: Plant) -> None:
    assert (
        vpp("limit", "north", "--import-w", "5e4", "--for", "2h", "--feeder", "f1").exit_code == 0
    )
    assert plant.requests[0].import_limit_w == 50_000
    told = vpp("storm", "--region", "south", "--for", "6h")
    storm_id = told.stdout.split()[0]
    assert storm_id in vpp("storm").stdout
    assert "cancelled" in vpp("storm", "--cancel", storm_id).stdout
    assert vpp("storm").stdout == "no storm is expected\n"


def test_watching_ends_with_the_request(vpp: Vpp, plant: Plant) -> None:
    plant.state, plant.reason = "completed", "its end was reached"
    run = vpp("dispatch", "north", "--export-w", "1", "--for", "15m", "--watch")
    assert run.exit_code == 0
    assert "measured +398.10 kW" in run.stdout
    assert "is completed: its end was reached" in run.stdout


def test_ctrl_c_ends_the_watching_and_says_that_the_dispatch_goes_on(
    vpp: Vpp, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    run = vpp("dispatch", "north", "--export-w", "1", "--for", "15m", "--watch")
    assert run.exit_code == 0
    assert f"vpp dispatch north --withdraw {plant.requests[0].request_id}" in run.stdout


def test_audit_tells_the_story(vpp: Vpp, plant: Plant) -> None:
    partition = partition_of("home-001", PARTITIONS)
    frame = encode_json(command_frame(NOW_MS - 5000, {"pw-001": 3000.0}))
    plant.kafka.records = [(topics.COMMANDS, partition, NOW_MS - 5000, frame)]
    lines = vpp("audit", "pw-001").stdout.splitlines()
    assert lines[0] == "pw-001 of home-001, region north, last 1h"
    assert "commanded to discharge 3,000 W for 30 s" in lines[1]
    assert len(json.loads(vpp("audit", "pw-001", "--json").stdout)["story"]) == 2
    assert "in self-consumption" in vpp("audit", "pw-002").stdout
    assert "there is no device 'nobody'" in str(vpp("audit", "nobody").exception)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dispatch", "north", "--export-w", "1"), "needs an end"),
        (("dispatch", "north", "--export-w", "nan", "--for", "1h"), "no power"),
        (("dispatch", "north", "--export-w", "1", "--for", "soon"), "not a duration"),
        (("dispatch", "north", "--export-w", "1", "--for", "1h", "--at", "25:00"), "not a time"),
        (
            ("storm", "--region", "north", "--for", "1h", "--at", "1:00", "--starts-in", "1h"),
            "not both",
        ),
        (("dispatch", "north", "--for", "1h"), "how much?"),
        (("dispatch", "north", "--export-w", "1", "--self-consumption", "--for", "1h"), "not both"),
        (("dispatch", "north", "--export-w", "1", "--withdraw", "x"), "not both"),
        (("dispatch", "atlantis", "--export-w", "1", "--for", "1h"), "no region 'atlantis'"),
        (("dispatch", "north", "--withdraw", "target-1"), "no request 'target-1'"),
        (("limit", "north", "--for", "1h"), "how much?"),
        (("storm", "--for", "1h"), "where?"),
        (("storm", "--cancel", "storm-1"), "no storm 'storm-1'"),
        (("audit", "pw-001", "--last", "long"), "not a duration"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    vpp: Vpp, plant: Plant, words: tuple[str, ...], says: str
) -> None:
    run = vpp(*words)
    assert says in str(run.exception)
    assert "\n" not in str(run.exception)
    assert not plant.kafka.written


def client(tmp_path: Path, answer: httpx.Response | None = None, **changes: Any) -> ApiClient:
    def handle(request: httpx.Request) -> httpx.Response:
        if answer is None:
            raise httpx.ConnectError("connection refused")
        return answer

    settings = Settings(state_dir=tmp_path, **changes)
    return ApiClient(settings, httpx.MockTransport(handle))


def test_without_a_web_process_or_a_token_the_way_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(WebError, match=r"start one with `vpp up` or `vpp web`"):
        client(tmp_path, token="t").get("alarms", dict)
    for ask in (client(tmp_path).get, lambda path, type_: client(tmp_path).order(path, {}, type_)):
        with pytest.raises(WebError, match=r"set VPP_TOKEN \(`vpp accounts token NAME` or"):
            ask("alerts", dict)
    with pytest.raises(WebError, match=r"answered 502 with an unknown document"):
        client(tmp_path, httpx.Response(502, text="<html>"), token="t").get("alarms", dict)


def test_a_demos_token_is_sent_to_that_demo_only(tmp_path: Path) -> None:
    _, access = make_demo_operator(tmp_path, "demo", "http://127.0.0.1:8080")
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    many: tuple[dict[str, Any], ...] = (
        {},
        {"web_url": "http://elsewhere.test"},
        {"operator_token": "mine"},
    )
    for changes in many:
        settings = Settings(state_dir=tmp_path, **changes)
        api = ApiClient(settings, httpx.MockTransport(handle))
        if "web_url" in changes:
            with pytest.raises(WebError, match="no token for http://elsewhere"):
                api.order("alerts", {}, dict)
        else:
            api.order("alerts", {}, dict)
    assert [r.headers["Authorization"] for r in seen] == [f"Bearer {access.token}", "Bearer mine"]
    assert {r.url.host for r in seen} == {"127.0.0.1"}


# What is drawn


def drawn(plant: Plant, width: int = 100, request_id: str | None = None) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115  # no output
    console.print(screen(plant.model.dispatches.view("north", 60, NOW_MS), request_id, NOW_MS))
    return console.export_text()


def test_the_screen_tells_what_is_asked_given_and_missing(plant: Plant) -> None:
    apply(plant.model, topics.DISPATCH_EVENTS, notice("north", "target-1"))
    causes = notice("north", "target-1").causes
    apply(plant.model, topics.DISPATCH_EVENTS, dispatch_status("north", NOW_MS, causes=causes))
    text = drawn(plant)
    for said in (
        "north  target  target-1  15 min 0 s left",
        "+400.00 kW",
        "+398.10 kW",
        "0.5%",
        "60 applied",
        "10 without a lease",
        "7 devices not connected: 35.0 kW",
        "42.00 kW of target-1 missing since",
    ):
        assert said in text
    assert "[" not in drawn(plant, width=60)


def test_the_line_for_programs_has_the_numbers(plant: Plant) -> None:
    line = one_line(plant.model.dispatches.view("north", 60, NOW_MS), None, NOW_MS)
    assert "requested +400.00 kW allocated +399.90 kW measured +398.10 kW error 0.5%" in line
    assert "applied=60" in line
    nothing = one_line(plant.model.dispatches.view("west", 60, NOW_MS), None, NOW_MS)
    assert "no report yet" in nothing


def test_the_line_of_a_request_that_does_not_rule_says_who_does(plant: Plant, vpp: Vpp) -> None:
    """`vpp dispatch` in a region whose market awards rule: accepted, and then nothing of it."""
    assert vpp("dispatch", "north", "--export-w", "4e5", "--for", "15m").exit_code == 0
    id_ = plant.requests[0].request_id
    accepted = one_line(plant.model.dispatches.view("north", 60, NOW_MS), id_, NOW_MS)
    reason = "sim:north:0 of market:sim rules until 12:00 (priority market)"
    told: dict[str, Any] = {
        "request_id": id_,
        "region": "north",
        "at_ms": NOW_MS + 1,
        "reason": reason,
    }
    event = RequestEvent(**told, state="outranked")
    apply(plant.model, topics.DISPATCH_EVENTS, event)
    view = plant.model.dispatches.view("north", 60, NOW_MS)
    assert one_line(view, id_, NOW_MS).endswith(f"; {id_} is outranked: {reason}")
    assert "outranked" not in one_line(view, "another", NOW_MS)
    assert "outranked" not in accepted


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=100))
def test_a_sparkline_has_a_mark_for_each_value(
    values: list[float | None],
) -> None:
    assert len(sparkline(values)) == min(60, len(values))


# Times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800), ("0.5h", 1800)],
)
def test_a_duration(text: str, seconds: int) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "m", "15 m", "-5m", "0s", "15min", "１５m", "5m x"])
def test_what_is_no_duration_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_s(text)


def test_a_moment_is_the_next_of_its_kind_in_the_zone_of_now() -> None:
    zone = timezone(timedelta(hours=2))
    now = datetime(2026, 3, 1, 17, 59, 30, tzinfo=zone)
    utc_ms = int(datetime(2026, 3, 1, 18, 0, tzinfo=zone).timestamp() * 1000)
    assert moment_ms("18:00", now) == utc_ms
    assert moment_ms("17:59", now) == utc_ms + 86_340_000
    assert moment_ms("2026-03-01T18:00", now) == utc_ms
    assert moment_ms("2026-03-01T16:00Z", now) == utc_ms


@pytest.mark.parametrize("text", ["25:00", "18", "6pm", "18:00:99", "2026-13-01T00:00", ""])
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        moment_ms(text, datetime(2026, 3, 1, tzinfo=timezone(timedelta(0))))


def test_orders_start_when_they_are_told_to() -> None:
    told = times_from_now("15m", None, "10m")
    assert told["for_s"] == 900
    assert times_from_now("15m", "18:00", None)["starts_at_ms"] % 60_000 == 0
