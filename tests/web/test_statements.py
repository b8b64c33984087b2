"""What a home was paid over HTTP: events, months, statements in each format, and entries."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from pydantic import SecretStr
from pypdf import PdfReader

from tests.support.accounts_world import Entrance
from tests.support.history_world import HistoryWorld
from tests.support.statement_world import FIRST, SECOND, ZONE, booked, local_ms
from tests.support.web_records import site, site_window, stats
from tests.support.web_world import TWIN, KafkaInMemory, apply, fed_read_model, fleet_that_answers
from vpp_streams.domain.history.kinds import BY_NAME
from vpp_streams.domain.statements.document import StatementDocument
from vpp_streams.kafka import topics
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web
from vpp_streams.web.statement_views import Entries, Months, PastEvents

HOME, OTHER = "home-001", "home-002"
NOW_MS = local_ms("2025-11-10 12:00")


class Web:
    """A web process over a ledger; the owner of the first home asks it."""

    def __init__(self, settings: Settings) -> None:
        self.model, self.entrance = fed_read_model(), Entrance(now_ms=lambda: NOW_MS)
        for number in (1, 2, 3):
            apply(self.model, topics.ASSETS, site(number))
        for program in (FIRST, SECOND):
            apply(self.model, topics.PROGRAMS, program)
        fleet = FleetWorker("http://fleet.test", fleet_that_answers(httpx.Response(200, json=TWIN)))
        self.app = create_web(
            *(settings, self.model, lambda: NOW_MS, KafkaInMemory()),
            fleet=fleet,
            logins=self.entrance.logins,
        )
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def answer(
        self, path: str, *, by: tuple[str, str] = ("owner", f"site:{HOME}"), **headers: str
    ) -> httpx.Response:
        sent = self.entrance.headers(*by) | headers
        return await self.client.get(f"/api/v1/homes/{path}", headers=sent)

    async def get(self, path: str) -> Any:
        answer = await self.answer(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A ledger with October booked, corrected and closed."""
    return booked(tmp_path_factory.mktemp("ledger"))


@pytest_asyncio.fixture
async def web(ledger: Settings) -> AsyncIterator[Web]:
    web = Web(ledger)
    yield web
    await web.client.aclose()


OCTOBER = f"from={local_ms('2025-09-30 00:00')}&to={local_ms('2025-11-02 00:00')}"


async def test_events_state_what_was_given_why_and_what_was_paid(web: Web) -> None:
    found = await web.get(f"{HOME}/events?{OCTOBER}")
    assert (found["zone"], found["total"]) == (ZONE, len(found["events"]))
    starts = [event["start_ms"] for event in found["events"]]
    assert starts == sorted(starts, reverse=True)
    by_start = {(event["why"], event["start_ms"]): event for event in found["events"]}
    evening = by_start["event", local_ms("2025-10-15 17:00")]
    assert [payment["kind"] for payment in evening["payments"]] == ["energy", "event"]
    assert evening["end_ms"] - evening["start_ms"] == 3_600_000
    assert evening["amount"]["micros"] == sum(p["amount"]["micros"] for p in evening["payments"])
    assert evening["delivered_wh"] > 1_000
    assert evening["direction"] == "gave"
    missing = by_start["award", local_ms("2025-10-10 17:00")]
    assert missing["coverage_said"].endswith("of 60 minutes were measured; the rest was not paid.")
    assert missing["correction"]["micros"] > 0
    assert missing["flows"] is None, "no window is that old"
    night = by_start["award", local_ms("2025-10-26 01:30")]
    assert night["settled_min"] == 42 * 5, "an hour was repeated"


async def test_the_windows_of_a_recent_event_say_where_its_energy_went(ledger: Settings) -> None:
    web = Web(ledger)
    start_ms = local_ms("2025-10-20 17:00")
    for minute in range(60):
        window = site_window(HOME, start_ms + minute * 60_000, battery=stats(1200.0))
        apply(web.model, topics.SITE_WINDOWS, window, now_ms=start_ms)
    found = await web.get(f"{HOME}/events?{OCTOBER}&limit=100")
    event = next(e for e in found["events"] if e["event_id"] == f"event:share-60:{start_ms}")
    assert event["flows"]["to_grid_wh"] + event["flows"]["to_home_wh"] == pytest.approx(1200)
    await web.client.aclose()


