"""The API of reports: every format, every wrong parameter, and no history."""

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

from tests.support.accounts_world import Entrance
from tests.support.history_world import HistoryWorld, quarter, region_quarter, starts
from tests.support.statement_world import booked
from tests.support.web_records import NOW_MS, site
from tests.support.web_world import KafkaInMemory, apply
from vpp_streams.domain.history.kinds import KINDS
from vpp_streams.domain.history.reports import REPORT_NAMES
from vpp_streams.kafka import topics
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web

DAY = {"from": "2026-11-28", "to": "2026-11-28"}


@pytest.fixture
def world(tmp_path: Path) -> HistoryWorld:
    made = HistoryWorld(tmp_path)
    day = starts("2026-11-28", "2026-11-29")
    made.write("region.windows", [region_quarter("north", s) for s in day])
    made.write("site.windows", [quarter("home-1", s) for s in day])
    return made


def client_of(history: Path, role: str = "operator", scope: str = "*") -> httpx.AsyncClient:
    entrance = Entrance()
    model = ReadModel(NOW_MS)
    apply(model, topics.ASSETS, site(1))
    app = create_web(
        *(Settings(history=history), model, lambda: NOW_MS, KafkaInMemory()),
        logins=entrance.logins,
    )
    transport = httpx.ASGITransport(app=app)
    base = "http://localhost/api/v1/"
    headers = entrance.headers(role, scope)
    return httpx.AsyncClient(transport=transport, base_url=base, headers=headers)


@pytest_asyncio.fixture
async def web(world: HistoryWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(world.directory.root) as client:
        yield client


async def test_a_report_is_json_by_default(web: httpx.AsyncClient) -> None:
    response = await web.get("reports/energy", params=DAY)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert "Accept" in response.headers["vary"]
    found = response.json()
    [row] = found["rows"]
    assert row["battery_discharge_wh"] == 9600
    assert row["solar_wh"] is None
    assert (row["coverage"], row["final"]) == (1, False)
    assert [column["name"] for column in found["columns"]] == list(row)
    assert (found["tz"], found["group"]) == ("Europe/Berlin", "day")


@pytest.mark.parametrize("by", ["accept", "format"])
@pytest.mark.parametrize(
    ("format_", "media"),
    [
        ("csv", "text/csv"),
        ("parquet", "application/vnd.apache.parquet"),
        ("json", "application/json"),
    ],
)
async def test_every_format_has_the_same_rows(
    web: httpx.AsyncClient, format_: str, media: str, by: str
) -> None:
    wanted = await web.get("reports/energy", params={**DAY, "group": "hour", "site": "*"})
    more, headers = ({"format": format_}, {}) if by == "format" else ({}, {"Accept": media})
    response = await web.get(
        "reports/energy", params={**DAY, "group": "hour", "site": "*", **more}, headers=headers
    )
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == media
    if format_ == "json":
        assert response.json() == wanted.json()
        return
    assert f"energy-2026-11-28-2026-11-28-hour.{format_}" in response.headers["content-disposition"]
    read: Any = pyarrow.csv.read_csv if format_ == "csv" else pq.read_table
    frame = read(BytesIO(response.content)).to_pandas()
    assert frame["battery_discharge_wh"].tolist() == [400.0] * 24
    assert frame["solar_wh"].isna().all(), "null is never 0"
    assert frame["start_ms"].tolist() == [row["start_ms"] for row in wanted.json()["rows"]]
    if format_ == "parquet":
        schema = pq.read_schema(BytesIO(response.content))
        assert schema.field("solar_wh").metadata[b"unit"] == b"Wh"


async def test_a_type_that_there_is_not_is_406_with_those_that_there_are(
    web: httpx.AsyncClient,
) -> None:
    response = await web.get("reports/energy", params=DAY, headers={"Accept": "text/html, image/*"})
    assert response.status_code == 406
    assert "text/csv" in response.json()["hint"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"from": "yesterday"}, "neither a date"),
        ({"to": "2026-13-01"}, "neither a date"),
        ({"from": "2026-11-29", "to": "2026-11-27"}, "later than"),
        ({"from": "2026-03-29T02:30", "to": "2026-04-01"}, "clocks went forward"),
        ({"tz": "Mars/Olympus"}, "no time zone"),
        ({"group": "week"}, "group"),
        ({"site": "a' OR 1=1"}, "no name of a site"),
        ({"region": "a b"}, "no name of a region"),
        ({"format": "xlsx"}, "format"),
        ({"form": "2026-11-28"}, "no query parameter 'form'"),
        ({"from": "1990-01-01", "group": "interval"}, "longer group"),
    ],
)
async def test_a_wrong_parameter_is_named_with_the_way_out(
    web: httpx.AsyncClient, parameters: dict[str, str], said: str
) -> None:
    response = await web.get("reports/energy", params={**DAY, **parameters})
    assert response.status_code == 400
    assert said in response.json()["error"]


async def test_a_report_that_there_is_not_names_those_that_there_are(
    web: httpx.AsyncClient,
) -> None:
    response = await web.get("reports/weather")
    assert response.status_code == 404
    assert "energy" in response.json()["hint"]
    response = await web.get("reports/delivery", params={**DAY, "site": "home-1"})
    assert response.status_code == 400
    assert "by site there are energy" in response.json()["error"]


async def test_every_report_answers(web: httpx.AsyncClient) -> None:
    for name in REPORT_NAMES:
        response = await web.get(f"reports/{name}", params=DAY)
        assert response.status_code == 200, response.text


