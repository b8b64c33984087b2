"""Refused records as people see them: each once, and an alarm for some minutes."""

import httpx

from tests.support.accounts_world import Entrance
from tests.support.rejected_records import REJECTED_RECORD, rejected_record
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory, apply
from vpp_streams.kafka import topics
from vpp_streams.serving.newest_commands import REFUSED_LATELY_MS
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.rejected_records import RejectedRecords
from vpp_streams.settings import Settings
from vpp_streams.web.api import create_web


def test_a_letter_that_is_written_twice_is_one_record() -> None:
    records = RejectedRecords()
    for process in ("fleet-host-1", "web-host-2"):
        records.apply(rejected_record(process=process))
    records.apply(rejected_record(rejected_id="commands-1-2", source_topic="commands"))
    page = records.page(None, 10, NOW_MS)
    assert page.counts == {"presence": 1, "commands": 1}
    assert [row.topic for row in page.rejected] == ["commands", "presence"]
    assert [row.process for row in page.rejected][1] == "fleet-host-1"
    assert [row.topic for row in records.page("presence", 10, NOW_MS).rejected] == ["presence"]


def test_what_is_kept_is_bounded() -> None:
    records = RejectedRecords(keep=3)
    for offset in range(5):
        records.apply(rejected_record(rejected_id=f"presence-4-{offset}", source_offset=offset))
    page = records.page(None, 10, NOW_MS)
    assert [row.offset for row in page.rejected] == [4, 3, 2]
    assert page.counts == {"presence": 5}


async def test_a_refused_record_is_an_alarm_for_some_minutes_and_is_shown() -> None:
    model = ReadModel(started_at_ms=NOW_MS - 3_600_000)
    apply(model, topics.RECORDS_REJECTED, REJECTED_RECORD)
    assert model.health(NOW_MS).records_rejected_lately == 1
    assert model.alarms(NOW_MS, 10).records_rejected == 1
    assert model.alarms(REJECTED_RECORD.at_ms + REFUSED_LATELY_MS + 1, 10).records_rejected == 0
    entrance = Entrance()
    app = create_web(Settings(), model, lambda: NOW_MS, KafkaInMemory(), logins=entrance.logins)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=entrance.headers()
    ) as client:
        page = (await client.get("/api/v1/records/rejected")).json()
        alarms = (await client.get("/api/v1/alarms")).json()
    assert page["lately"] == 1
    assert page["rejected"][0]["original"] == '{"gateway_slot":40000}'
    assert page["rejected"][0]["original_bytes"] == 90
    assert alarms["records_rejected"] == 1
