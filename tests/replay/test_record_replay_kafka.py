"""Record and replay on a real Kafka: nothing lost, nothing twice, the same bytes at any speed."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from aiokafka import ConsumerRecord

from schemas.assets import Device, Site
from schemas.bounds import PARTITIONS
from schemas.encoding import (
    BACKFILL,
    HEADER_WATERMARK,
    LIVE,
    decode_frame,
    decode_json,
    encode_frame,
    encode_json,
    frame_headers,
)
from schemas.telemetry import SCHEMA_NAME, TELEMETRY_V1
from tests.support.kafka_world import read_all, until
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.files.csv_home import read_home
from vpp_streams.domain.files.csv_mapping import parse_mapping
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.errors import InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.process.durable_files import rename_durably
from vpp_streams.replay import recording as recording_module
from vpp_streams.replay.recorder import record
from vpp_streams.replay.recording import Recording, recording_in
from vpp_streams.replay.replay import Pacer, replay
from vpp_streams.replay.sources import Source, Span, home_source, open_recording
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

HOUR_MS = 3_600_000
T0 = 1_800_000_000_000 // HOUR_MS * HOUR_MS + HOUR_MS - 30_000
"""Half a minute before an hour is over: the recording spans two."""
SECONDS = 60
SITES = [
    Site(
        f"home-{i}",
        f"region-{i % 2}",
        (Device(f"home-{i}-pw", "powerwall", rated_energy_wh=13_500, token_sha256="ab" * 32),),
    )
    for i in range(6)
]

Sent = list[tuple[int, pa.RecordBatch, bytes]]
"""(partition, batch, lane) in order."""


def frames(seconds: Iterable[int] = range(SECONDS)) -> Sent:
    """Each site by the second; now and then a backfill frame measured an hour ago."""
    sent: Sent = []
    for second in seconds:
        for i, site in enumerate(SITES):
            late = second % 10 == 9 and i == 0
            row = {
                "device_id": site.devices[0].device_id,
                "site_id": site.site_id,
                "seq": second,
                "measured_at_ms": T0 + second * 1000 - (HOUR_MS if late else 0),
                "received_at_ms": T0 + second * 1000 + 300,
                "battery_w": 100.0 * i + second,
                "soc": 0.5,
            }
            partition = partition_of(site.site_id, PARTITIONS)
            sent.append((partition, make_batch([row]), BACKFILL if late else LIVE))
    return sent


async def produce(settings: Settings, sent: Sent, sites: Iterable[Site] = ()) -> None:
    producer = KafkaClients(settings).producer()
    await producer.start()
    try:
        for site in sites:
            await producer.send_and_wait(
                topics.ASSETS.full(settings.namespace),
                encode_json(site),
                key=site.site_id.encode(),
                partition=partition_of(site.site_id, PARTITIONS),
            )
        topic = topics.TELEMETRY.full(settings.namespace)
        for partition, batch, lane in sent:
            headers = list(frame_headers(SCHEMA_NAME, "test", "x", lane).items())
            await producer.send(topic, encode_frame(batch), partition=partition, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()


async def record_to_end(settings: Settings, directory: Path) -> Recording:
    with recording_in(directory, topics.TELEMETRY.full(settings.namespace)) as recording:
        await record(settings, recording, asyncio.Event(), from_beginning=True, until_end=True)
    return recording


def recorded(directory: Path) -> pd.DataFrame:
    """All that is in a recording, as any Parquet tool reads it, in the order of the log."""
    frame = pd.read_parquet(directory)
    return frame.sort_values(["kafka_partition", "kafka_offset"]).reset_index(drop=True)


def expected(sent: Sent) -> pd.DataFrame:
    tables, offsets = [], dict.fromkeys(range(PARTITIONS), 0)
    for partition, batch, lane in sent:
        table = batch.to_pandas()
        table["kafka_partition"] = partition
        table["kafka_offset"] = offsets[partition]
        table["backfill"] = lane == BACKFILL
        offsets[partition] += 1
        tables.append(table)
    frame = pd.concat(tables).sort_values(["kafka_partition", "kafka_offset"])
    return frame.reset_index(drop=True)


def assert_recorded(directory: Path, sent: Sent) -> None:
    found = recorded(directory)
    received = pd.to_datetime(found.received_at_ms, unit="ms")
    assert (found.date.astype(str) == received.dt.strftime("%Y-%m-%d")).all()
    assert (found.hour.astype(int) == received.dt.hour).all()
    wanted = expected(sent)
    pd.testing.assert_frame_equal(found[wanted.columns], wanted, check_dtype=False)
    assert not drafts(directory)


def parts(directory: Path) -> list[Path]:
    return list(directory.rglob("*.parquet"))


def drafts(directory: Path) -> list[Path]:
    """Files that are being written, or were when a process was killed."""
    return list(directory.rglob(".*.draft"))


async def test_what_is_recorded_is_what_was_sent(topics_ready: Settings, tmp_path: Path) -> None:
    sent = frames()
    await produce(topics_ready, sent, SITES)
    heartbeat = (0, make_batch([]), LIVE)
    await produce(topics_ready, [heartbeat])
    recording = await record_to_end(topics_ready, tmp_path / "tape")
    assert recording.counters["readings"] == len(sent)
    assert_recorded(tmp_path / "tape", sent)
    assert recorded(tmp_path / "tape").hour.nunique() == 2
    lines = (tmp_path / "tape" / "_assets.ndjson").read_bytes().splitlines()
    sites = [decode_json(line, Site) for line in lines]
    assert [site.site_id for site in sites] == [site.site_id for site in SITES]
    assert all(device.token_sha256 == "" for site in sites for device in site.devices)


async def test_a_recording_goes_on_where_it_stood(topics_ready: Settings, tmp_path: Path) -> None:
    sent = frames()
    await produce(topics_ready, sent[:100])
    await record_to_end(topics_ready, tmp_path)
    await produce(topics_ready, sent[100:])
    again = await record_to_end(topics_ready, tmp_path)
    assert again.counters["readings"] == len(sent) - 100
    assert (await record_to_end(topics_ready, tmp_path)).counters["readings"] == 0
    assert_recorded(tmp_path, sent)


class Killed(BaseException):
    """What ends the process in a test of a kill."""


@pytest.mark.parametrize("renames_before_the_kill", [0, 1, 3])
async def test_a_kill_loses_nothing_and_doubles_nothing(
    topics_ready: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    renames_before_the_kill: int,
) -> None:
    """Killed in the middle of a checkpoint: some parts are durable, nothing says so yet."""
    sent = frames()
    await produce(topics_ready, sent[:200])
    await record_to_end(topics_ready, tmp_path)
    await produce(topics_ready, sent[200:])
    rename, renames = rename_durably, 0

    def rename_or_die(draft: Path, path: Path) -> None:
        nonlocal renames
        if path.suffix == ".parquet":
            if renames == renames_before_the_kill:
                raise Killed
            renames += 1
        rename(draft, path)

    with monkeypatch.context() as patch:
        patch.setattr(recording_module, "rename_durably", rename_or_die)
        patch.setattr(Recording, "discard_open", lambda _self: None)  # a kill cleans nothing up
        with pytest.raises(Killed):
            await record_to_end(topics_ready, tmp_path)
    assert renames == renames_before_the_kill
    assert drafts(tmp_path)
    # It goes on in the middle of a log that has grown.
    await produce(topics_ready, frames(range(SECONDS, SECONDS + 20)))
    await record_to_end(topics_ready, tmp_path)
    assert_recorded(tmp_path, sent + frames(range(SECONDS, SECONDS + 20)))


async def test_a_process_killed_and_one_stopped_by_ctrl_c(
    topics_ready: Settings, tmp_path: Path
) -> None:
    sent = frames(range(20))
    await produce(topics_ready, sent)

    async def begun() -> bool:
        return bool(drafts(tmp_path))

    async def run(end_by: signal.Signals) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vpp_streams", "record", str(tmp_path), "--from-beginning"),
            env={
                **os.environ,
                "VPP_KAFKA": topics_ready.kafka,
                "VPP_NAMESPACE": topics_ready.namespace,
            },
        )
        try:
            await until(begun, "the recording to begin")
        finally:
            process.send_signal(end_by)
            code = await process.wait()
        return code

    assert await run(signal.SIGKILL) == -signal.SIGKILL
    assert not parts(tmp_path)  # nothing half written has a part's name
    for draft in drafts(tmp_path):
        draft.unlink()  # so that the next process's drafts are told from these
    assert await run(signal.SIGINT) == 0
    found = recorded(tmp_path)
    assert len(found)
    await record_to_end(topics_ready, tmp_path)
    assert_recorded(tmp_path, sent)


async def test_junk_on_the_topic_is_counted_and_left_out(
    topics_ready: Settings, tmp_path: Path
) -> None:
    sent = frames(range(3))
    producer = KafkaClients(topics_ready).producer()
    await producer.start()
    try:
        topic = topics.TELEMETRY.full(topics_ready.namespace)
        free = next(p for p in range(PARTITIONS) if p not in {s[0] for s in sent})
        await producer.send_and_wait(topic, b"junk", partition=free)
    finally:
        await producer.stop()
    await produce(topics_ready, sent)
    recording = await record_to_end(topics_ready, tmp_path)
    assert recording.counters["bad_frames"] == 1
    assert_recorded(tmp_path, sent)


async def test_a_directory_of_another_recording_is_refused(
    topics_ready: Settings, tmp_path: Path
) -> None:
    await produce(topics_ready, frames(range(1)))
    await record_to_end(topics_ready, tmp_path)
    with pytest.raises(InputError, match="is a recording of"), recording_in(tmp_path, "other"):
        pass
    topic = topics.TELEMETRY.full(topics_ready.namespace)
    with (
        recording_in(tmp_path, topic),
        pytest.raises(InputError, match="another `vpp record`"),
        recording_in(tmp_path, topic),
    ):
        pass
    anew = topics_ready.model_copy(update={"namespace": topics_ready.namespace + "-b"})
    await ensure_topics(KafkaClients(anew))
    with recording_in(tmp_path, topic) as recording:
        recording.topic = topics.TELEMETRY.full(anew.namespace)  # as if it had been deleted
        with pytest.raises(InputError, match="created again"):
            await record(anew, recording, asyncio.Event(), from_beginning=True, until_end=True)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds


def world(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"namespace": f"{settings.namespace}-{name}"})


def on_the_wire(records: list[ConsumerRecord]) -> list[Any]:
    return [(r.partition, r.offset, r.key, r.value, r.headers) for r in records]


async def telemetry_of(settings: Settings) -> list[ConsumerRecord]:
    return await read_all(settings, topics.TELEMETRY.full(settings.namespace))


async def assert_the_same_at_any_speed(settings: Settings, open_source: Any) -> list[Any]:
    fast, slow, time = world(settings, "fast"), world(settings, "slow"), FakeTime()
    await replay(fast, open_source(), Pacer(None))
    await replay(slow, open_source(), Pacer(7.5, time.clock, time.sleep))
    found = await telemetry_of(fast)
    assert on_the_wire(found) == on_the_wire(await telemetry_of(slow))
    source: Source = open_source()
    data_s = (source.last_ms - source.first_ms) / 1000
    assert time.now_s == pytest.approx(data_s / 7.5, abs=source.pace.step_ms / 1000 / 7.5)
    return found


async def test_a_recording_is_replayed_the_same_at_any_speed(
    topics_ready: Settings, tmp_path: Path
) -> None:
    sent = frames()
    await produce(topics_ready, sent[:200], SITES)
    await record_to_end(topics_ready, tmp_path)
    await produce(topics_ready, sent[200:])
    await record_to_end(topics_ready, tmp_path)
    found = await assert_the_same_at_any_speed(
        topics_ready, lambda: open_recording(tmp_path, Span())
    )
    wanted = expected(sent)
    for partition in range(PARTITIONS):
        mine = [r for r in found if r.partition == partition]
        batches = [decode_frame(r.value) for r in mine]
        told = pa.Table.from_batches(batches, schema=TELEMETRY_V1).to_pandas()
        theirs = wanted[wanted.kafka_partition == partition].reset_index(drop=True)
        pd.testing.assert_frame_equal(told, theirs[told.columns], check_dtype=False)
        lanes = [
            dict(r.headers)["lane"] == BACKFILL
            for r, batch in zip(mine, batches, strict=True)
            for _ in range(len(batch))
        ]
        assert lanes == theirs.backfill.tolist()
        watermarks = [dict(r.headers).get(HEADER_WATERMARK) for r in mine]
        end_ms = -(-(T0 + SECONDS * 1000) // 900_000) * 900_000
        assert watermarks == [None] * (len(mine) - 1) + [str(end_ms).encode()]
    assets = await read_all(topics_ready, topics.ASSETS.full(f"{topics_ready.namespace}-fast"))
    assert {decode_json(r.value, Site).site_id for r in assets} == {s.site_id for s in SITES}


async def test_a_home_is_replayed_the_same_at_any_speed(topics_ready: Settings) -> None:
    mapping = parse_mapping(
        {
            "time": {"column": "t", "interval_s": 1800, "timezone": "UTC"},
            "columns": {"load_w": {"column": "load", "unit": "W"}},
            "site": {"site_id": "home", "region": "r",
                     "devices": [{"device_id": "home-meter", "kind": "solar"}]},
        },
        "home.yaml",
    )  # fmt: skip
    stamps = pd.date_range("2024-01-01", periods=48, freq="30min")
    lines = ["t,load", *(f"{stamp},{i}" for i, stamp in enumerate(stamps))]
    home = read_home(lines, mapping, "home.csv")
    found = await assert_the_same_at_any_speed(
        topics_ready, lambda: home_source(home, mapping, Span())
    )
    mine = [r for r in found if r.partition == partition_of("home", PARTITIONS)]
    told = pa.Table.from_batches([decode_frame(r.value) for r in mine]).to_pandas()
    assert told.load_w.tolist() == list(range(48))


async def test_a_span_of_a_recording(topics_ready: Settings, tmp_path: Path) -> None:
    await produce(topics_ready, frames())
    await record_to_end(topics_ready, tmp_path)
    target = world(topics_ready, "part")
    span = Span(T0 + 10_000, T0 + 12_000)
    await replay(target, open_recording(tmp_path, span), Pacer(None))
    batches = [decode_frame(r.value) for r in await telemetry_of(target)]
    told = pa.Table.from_batches(batches).to_pandas()
    assert sorted(told.seq) == [10] * len(SITES) + [11] * len(SITES)


async def test_one_parquet_file_of_readings_is_a_source(
    topics_ready: Settings, tmp_path: Path
) -> None:
    sent = frames(range(3))
    table = pa.Table.from_batches([batch for _, batch, _ in reversed(sent)])
    pd.DataFrame(table.to_pandas()).to_parquet(tmp_path / "mine.parquet")
    await replay(topics_ready, open_recording(tmp_path / "mine.parquet", Span()), Pacer(None))
    found = await telemetry_of(topics_ready)
    told = pa.Table.from_batches([decode_frame(r.value) for r in found]).to_pandas()
    assert sorted(told.battery_w) == sorted(table["battery_w"].to_pylist())
    for partition in range(PARTITIONS):
        mine = [r for r in found if r.partition == partition]
        received = pa.Table.from_batches([decode_frame(r.value) for r in mine])["received_at_ms"]
        assert received.to_pylist() == sorted(received.to_pylist())


async def test_a_used_namespace_is_refused(topics_ready: Settings, tmp_path: Path) -> None:
    await produce(topics_ready, frames(range(1)))
    await record_to_end(topics_ready, tmp_path)
    with pytest.raises(InputError, match="choose another --namespace"):
        await replay(topics_ready, open_recording(tmp_path, Span()), Pacer(None))
    assert len(await telemetry_of(topics_ready)) == len(SITES)