async def test_the_overview_lists_reports_and_kinds(web: httpx.AsyncClient) -> None:
    found = (await web.get("reports")).json()
    assert (found["tz"], found["first_day"], found["last_day"]) == (
        "Europe/Berlin", "2026-11-28", "2026-11-28",
    )  # fmt: skip
    assert [one["report"] for one in found["reports"]] == list(REPORT_NAMES)
    assert {one["kind"]: one["days"] for one in found["kinds"]} == {
        kind.name: int(kind.name in ("site_windows", "region_windows")) for kind in KINDS
    }


async def test_history_that_begins_later_is_found(tmp_path: Path) -> None:
    async with client_of(tmp_path / "h") as web:
        for path in ("reports/energy", "reports"):
            response = await web.get(path)
            assert response.status_code == 404
            assert "vpp worker historian" in response.json()["hint"]
            assert str(tmp_path) not in response.text
        HistoryWorld(tmp_path / "h")
        assert (await web.get("reports")).json()["first_day"] is None
        assert (await web.get("reports/energy")).status_code == 200


def test_files_of_history_are_read_by_pandas(world: HistoryWorld) -> None:
    """The windows' own files need no reader of ours either."""
    frame = pd.read_parquet(world.directory.root / "site_windows")
    assert len(frame) == 96
    assert frame["battery_energy_wh"].sum() == 9600


@pytest.mark.parametrize(
    ("reader", "report", "place", "status"),
    [
        (("owner", "site:home-001"), "energy", {"site": "home-001"}, 200),
        (("owner", "site:home-001"), "energy", {"site": "home-002"}, 404),
        (("owner", "site:home-001"), "energy", {"site": "*"}, 403),
        (("owner", "site:home-001"), "energy", {"site": "*", "region": "north"}, 404),
        (("owner", "site:home-001"), "energy", {"region": "north"}, 404),
        (("owner", "site:home-001"), "energy", {}, 403),
        (("viewer", "region:north"), "energy", {"region": "north"}, 200),
        (("viewer", "region:north"), "energy", {"region": "coast"}, 404),
        (("viewer", "region:north"), "energy", {"region": "*"}, 403),
        (("viewer", "*"), "earnings", {"region": "north"}, 404),
        (("trader", "*"), "earnings", {}, 200),
        (("trader", "*"), "energy", {"site": "*"}, 403),
        (("operator", "*"), "energy", {"site": "*"}, 200),
    ],
)
async def test_a_report_is_of_what_its_reader_may_see(
    world: HistoryWorld, reader: tuple[str, str], report: str, place: dict[str, str], status: int
) -> None:
    async with client_of(world.directory.root, *reader) as client:
        answer = await client.get(f"reports/{report}", params={**DAY, **place})
    assert answer.status_code == status, answer.text


async def earnings_of(settings: Settings, by: tuple[str, str], **asked: str) -> httpx.Response:
    entrance, model = Entrance(), ReadModel(NOW_MS)
    for number in (1, 2):
        apply(model, topics.ASSETS, site(number))
    app = create_web(*(settings, model, lambda: NOW_MS, KafkaInMemory()), logins=entrance.logins)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        params = {"group": "total", "to": "2025-12-01", **asked}
        headers = entrance.headers(*by)
        return await client.get("/api/v1/reports/earnings", params=params, headers=headers)


async def test_an_owner_reads_the_earnings_of_the_own_home_only(tmp_path: Path) -> None:
    settings = booked(tmp_path)
    owner = ("owner", "site:home-001")
    answer = await earnings_of(settings, owner, site="home-001")
    assert answer.status_code == 200, answer.text
    [row] = answer.json()["rows"]
    assert (row["site_id"], row["currency"]) == ("home-001", "EUR")
    assert row["money"] > 0
    assert 0 < row["coverage"] <= 1
    others = [("home-002", "*"), ("*", "*"), ("*", "north"), ("nobody", "")]
    for site_id, region in others:
        asked = {"site": site_id} | ({"region": region} if region else {})
        refused = await earnings_of(settings, owner, **asked)
        assert refused.status_code in {403, 404}, (asked, refused.text)
        assert "EUR" not in refused.text
    assert (await earnings_of(settings, owner)).status_code == 403
    for viewer in (("viewer", "*"), ("installer", "region:north"), ("trader", "*")):
        for site_id in ("home-001", "*"):
            refused = await earnings_of(settings, viewer, site=site_id)
            assert refused.status_code in {403, 404}, (viewer, site_id)


async def test_an_operator_reads_the_earnings_of_every_home_of_the_region(tmp_path: Path) -> None:
    settings = booked(tmp_path)
    for by, asked in (
        (("operator", "*"), {}),
        (("operator", "region:north"), {"region": "north"}),
    ):
        answer = await earnings_of(settings, by, site="*", **asked)
        assert [row["site_id"] for row in answer.json()["rows"]] == [
            "home-001",
            "home-002",
            "home-003",
        ]
    elsewhere = await earnings_of(settings, ("operator", "region:south"), site="*", region="north")
    assert elsewhere.status_code == 404
    answer = await earnings_of(settings, ("operator", "*"), site="*", group="interval")
    assert answer.status_code == 400
    assert "choose a longer group" in answer.text


async def test_without_a_ledger_an_owner_learns_no_address_of_it(tmp_path: Path) -> None:
    owner = ("owner", "site:home-001")
    answer = await earnings_of(Settings(state_dir=tmp_path), owner, site="home-001")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text
