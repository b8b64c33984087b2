"""The HTTP API over a read model that was fed by hand; no Kafka, no sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from httpx import ConnectError, ReadTimeout, Response

from schemas.forecast import RegionForecast
from tests.support.accounts_world import Entrance
from tests.support.history_world import HistoryWorld
from tests.support.market_feed import OPEN_MS, at, feed_market
from tests.support.web_records import HOSTILE, NOW_MS, region_forecast, region_live, region_window
from tests.support.web_world import TWIN, KafkaInMemory, apply, fed_read_model, fleet_that_answers
from vpp_streams.domain.access.rights import PLANT, Grant, Principal
from vpp_streams.history.formats import ReportView
from vpp_streams.kafka import topics
from vpp_streams.serving import control_views, market_views, views
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings
from vpp_streams.web import account_views, history_views, home_views, stream
from vpp_streams.web.api import create_web
from vpp_streams.web.budgets import stream_budgets
from vpp_streams.web.incident_views import IncidentList

ANN = Principal(name="ann", grants=(Grant("operator", PLANT),))


@pytest.fixture
def model() -> ReadModel:
    return fed_read_model()


def client_of(
    model: ReadModel, fleet: httpx.MockTransport | None = None, history: Path | None = None
) -> httpx.AsyncClient:
    transport = fleet or fleet_that_answers(httpx.Response(200, json=TWIN))
    worker = FleetWorker("http://fleet.test", transport)
    entrance = Entrance()
    settings = Settings(history=history)
    app = create_web(
        *(settings, model, lambda: NOW_MS, KafkaInMemory()), logins=entrance.logins, fleet=worker
    )
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://localhost",
        headers=entrance.headers(),
    )


@pytest_asyncio.fixture
async def client(model: ReadModel) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(model) as client:
        yield client


def template_of(path: str) -> str:
    path = path.replace(at(OPEN_MS), "{bid_id}").replace("/sim/", "/{market}/")
    for id_, name in (
        ("north", "region"),
        ("energy", "report"),
        ("home-001", "site_id"),
        ("pw-001", "device_id"),
    ):
        path = path.replace(id_, f"{{{name}}}")
    return f"/api/v1{path}"


async def get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    response = await client.get(f"/api/v1{path}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_summary_tells_the_whole_loop(client: httpx.AsyncClient) -> None:
    summary = await get(client, "/summary")
    assert summary["devices_connected"] == 222
    assert summary["readings_in"] == 222 * 105 + 40
    assert summary["canonical"] == 222 * 105 + 34
    assert summary["rejected"] == 6
    assert summary["windows_closed"] == 640
    assert summary["lag"] == 8
    assert (summary["age_p50_ms"], summary["age_p99_ms"]) == (400, 690)
    assert [r["region"] for r in summary["regions"]] == ["north", "south", "west"]
    assert summary["regions"][0]["coverage"] == pytest.approx(73 / 74)
    assert {p["role"] for p in summary["processes"]} >= {"gateway", "ingest", "fleet", "region"}


async def test_every_answer_has_the_shape_that_is_documented(
    model: ReadModel, tmp_path: Path
) -> None:
    feed_market(model, intervals=3)
    HistoryWorld(tmp_path)
    client = client_of(model, history=tmp_path)
    shapes = {
        "/summary": views.Summary,
        "/health": views.HealthView,
        "/regions": views.RegionList,
        "/regions/north": views.RegionView,
        "/regions/north/history": views.RegionHistory,
        "/regions/north/windows": views.RegionWindows,
        "/regions/north/forecast": RegionForecast,
        "/sites": views.SitePage,
        "/sites/home-001": views.SiteDetail,
        "/sites/home-001/windows": views.SiteWindows,
        "/rejected": views.RejectedPage,
        "/records/rejected": views.RejectedRecordsPage,
        "/regions/north/dispatch": control_views.DispatchView,
        "/commands": control_views.CommandList,
        "/alarms": control_views.AlarmList,
        "/alerts": control_views.AlertList,
        "/incidents": IncidentList,
        "/map": views.MapView,
        "/devices/pw-001/commands": control_views.DeviceStory,
        "/me": account_views.Me,
        "/session/ways": account_views.Ways,
        "/markets": market_views.MarketList,
        "/markets/sim/north": market_views.MarketView,
        f"/bids/{at(OPEN_MS)}": market_views.BidView,
        "/homes": home_views.HomeList,
        "/homes/home-001": home_views.HomeView,
        "/reports": history_views.HistoryView,
        "/reports/energy": ReportView,
    }
    document = (await client.get("/openapi.json")).json()
    for path, shape in shapes.items():
        msgspec.convert(await get(client, path), shape)
        template = template_of(path)
        described = document["paths"][template]["get"]["responses"]
        schema = described["200"]["content"]["application/json"]["schema"]["$ref"]
        assert schema == f"#/components/schemas/{shape.__name__}"
        assert shape.__name__ in document["components"]["schemas"]
        assert "422" not in described
    read = {path for path, methods in document["paths"].items() if "get" in methods}
    for_sessions = {"/account", "/sites.csv", "/session/oidc", "/session/oidc/back", "/stream"}
    of_statements = {"events", "entries", "statements", "statements/{month}"}  # have a test each
    others = {f"/api/v1{path}" for path in for_sessions}
    others |= {f"/api/v1/homes/{{site_id}}/{path}" for path in of_statements}
    assert read - others == {template_of(path) for path in shapes}


async def test_history_is_thinned_and_ends_with_the_newest(client: httpx.AsyncClient) -> None:
    history = await get(client, "/regions/north/history?points=50")
    assert 2 <= len(history["at_ms"]) <= 50
    assert history["at_ms"][-1] == NOW_MS
    assert history["at_ms"] == sorted(history["at_ms"])
    assert {len(column) for name, column in history.items() if name != "region"} == {
        len(history["at_ms"])
    }


async def test_region_windows_by_size_newest_first(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    quarters = (await get(client, "/regions/north/windows?size_s=900&limit=3"))["windows"]
    starts = [window["start_ms"] for window in quarters]
    assert len(starts) == 3
    assert starts == sorted(starts, reverse=True)
    assert (await get(client, "/regions/north/windows?size_s=60"))["windows"] == []
    apply(model, topics.REGION_WINDOWS, region_window("north", NOW_MS - 60_000, 60))
    assert len((await get(client, "/regions/north/windows?size_s=60"))["windows"]) == 1


async def test_forecast_of_a_region_is_the_newest_and_of_one_start_the_first(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    quarter_ms = 900_000
    first = region_forecast("north")
    again = msgspec.structs.replace(first, known_at_ms=NOW_MS)
    apply(model, topics.REGION_FORECASTS, again)
    assert (await get(client, "/regions/north/forecast"))["known_at_ms"] == first.known_at_ms
    apply(model, topics.REGION_FORECASTS, region_forecast("north", first.start_ms + quarter_ms))
    newest = await get(client, "/regions/north/forecast")
    assert newest["start_ms"] == first.start_ms + quarter_ms
    assert newest["load"]["accuracy"]["slots"] == 96
    assert newest["solar"]["accuracy"] is None
    apply(model, topics.REGION_LIVE, region_live("east"))
    nothing = await client.get("/api/v1/regions/east/forecast")
    assert nothing.status_code == 404
    assert "no recent forecast of region 'east'" in nothing.json()["error"]


async def test_sites_are_searched_and_paged_without_gap_or_repeat(
    client: httpx.AsyncClient,
) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        page = await get(client, f"/sites?region=north&limit=7{cursor}")
        seen += [site["site_id"] for site in page["sites"]]
        assert page["total"] == 20
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"home-{n:03}" for n in range(1, 21)]
    found = (await get(client, "/sites?q=PW-02"))["sites"]
    assert [site["site_id"] for site in found] == [f"home-{n:03}" for n in range(20, 30)]
    assert (await get(client, "/sites?q=nothing-like-it"))["total"] == 0


async def test_site_has_its_record_presence_and_twin(client: httpx.AsyncClient) -> None:
    detail = await get(client, "/sites/home-001")
    assert detail["site"]["region"] == "north"
    assert detail["presence"][0]["status"] == "connected"
    assert detail["twin"]["devices"][0]["battery_w"] == 1200.0
    assert detail["twin"]["devices"][0]["voltage_v"] is None
    assert detail["twin_error"] is None


async def test_no_answer_holds_a_token_hash(client: httpx.AsyncClient) -> None:
    for path in ("/sites", "/sites/home-001", "/summary"):
        assert "5ec2e7" not in (await client.get(f"/api/v1{path}")).text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.ConnectError("connection refused"), "no fleet worker answers"),
        (httpx.ReadTimeout(""), "ReadTimeout"),
        (httpx.Response(503), "answered 503"),
        (httpx.Response(200, text="<html>"), "cannot be read"),
        (httpx.Response(200, json={"site_id": 5}), "cannot be read"),
    ],
)
async def test_site_without_a_fleet_worker_shows_the_rest(
    model: ReadModel, answer: ConnectError | ReadTimeout | Response, says: str
) -> None:
    async with client_of(model, fleet_that_answers(answer)) as client:
        detail = await get(client, "/sites/home-001")
    assert detail["twin"] is None
    assert says in detail["twin_error"]
    assert detail["site"]["site_id"] == "home-001"


async def test_twin_is_found_where_a_worker_redirects_to(model: ReadModel) -> None:
    def route(request: httpx.Request) -> httpx.Response:
        if request.url.host == "fleet.test":
            return httpx.Response(307, headers={"Location": f"http://other.test{request.url.path}"})
        return httpx.Response(200, json=TWIN)

    async with client_of(model, httpx.MockTransport(route)) as client:
        assert (await get(client, "/sites/home-001"))["twin"]["partition"] == 3


async def test_rejected_by_reason_with_what_came(client: httpx.AsyncClient) -> None:
    every = await get(client, "/rejected")
    assert every["counts"] == {"bad_json": 5, "out_of_range": 1}
    assert len(every["rejected"]) == 6
    [one] = (await get(client, "/rejected?reason=out_of_range"))["rejected"]
    assert HOSTILE in one["original"]
    assert len((await get(client, "/rejected?limit=2"))["rejected"]) == 2


async def test_health_has_rates_lag_and_ages(client: httpx.AsyncClient) -> None:
    health = await get(client, "/health")
    assert health["rates_per_s"]["readings_in"] == pytest.approx(222.0)
    assert health["lag_by_role"] == {"ingest": 3, "fleet": 5, "region": 0}
    assert health["ages"]["run_p99_ms"] == 690
    assert health["ages"]["minute_p50_ms"] == 400


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/regions/atlantis", 404, "atlantis"),
        ("/regions/atlantis/history", 404, "atlantis"),
        ("/regions/atlantis/forecast", 404, "atlantis"),
        ("/regions/north/history?points=0", 400, "points"),
        ("/regions/north/windows?size_s=61", 400, "60 or 900"),
        ("/regions/north/windows?size_s=abc", 400, "60 or 900"),
        ("/regions/north/windows?size=60", 400, "'size'"),
        ("/sites/nobody", 404, "nobody"),
        ("/sites/nobody/windows", 404, "nobody"),
        ("/sites/home-001/windows?limit=0", 400, "limit"),
        ("/sites?limit=100000", 400, "limit"),
        ("/sites?limit=many", 400, "limit"),
        (f"/sites?q={'x' * 65}", 400, "q"),
        ("/rejected?limit=-1", 400, "limit"),
        ("/summary?verbose=1", 400, "verbose"),
        ("/nothing", 404, "/nothing"),
    ],
)
async def test_a_bad_query_gets_one_sentence_and_a_way_out(
    client: httpx.AsyncClient, path: str, status: int, says: str
) -> None:
    response = await client.get(f"/api/v1{path}")
    assert response.status_code == status
    problem = response.json()
    assert set(problem) == {"error", "hint"}
    assert says in problem["error"]
    assert problem["hint"]
    assert "\n" not in problem["error"]
    assert "Traceback" not in response.text


async def test_writing_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/summary")
    assert response.status_code == 405
    assert "POST" in response.json()["error"]


async def test_our_own_failure_shows_no_trace(
    client: httpx.AsyncClient, model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "summary", lambda _now_ms: 1 / 0)
    response = await client.get("/api/v1/summary")
    assert response.status_code == 500
    assert "ZeroDivision" not in response.text
    assert set(response.json()) == {"error", "hint"}


async def test_stream_tells_all_regions_first_and_then_those_that_changed(model: ReadModel) -> None:
    clock = [NOW_MS]
    live = stream.Stream(model, lambda: clock[0], lambda: False, lambda _: ANN, interval_s=0)
    events = live.events({})

    async def next_update() -> dict[str, Any]:
        async for event in events:
            if event.startswith(b"event: update"):
                return json.loads(event.split(b"data: ")[1])
        raise AssertionError("the stream ended")

    first = await next_update()
    assert [r["region"] for r in first["regions"]] == ["north", "south", "west"]
    assert (await next_update())["regions"] == []
    apply(model, topics.REGION_LIVE, region_live("south", NOW_MS + 500, battery_w=1.0))
    changed = (await next_update())["regions"]
    assert [(r["region"], r["battery_w"]) for r in changed] == [("south", 1.0)]


async def test_a_client_that_reads_nothing_loses_its_place(model: ReadModel) -> None:
    live = stream.Stream(model, lambda: NOW_MS, lambda: False, lambda _: ANN, interval_s=0)
    budgets = stream_budgets(per_client=2)
    scope = {"type": "http", "client": ("192.0.2.1", 1), "asgi": {"spec_version": "2.4"}}
    taken: list[str] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        taken.append(message["type"])
        if len(taken) == 3:
            with pytest.raises(ApiError, match="already has 1 live streams"):
                async with budgets.place(scope):
                    pass
            await asyncio.Event().wait()  # its buffers are full and stay so

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    await stream.LiveResponse(live, scope, budgets, stall_s=0)(scope, receive, send)
    assert taken == ["http.response.start", "http.response.body", "http.response.body"]
    async with budgets.place(scope):
        pass


async def test_stream_ends_when_the_server_stops(model: ReadModel) -> None:
    stopping = stream.Stream(model, lambda: NOW_MS, lambda: True, lambda _: ANN)
    assert [event async for event in stopping.events({})] == [b"retry: 2000\n\n"]


async def test_pages_are_served_and_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs"):
        page = await client.get(path)
        assert page.status_code == 200
        assert "//" not in page.text.replace("http://www.w3.org", "")