async def test_older_windows_are_read_from_history(ledger: Settings, tmp_path: Path) -> None:
    """A web process that was started again, or whose memory is too short, knows the flows."""
    history = HistoryWorld(tmp_path)
    history.now_ms = NOW_MS
    web = Web(ledger.model_copy(update={"history": tmp_path}))
    start_ms = local_ms("2025-10-20 17:00")
    minutes = range(start_ms, start_ms + 3_600_000, 60_000)
    whole = [site_window(HOME, at, battery=stats(1200.0)) for at in minutes]
    elsewhere = [site_window(OTHER, at, battery=stats(-900.0)) for at in minutes]
    history.write("site.windows", [*whole[1:], *elsewhere])
    path = f"{HOME}/events?{OCTOBER}&limit=100"

    async def flows() -> Any:
        found = await web.get(path)
        events = {event["event_id"]: event for event in found["events"]}
        return events[f"event:share-60:{start_ms}"]["flows"]

    assert await flows() is None, "a minute is missing"
    history.write("site.windows", [whole[0], whole[5]])
    assert (await flows())["to_grid_wh"] + (await flows())["to_home_wh"] == pytest.approx(1200)
    file = history.files(BY_NAME["site_minutes"])[0]
    file.write_bytes(b"no Parquet")
    assert await flows() is None
    assert web.model.counters["history_reads_failed"] > 0
    await web.client.aclose()


async def test_months_are_listed_newest_first_with_what_was_paid_out(web: Web) -> None:
    found = await web.get(f"{HOME}/statements")
    assert found["this_month"] == "2025-11"
    assert [(one["month"], one["state"]) for one in found["months"]] == [
        ("2025-11", "open"), ("2025-10", "closed"), ("2025-09", "closed"),
    ]  # fmt: skip
    assert [one["paid_out"]["amount"] for one in found["months"]] == ["9.600000", *["0.000000"] * 2]


async def test_a_statement_is_the_same_in_each_format(web: Web) -> None:
    path = f"{HOME}/statements/2025-10"
    told = await web.get(path)
    assert (told["hours"], told["state"], told["currency"]) == (745.0, "closed", "EUR")
    assert sum(row["amount"]["micros"] for row in told["rows"]) == told["total"]["micros"]
    assert {row["program_name"] for row in told["rows"]} == {FIRST.name}
    as_csv = await web.answer(path, Accept="text/csv")
    assert as_csv.headers["content-type"].startswith("text/csv")
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(as_csv.text))}
    assert rows["total"]["micros"] == str(told["total"]["micros"])
    assert rows["payable"]["amount"] == told["payable"]["amount"] == "9.600000"
    as_pdf = await web.answer(f"{path}?format=pdf")
    assert as_pdf.headers["content-type"] == "application/pdf"
    assert "statement-home-001-2025-10.pdf" in as_pdf.headers["content-disposition"]
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(as_pdf.content)).pages)
    assert f"{told['total']['amount']} EUR" in text
    assert "Zürich & Łódź" in text
    assert as_pdf.content == (await web.answer(path, Accept="application/pdf")).content


async def test_a_payout_reduces_what_is_owed_in_its_month(web: Web) -> None:
    october = await web.get(f"{HOME}/statements/2025-10")
    november = await web.get(f"{HOME}/statements/2025-11")
    owed = october["payable"]["micros"] + october["carried"]["micros"]
    assert november["owed_before"]["micros"] == owed
    assert [one["amount"]["micros"] for one in november["paid_out"]] == [9_600_000]
    left = november["payable"]["micros"] + november["carried"]["micros"]
    assert left == owed - 9_600_000 + november["total"]["micros"]
    assert november["corrected"]["micros"] != 0, "October was corrected after it was closed"


