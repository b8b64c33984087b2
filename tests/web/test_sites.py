"""The API of sites: filters, orders and pages, the CSV file, and the map."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from schemas.commands import CommandEvent, CommandEvents
from tests.support.accounts_world import Entrance
from tests.support.desk_world import SILENT_FROM, SITES, UNCONNECTED, desk_model, reading
from tests.support.telemetry_factory import make_batch
from tests.support.web_records import NOW_MS, command_frame
from tests.support.web_world import KafkaInMemory, apply, apply_raw
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.views import SiteRow
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web


@pytest.fixture
def model() -> ReadModel:
    return desk_model()


@pytest_asyncio.fixture
async def client(model: ReadModel) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(model) as client:
        yield client


def client_of(model: ReadModel, role: str = "operator", scope: str = "*") -> httpx.AsyncClient:
    entrance = Entrance()
    app = create_web(*(Settings(), model, lambda: NOW_MS, KafkaInMemory()), logins=entrance.logins)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = entrance.headers(role, scope)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)


async def get(client: httpx.AsyncClient, query: str = "") -> dict[str, Any]:
    response = await client.get(f"/api/v1/sites?{query}")
    assert response.status_code == 200, response.text
    return response.json()


async def ids(client: httpx.AsyncClient, query: str) -> list[str]:
    return [site["site_id"] for site in (await get(client, f"{query}&limit=500"))["sites"]]


def homes(*numbers: int) -> list[str]:
    return [f"home-{n:03}" for n in numbers]


async def test_a_row_has_the_newest_values_and_what_hinders(client: httpx.AsyncClient) -> None:
    rows = (await get(client, "limit=500"))["sites"]
    four, silent = rows[3], rows[SILENT_FROM]
    assert (four["soc"], four["battery_w"], four["grid_w"], four["solar_w"]) == (
        0.04,
        400,
        -200,
        160,
    )
    assert (four["connected"], four["commandable"], four["why"]) == (0, 0, "not_connected")
    assert (four["level"], four["received_at_ms"]) == ("bad", NOW_MS - 800)
    assert (silent["soc"], silent["battery_w"], silent["received_at_ms"]) == (None, None, None)
    assert (silent["why"], silent["level"]) == ("silent", "bad")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("connected=no", homes(*range(UNCONNECTED, SITES, UNCONNECTED))),
        ("why=not_connected&region=south", homes(24, 28)),
        ("silent=yes", homes(28, 29, 30)),
        ("alarmed=yes", homes(1, 12)),
        ("soc_min=0.25&soc_max=0.26", homes(25, 26)),
        ("soc_min=0.25&sort=soc&order=desc", homes(27, 26, 25)),
        ("kind=solar", []),
        ("state=suspended", []),
        ("device=pw-007", homes(7)),
        ("device=pw-00", []),
        ("q=PW-01&commandable=no", homes(11, 12, 16)),
        ("level=quiet", []),
    ],
)
async def test_filters_and_orders(client: httpx.AsyncClient, query: str, found: list[str]) -> None:
    assert await ids(client, query) == found


async def test_pages_by_offset_in_any_order(client: httpx.AsyncClient) -> None:
    seen = []
    for offset in range(0, SITES, 7):
        page = await get(client, f"sort=battery_w&order=desc&limit=7&offset={offset}")
        assert (page["total"], page["next_cursor"]) == (SITES, None)
        seen += [site["site_id"] for site in page["sites"]]
    assert seen == homes(*range(27, 0, -1), 28, 29, 30), "what is not measured is last"
    assert (await get(client, "offset=1000"))["sites"] == []


async def test_a_refusal_hinders_for_a_while_and_then_no_more(model: ReadModel) -> None:
    made_ms = NOW_MS - 5_000
    apply(model, topics.COMMANDS, command_frame(made_ms, {"pw-002": 1000.0}))
    events = (
        CommandEvent(
            device_id="pw-002", command_id=f"c0-{made_ms}", state="opted_out", at_ms=NOW_MS
        ),
    )
    apply(model, topics.COMMAND_EVENTS, CommandEvents(source="g", partition=0, events=events))
    assert model.commands.barred(NOW_MS)["pw-002"] == "opted_out"
    assert "pw-002" not in model.commands.barred(NOW_MS + 3_600_000)


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/sites.csv?soc_min=0.25", {}), ("/sites?soc_min=0.25", {"Accept": "text/csv"})],
)
async def test_all_that_match_are_a_csv_file(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    response = await client.get(f"/api/v1{path}", headers=headers)
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["cache-control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert [row["site_id"] for row in rows] == homes(25, 26, 27)
    assert tuple(rows[0]) == SiteRow.__struct_fields__
    assert (rows[0]["soc"], rows[0]["why"], rows[0]["kinds"]) == ("0.25", "", "powerwall")


async def test_a_csv_file_is_sent_in_parts_and_what_is_not_measured_is_empty(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/api/v1/sites.csv?sort=soc")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert len(rows) == SITES
    assert rows[-1]["soc"] == "", "not 0"


async def test_sites_are_clusters_on_the_map(client: httpx.AsyncClient) -> None:
    whole = (await client.get("/api/v1/map?cell_deg=90")).json()
    assert (whole["total"], whole["without_position"]) == (SITES, 0)
    [one] = whole["clusters"]
    assert (one["sites"], sum(one["levels"].values()), one["site_id"]) == (SITES, SITES, None)
    box = "south={}&west={}&north={}&east={}".format(*whole["box"])
    fine = (await client.get(f"/api/v1/map?cell_deg=0.001&{box}&device=pw-007")).json()
    [seven] = fine["clusters"]
    assert seven["site_id"] == "home-007"
    nothing = (await client.get("/api/v1/map?north=-80&south=-90")).json()
    assert (nothing["total"], nothing["clusters"]) == (SITES, [])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/sites?colour=red", "there is no query parameter 'colour' here"),
        ("/sites?why=lazy", "why: "),
        ("/sites?soc_min=2", "soc_min: "),
        ("/sites?offset=-1", "offset: "),
        ("/map?cell_deg=0", "cell_deg: "),
        ("/map?north=91", "north: "),
        ("/sites.csv?limit=5", "there is no query parameter 'limit' here"),
    ],
)
async def test_a_bad_query_gets_one_sentence(
    client: httpx.AsyncClient, path: str, words: str
) -> None:
    response = await client.get(f"/api/v1{path}")
    assert response.status_code == 400
    assert response.json()["error"].startswith(words)


async def test_a_device_whose_presence_was_removed_is_not_connected(
    client: httpx.AsyncClient, model: ReadModel
) -> None:
    assert "home-001" not in await ids(client, "connected=no")
    apply_raw(model, topics.PRESENCE, b"pw-001", None)
    assert "home-001" in await ids(client, "connected=no")


@pytest.mark.parametrize(
    ("scope", "sites"),
    [("site:home-002", ["home-002"]), ("region:nowhere", []), ("site:home-999", [])],
)
async def test_list_file_and_map_have_only_what_is_in_sight(
    model: ReadModel, scope: str, sites: list[str]
) -> None:
    role = "installer" if scope.startswith("region") else "owner"
    async with client_of(model, role, scope) as client:
        assert await ids(client, "") == sites
        assert (await get(client))["total"] == len(sites)
        assert await ids(client, "q=home-003") == []
        file = await client.get("/api/v1/sites.csv")
        assert [row["site_id"] for row in csv.DictReader(io.StringIO(file.text))] == sites
        found = (await client.get("/api/v1/map")).json()
        assert found["total"] == len(sites)
        assert sum(cluster["sites"] for cluster in found["clusters"]) <= len(sites)


async def test_a_nominal_frequency_of_another_grid_is_refused(
    model: ReadModel,
) -> None:
    entrance, kafka = Entrance(), KafkaInMemory()
    app = create_web(
        *(Settings(), model, lambda: NOW_MS, kafka), logins=entrance.logins, answer_s=0.01
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = entrance.headers()
    order = {"export_w": 0, "for_s": 60, "droop": {"nominal_hz": 50}}
    path = "/api/v1/regions/north/targets"
    newer = {"measured_at_ms": NOW_MS - 100, "received_at_ms": NOW_MS - 50}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers=headers
    ) as web:
        assert (await web.post(path, json=order)).status_code == 202, "nothing is measured yet"
        model.explorer.apply_readings(make_batch([reading(7, frequency_hz=59.96, **newer)]))
        refused = await web.post(path, json=order)
        assert refused.status_code == 422
        assert "the devices of north measure 60.0 Hz" in refused.json()["error"]
        right = await web.post(path, json=order | {"droop": {"nominal_hz": 60}})
        assert right.status_code == 202
        south = await web.post("/api/v1/regions/south/targets", json=order)
        assert south.status_code == 202, "of another region"
    assert len(kafka.written) == 3
