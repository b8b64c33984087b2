"""A small world for tests of the web process: three regions, sites, rejects, processes."""

import math
import pickle
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import httpx
import msgspec
import pyarrow as pa

from schemas.commands import CommandEvent, CommandEvents, CommandState
from schemas.dispatch import RequestEvent, RequestState, Target
from schemas.encoding import encode_json
from schemas.presence import Presence
from schemas.window_frames import HEADERS
from tests.support.kafka_raw import raw_in_its_partition, take
from tests.support.web_records import (
    HOSTILE,
    NOW_MS,
    command_frame,
    dispatch_status,
    health,
    notice,
    region_forecast,
    region_live,
    region_window,
    rejected,
    site,
    site_window,
    stats,
)
from vpp_streams.kafka import topics
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import encode
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.readmodel import ReadModel

T = TypeVar("T")


def apply(
    model: ReadModel, topic: Topic, value: Any, offset: int = 0, now_ms: int = NOW_MS
) -> None:
    """Apply a contract's record as Kafka would bring it."""
    headers = tuple(HEADERS.items()) if isinstance(value, pa.RecordBatch) else ()
    encoded = encode(topic, value)
    apply_raw(model, topic, None, encoded, offset=offset, now_ms=now_ms, headers=headers)


def apply_raw(
    model: ReadModel,
    topic: Topic,
    key: bytes | None,
    value: bytes | None,
    *,
    offset: int = 0,
    now_ms: int = NOW_MS,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Take bytes in as the web process does, in whichever partition they belong."""
    feed = Feed(
        topic,
        lambda read: model.apply(topic, read, now_ms),
        lambda removed: model.remove(topic, removed),
    )
    raw = raw_in_its_partition(topic, value, key=key, offset=offset, headers=headers)
    take(feed, raw, model.counters)


def fed_read_model() -> ReadModel:
    """A read model that has received everything: a copy of one that took thousands of records."""
    model: ReadModel = pickle.loads(_fed())
    return model


@cache
def _fed() -> bytes:
    model = ReadModel(started_at_ms=NOW_MS - 3_600_000)
    for number in range(1, 31):
        apply(model, topics.ASSETS, site(number, "north" if number <= 20 else "south"))
    apply(model, topics.PRESENCE, Presence("pw-001", "home-001", "connected", 2, NOW_MS - 9000), 17)
    _feed_regions(model)
    for minute in range(60, 0, -1):
        start_ms = NOW_MS - NOW_MS % 60_000 - minute * 60_000
        mean_w = 1200.0 * math.sin(minute / 9)
        apply(model, topics.SITE_WINDOWS, site_window("home-001", start_ms, battery=stats(mean_w)))
    for number in range(5):
        apply(model, topics.TELEMETRY_REJECTED, rejected(number))
    hostile = rejected(9, "out_of_range", f'{{"device":"{HOSTILE}"}}'.encode())
    hostile = msgspec.structs.replace(hostile, detail=HOSTILE, device_id=HOSTILE)
    apply(model, topics.TELEMETRY_REJECTED, hostile)
    for second in range(6):
        at_ms, n = NOW_MS - 5000 + 1000 * second, 222 * (100 + second)
        for report in (
            health("gateway", at_ms, connections=222, readings_in=n, backfill_in=40),
            health("ingest", at_ms, lag=3, readings_in=n + 40, canonical=n + 34, rejected=6),
            health("fleet", at_ms, lag=5, windows_closed=640),
            health("region", at_ms, lag=0, live_out=300 + 6 * second),
            health("web", at_ms, records_applied=12 * second),
        ):
            apply(model, topics.HEALTH, report, now_ms=at_ms)
    return pickle.dumps(model)


def _feed_regions(model: ReadModel) -> None:
    for index, region in enumerate(("north", "south", "west")):
        for second in range(600, -1, -1):
            at_ms = NOW_MS - 1000 * second
            turn = second / 60 + index
            battery_w, solar_w = 180_000 * math.sin(turn / 2), 90_000.0 + 9_000 * math.sin(turn * 3)
            load_w = 210_000.0 + 20_000 * math.cos(turn)
            live = region_live(
                region,
                at_ms,
                battery_w=battery_w,
                solar_w=solar_w,
                load_w=load_w,
                grid_w=load_w - battery_w - solar_w,
                soc=0.6 + 0.05 * math.sin(turn / 4),
            )
            apply(model, topics.REGION_LIVE, live, now_ms=at_ms)
        for quarter in range(8, 0, -1):
            start_ms = NOW_MS - NOW_MS % 900_000 - quarter * 900_000
            apply(model, topics.REGION_WINDOWS, region_window(region, start_ms))
        apply(model, topics.REGION_FORECASTS, region_forecast(region))


def feed_control(model: ReadModel) -> None:
    """North delivers a target a little short, after another; one device does not follow."""
    target = Target(
        request_id="target-1",
        region="north",
        export_w=400_000.0,
        starts_at_ms=NOW_MS - 420_000,
        ends_at_ms=NOW_MS + 480_000,
        priority="operator",
        source="operator:ann",
        issued_at_ms=NOW_MS - 420_000,
    )
    changes = {"request_id": "target-0", "export_w": -90_000.0, "ends_at_ms": NOW_MS - 480_000}
    times = {"starts_at_ms": NOW_MS - 900_000, "issued_at_ms": NOW_MS - 900_000}
    old = msgspec.structs.replace(target, **changes, **times)
    changes = {"request_id": "target-2", "export_w": 60_000.0, "source": "schedule:evening"}
    waiting = msgspec.structs.replace(target, **changes)
    steps: tuple[tuple[Target, RequestState, str, str], ...] = (
        (old, "completed", "its end was reached", ""),
        (target, "active", "", ""),
        (waiting, "outranked", "target-1 was asked for later", "target-1"),
    )
    for request, state, reason, by in steps:
        apply(model, topics.DISPATCH_TARGETS, request)
        told: dict[str, Any] = {
            "request_id": request.request_id,
            "region": "north",
            "at_ms": NOW_MS - 420_000,
        }
        event = RequestEvent(state=state, reason=reason, by=by, **told)
        apply(model, topics.DISPATCH_EVENTS, event)
    missing = notice("north", "target-1").causes
    for second in range(900, -1, -1):
        at_ms, since_s = NOW_MS - 1000 * second, 420 - second
        wobble = 1 + 0.004 * math.sin(second / 7)
        if since_s < 0:
            idle = {"mode": "idle", "request_id": "", "ends_at_ms": 0, "asked_w": None}
            idle |= {"allocated_w": None, "measured_w": 6_000.0 * math.sin(second / 60)}
            status = dispatch_status("north", at_ms, states={"none": 73}, **idle)
        else:
            allocated_w = 400_000.0 if since_s < 300 else 358_000.0
            measured_w = allocated_w * min(1.0, (since_s + 1) / 4) * wobble
            short = {"missing_w": 42_000.0, "causes": missing} if since_s >= 300 else {}
            given = {"allocated_w": allocated_w, "measured_w": measured_w, **short}
            status = dispatch_status("north", at_ms, **given)
        apply(model, topics.DISPATCH_EVENTS, status, now_ms=at_ms)
    apply(model, topics.DISPATCH_EVENTS, notice("north", "target-1"))
    _feed_commands(model)


def _feed_commands(model: ReadModel) -> None:
    made_ms = NOW_MS - 12_000
    frame = command_frame(made_ms, {f"pw-{n:03}": 3000.0 + 40 * n for n in range(1, 13)})
    apply(model, topics.COMMANDS, frame)
    applied: list[CommandState] = ["applied"] * 9
    states: list[CommandState] = [*applied, "accepted", "rejected"]
    events = tuple(
        CommandEvent(
            device_id=row.device_id,
            command_id=f"c0-{made_ms}",
            state=state,
            at_ms=made_ms + 900,
            epoch=17,
            reason="refused" if state == "rejected" else "",
            power_w=row.setpoint_w,
        )
        for row, state in zip(frame.rows, states, strict=False)
    )
    apply(model, topics.COMMAND_EVENTS, CommandEvents(source="g", partition=0, events=events))
    for second in range(10, -1, -1):
        devices = [row.device_id for row in frame.rows]
        measured = [
            0.0 if row.device_id == "pw-001" else row.setpoint_w or 0.0 for row in frame.rows
        ]
        times = [NOW_MS - 1000 * second] * 12
        model.commands.apply_readings(devices, times, times, measured)


def story_records(partition: int) -> list[tuple[Topic, int, int, bytes | None]]:
    """What topics hold of pw-001: a lease that it took and renewed."""
    records: list[tuple[Topic, int, int, bytes | None]] = []
    for made_ms in (NOW_MS - 42_000, NOW_MS - 27_000, NOW_MS - 12_000):
        frame = encode_json(command_frame(made_ms, {"pw-001": 3040.0}))
        records.append((topics.COMMANDS, partition, made_ms, frame))
        told: list[tuple[CommandState, int, float | None]] = [
            ("delivered", 30, None),
            ("accepted", 45, 12.0),
            ("applied", 3_100, 3031.0),
        ]
        if made_ms < NOW_MS - 12_000:
            told.append(("superseded", 15_040, 3040.0))
        events = tuple(
            CommandEvent(
                device_id="pw-001",
                command_id=f"c0-{made_ms}",
                state=state,
                at_ms=made_ms + after_ms,
                epoch=17,
                power_w=power_w,
            )
            for state, after_ms, power_w in told
        )
        batch = encode_json(CommandEvents(source="g", partition=partition, events=events))
        records.append((topics.COMMAND_EVENTS, partition, made_ms + 50, batch))
    return records


TWIN = {
    "site_id": "home-001",
    "partition": 3,
    "stream_time_ms": NOW_MS,
    "devices": [
        {
            "device_id": "pw-001",
            "measured_at_ms": NOW_MS - 800,
            "received_at_ms": NOW_MS - 700,
            "battery_w": 1200.0,
            "grid_w": -500.0,
            "solar_w": 800.0,
            "load_w": 1500.0,
            "soc": 0.6,
            "frequency_hz": 50.01,
            "voltage_v": None,
            "temperature_c": 24.5,
            "islanded": False,
            "quality": "ok",
            "readings": 600,
            "duplicates": 2,
            "desired": {
                "command_id": f"c0-{NOW_MS - 12_000}",
                "request_id": "target-1",
                "state": "applied",
                "setpoint_w": 3040.0,
                "created_at_ms": NOW_MS - 12_000,
                "valid_until_ms": NOW_MS + 18_000,
                "standing": True,
            },
        }
    ],
}


class KafkaInMemory:
    """What the web process writes and reads, without a broker (see `desk.Kafka`)."""

    def __init__(self, on_write: Callable[[Topic, bytes, bytes], None] | None = None) -> None:
        self.written: list[tuple[Topic, bytes, bytes]] = []
        self.records: list[tuple[Topic, int, int, bytes | None]] = []
        """(topic, partition, time written, value)"""
        self._on_write = on_write or (lambda *_: None)

    async def write(self, topic: Topic[T], record: T) -> None:
        key = topic.key.of(record).encode() if topic.key else b""
        self.written.append((topic, key, encode(topic, record)))
        self._on_write(*self.written[-1])

    async def read_since(
        self, topic: Topic, since_ms: int, partition: int
    ) -> AsyncIterator[tuple[int, bytes | None]]:
        for its_topic, its_partition, at_ms, value in self.records:
            if its_topic is topic and its_partition == partition and at_ms >= since_ms:
                yield at_ms, value


def fleet_that_answers(answer: httpx.Response | Exception) -> httpx.MockTransport:
    """A fleet worker that gives one answer to everything."""

    def handle(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return httpx.MockTransport(handle)
