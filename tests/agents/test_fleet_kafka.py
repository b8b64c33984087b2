"""The fleet role on Kafka: what is no frame costs itself only; any worker answers for any site."""

import base64
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.encoding import (
    HEADER_STREAM_TIME,
    decode_json,
    encode_frame,
    encode_json,
    frame_headers,
)
from schemas.telemetry import SCHEMA_NAME, TELEMETRY_V1, Rejected
from tests.support.kafka_groups import wait_for_group
from tests.support.kafka_world import Worker, plain_http, read_all, until, workers
from tests.support.telemetry_factory import make_batch
from tests.support.window_frames import windows_in
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

T0 = 1_800_000_000_000
ROW = {"seq": 1, "measured_at_ms": T0, "received_at_ms": T0, "battery_w": 3600.0}


def site_in(partition: int) -> str:
    return next(s for i in range(1000) if partition_of(s := f"home-{i}", 8) == partition)


SITES = [site_in(partition) for partition in range(PARTITIONS)]


def nulls() -> bytes:
    batch = make_batch([ROW | {"device_id": "x", "site_id": "x"}])
    columns = [
        pa.nulls(1, f.type) if f.name == "seq" else batch.column(f.name) for f in TELEMETRY_V1
    ]
    return encode_frame(pa.RecordBatch.from_arrays(columns, schema=TELEMETRY_V1))


JUNK = {
    "no Arrow": b"\x00not arrow\xff",
    "empty": b"",
    "cut short": encode_frame(make_batch([ROW | {"device_id": "x", "site_id": "x"}]))[:200],
    "nulls": nulls(),
    "no interval": encode_frame(
        make_batch([ROW | {"device_id": "x", "site_id": "x", "interval_ms": 0}])
    ),
}


async def feed(settings: Settings) -> None:
    """Sites, a reading of each, then junk, then time that closes the window."""
    producer = KafkaClients(settings).producer()
    telemetry = topics.TELEMETRY.full(settings.namespace)
    await producer.start()
    try:
        for partition, site_id in enumerate(SITES):
            site = Site(site_id, "north", (Device(f"{site_id}-pw", "powerwall"),))
            key, name = site_id.encode(), topics.ASSETS.full(settings.namespace)
            await producer.send_and_wait(name, encode_json(site), key=key, partition=partition)
            row = ROW | {"device_id": f"{site_id}-pw", "site_id": site_id}
            headers = frame_headers(SCHEMA_NAME, "test", "beat")
            headers[HEADER_STREAM_TIME] = str(T0 + 70_000).encode()
            for value in (encode_frame(make_batch([row])), *JUNK.values()):
                await producer.send_and_wait(telemetry, value, partition=partition)
            await producer.send_and_wait(
                telemetry,
                encode_frame(make_batch([])),
                partition=partition,
                headers=list(headers.items()),
            )
    finally:
        await producer.stop()


async def status(worker: Worker, path: str) -> int:
    async with plain_http() as http:
        return (await http.get(f"http://127.0.0.1:{worker.port}{path}")).status_code


async def test_junk_is_a_dead_letter_and_windows_close(
    topics_ready: Settings, tmp_path: Path
) -> None:
    with workers(topics_ready, tmp_path) as start:
        await feed(topics_ready)
        start("fleet")
        await wait_for_group(topics_ready, "fleet", topics.TELEMETRY)
    name = topics.TELEMETRY_REJECTED.full(topics_ready.namespace)
    rejected = [decode_json(r.value, Rejected) for r in await read_all(topics_ready, name)]
    assert {r.reason for r in rejected} == {"bad_frame"}
    assert len({r.rejected_id for r in rejected}) == len(rejected) == len(JUNK) * len(SITES)
    originals = {base64.b64decode(r.original_base64) for r in rejected}
    assert originals == set(JUNK.values())
    name = topics.SITE_WINDOWS.full(topics_ready.namespace)
    windows = [
        window
        for record in await read_all(topics_ready, name)
        for window in windows_in(record.value, record.headers)
    ]
    assert sorted(w.window_id for w in windows) == sorted(f"{s}|60|{T0}" for s in SITES)
    assert all(w.battery and w.battery.energy_wh == pytest.approx(1.0) for w in windows)


async def test_what_is_written_among_the_seats_is_left_out(
    topics_ready: Settings, tmp_path: Path
) -> None:
    """Nobody should write there; each record crashed the agent that sits in the group."""
    seats = topics.SEATS_FLEET.full(topics_ready.namespace)
    junk = (b"\xff\xfe", b"{", b"", b"[" * 3000)

    async def left_out() -> bool:
        log = worker.log.read_text(errors="replace")
        assert "Crashed reason" not in log, worker.why()
        return log.count("a record in the topic of seats was left out") >= len(junk)

    with workers(topics_ready, tmp_path) as start:
        await feed(topics_ready)
        worker = start("fleet")
        await wait_for_group(topics_ready, "fleet", topics.TELEMETRY)
        async with producing(KafkaClients(topics_ready)) as producer:
            for value in junk:
                await producer.send_and_wait(seats, value, key=b"\xff", partition=0)
        await until(left_out, "the records to be left out")


async def test_any_worker_answers_for_every_site(topics_ready: Settings, tmp_path: Path) -> None:
    async def both_answer() -> bool:
        return all([await w.answers(f"/sites/{s}/twin") for w in (first, second) for s in SITES])

    with workers(topics_ready, tmp_path) as start:
        await feed(topics_ready)
        first, second = start("fleet"), start("fleet")
        await until(both_answer, "both workers to answer for every site")
        for worker in (first, second):
            for site_id in SITES:
                page = await worker.get(f"/sites/{site_id}/twin")
                assert page["devices"][0]["battery_w"] == 3600.0
                page = await worker.get(f"/sites/{site_id}/windows?size_s=60")
                assert [w["readings"] for w in page["windows"]] == [1]
        assert await status(first, f"/sites/{SITES[0]}/windows?size_s=7") == 400
        assert await status(first, "/sites/nowhere/twin") == 404