async def test_a_line_opens_to_its_entries_and_they_to_what_is_behind(web: Web) -> None:
    told = await web.get(f"{HOME}/statements/2025-10")
    amounts = {}
    for kind in ("share", "energy", "event", "availability"):
        page = await web.get(f"{HOME}/entries?month=2025-10&kind={kind}&limit=1000")
        assert page["total"] == len(page["entries"])
        assert {linked["entry"]["kind"] for linked in page["entries"]} == {kind}
        amounts[kind] = sum(linked["entry"]["amount"]["micros"] for linked in page["entries"])
    for kind, total in amounts.items():
        assert total == sum(
            row["amount"]["micros"] for row in told["rows"] if row["kind"] == kind
        ), kind
    part = await web.get(f"{HOME}/entries?month=2025-10&kind=share&offset=5&limit=3")
    assert len(part["entries"]) == 3
    share = part["entries"][0]
    assert share["links"]["windows"] is None
    late = (await web.get(f"{HOME}/entries?month=2025-11&kind=share"))["entries"]
    said = " ".join(linked["entry"]["said"] for linked in late)
    assert "It is of 2025-10, which was closed, and counts in 2025-11." in said
    device = late[0]["links"]["commands"]
    assert device == [], "commands of October are not kept until 10 November"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (f"{HOME}/statements/2025-13", 400, "month"),
        (f"{HOME}/statements/0000-01", 400, "month"),
        (f"{HOME}/statements/2025-10?format=docx", 400, "format"),
        (f"{HOME}/entries?month=2025-10&kind=operator-x", 400, "kind"),
        (f"{HOME}/entries", 400, "month"),
        (f"{HOME}/events?from=5&to=5", 400, "not before"),
        (f"{HOME}/events?from=5", 400, "92 days at most"),
        (f"{HOME}/events?since=5", 400, "no query parameter 'since'"),
        (f"{OTHER}/events", 404, "no site"),
        (f"{OTHER}/statements", 404, "no site"),
        (f"{OTHER}/statements/2025-10?format=pdf", 404, "no site"),
        (f"{OTHER}/entries?month=2025-10", 404, "no site"),
    ],
)
async def test_what_cannot_be_answered_says_why(
    web: Web, path: str, status: int, said: str
) -> None:
    answer = await web.answer(path)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
    assert answer.json()["hint"]


async def test_a_format_that_is_not_there_is_refused(web: Web) -> None:
    answer = await web.answer(f"{HOME}/statements/2025-10", Accept="image/png")
    assert answer.status_code == 406
    assert "application/pdf" in answer.json()["hint"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ledger": SecretStr("sqlite:////nowhere/at/all.sqlite")},
        {"ledger": SecretStr("postgresql://vpp:hidden@127.0.0.1:9/ledger")},
        {"ledger": SecretStr("mysql://vpp@db/ledger")},
        {"ledger_zone": "Europe/Atlantis"},
    ],
)
async def test_without_a_ledger_only_these_answers_are_missing(
    ledger: Settings, changes: dict[str, Any]
) -> None:
    web = Web(ledger.model_copy(update=changes))
    for path in ("events", "statements", "statements/2025-10", "entries?month=2025-10"):
        told = await web.answer(f"{HOME}/{path}")
        assert told.status_code == 503, told.text
        assert told.json()["error"] == "the ledger cannot be read at the moment"
        words = told.text + (await web.answer(f"{HOME}/{path}", by=("operator", "*"))).text
        assert "hidden" not in words
        assert "127.0.0.1" not in told.text, "owners do not read where the database is"
    operator = (await web.answer(f"{HOME}/statements", by=("operator", "*"))).json()
    assert any(word in operator["hint"] for word in ("VPP_LEDGER", "VPP_LEDGER_ZONE"))
    assert (await web.answer(HOME)).status_code == 200
    assert web.model.counters["ledger_reads_failed"] == 9
    await web.client.aclose()


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("events", PastEvents),
        ("statements", Months),
        ("statements/2025-10", StatementDocument),
        ("entries?month=2025-10", Entries),
    ],
)
async def test_every_answer_has_the_shape_that_is_documented(
    web: Web, path: str, shape: type[msgspec.Struct]
) -> None:
    msgspec.convert(await web.get(f"{HOME}/{path}"), shape, strict=True)


async def test_the_documentation_has_the_answers(web: Web) -> None:
    document = (await web.client.get("/openapi.json", headers=web.entrance.headers())).json()
    content = document["paths"]["/api/v1/homes/{site_id}/statements/{month}"]["get"]["responses"]
    assert {"application/json", "application/pdf"} <= content["200"]["content"].keys()
    fields = document["components"]["schemas"]["PastEvent"]["properties"]
    assert "null" in fields["delivered_wh"]["description"]
