"""A small world for tests of the web process: three regions, sites, rejects, processes."""

import base64
import math
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar, cast

import httpx
import msgspec

from schemas.assets import Device, Site
from schemas.commandable import Commandable, Hindered
from schemas.commands import CommandEvent, CommandEvents, CommandFrame, CommandRow, CommandState
from schemas.dispatch import DispatchStatus, Missing, Notice, RequestEvent, RequestState, Target
from schemas.encoding import encode_json
from schemas.forecast import ForecastAccuracy, QuantityForecast, RegionForecast
from schemas.health import Health
from schemas.presence import Presence
from schemas.telemetry import Rejected
from schemas.windows import (
    Aggregate,
    Deliverable,
    EnergySums,
    PowerStats,
    RegionLive,
    RegionWindow,
    RegionWindowSums,
    SiteWindow,
    SocStats,
)
from tests.support.kafka_raw import raw_in_its_partition, take
from vpp_streams.kafka import topics
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import encode
from vpp_streams.kafka.topics import Topic
from vpp_streams.web.readmodel import ReadModel

T = TypeVar("T")
NOW_MS = 1_763_855_000_000
HOSTILE = '<img src=x onerror="window.hacked=true"><script>window.hacked=true</script>'


def apply(
    model: ReadModel, topic: Topic, value: Any, offset: int = 0, now_ms: int = NOW_MS
) -> None:
    """Apply a contract's record as Kafka would bring it."""
    apply_raw(model, topic, None, encode_json(value), offset, now_ms)


def apply_raw(  # noqa: PLR0917  # as it is called
    model: ReadModel,
    topic: Topic,
    key: bytes | None,
    value: bytes | None,
    offset: int = 0,
    now_ms: int = NOW_MS,
) -> None:
    """Take bytes in as the web process does, in whichever partition they belong."""
    feed = Feed(
        topic,
        lambda read: model.apply(topic, read, now_ms),
        lambda removed: model.remove(topic, removed),
    )
    take(feed, raw_in_its_partition(topic, value, key=key, offset=offset), model.counters)


def region_live(region: str, at_ms: int = NOW_MS, **changes: Any) -> RegionLive:
    aggregate: dict[str, Any] = {
        "sites_expected": 74,
        "sites_reporting": 73,
        "oldest_sample_ms": at_ms - 1900,
        "battery_w": 18_250.5,
        "grid_w": -4_100.0,
        "solar_w": 9_300.0,
        "load_w": 23_450.5,
        "stored_wh": 618_000.0,
        "usable_wh": 1_000_000.0,
        "deliverable": (
            Deliverable(900, 355_000.0, 310_000.0),
            Deliverable(3600, 348_200.0, 302_000.0),
            Deliverable(14_400, 115_525.0, 95_000.0),
        ),
    }
    live: dict[str, Any] = {
        "soc": 0.618,
        "coverage": 73 / 74,
        "oldest_sample_age_s": 1.9,
        "partitions_expected": 8,
        "partitions_reporting": 8,
        "age_p50_ms": 410.0,
        "age_p99_ms": 690.0,
        "fresh_ages_ms": ((400, 98), (690, 2)),
    }
    for name, value in changes.items():
        (live if name in live else aggregate)[name] = value
    return RegionLive(region=region, at_ms=at_ms, aggregate=Aggregate(**aggregate), **live)


def stats(mean_w: float) -> PowerStats:
    return PowerStats(
        energy_wh=mean_w / 60,
        positive_wh=max(mean_w, 0) / 60,
        negative_wh=max(-mean_w, 0) / 60,
        mean_w=mean_w,
        min_w=mean_w - 300,
        max_w=mean_w + 300,
    )


def site_window(site_id: str, start_ms: int, size_s: int = 60, **changes: Any) -> SiteWindow:
    window = SiteWindow(
        window_id=f"{site_id}|{size_s}|{start_ms}",
        site_id=site_id,
        region="north",
        start_ms=start_ms,
        size_s=size_s,
        revision=0,
        readings=60,
        coverage=1.0,
        battery=stats(1200.0),
        grid=stats(-500.0),
        solar=stats(800.0),
        load=stats(1500.0),
        soc=SocStats(0.61, 0.6, 0.6, 0.61),
    )
    return msgspec.structs.replace(window, **changes)


def region_window(region: str, start_ms: int, size_s: int = 900, **changes: Any) -> RegionWindow:
    energy = EnergySums(energy_wh=310.5, positive_wh=330.0, negative_wh=19.5)
    window = RegionWindow(
        window_id=f"{region}|{size_s}|{start_ms}",
        region=region,
        start_ms=start_ms,
        size_s=size_s,
        revision=0,
        coverage=0.98,
        mean_battery_w=18_630.0,
        mean_grid_w=-2_000.0,
        mean_solar_w=9_000.0,
        mean_load_w=25_630.0,
        soc_first=0.61,
        soc_last=0.62,
        sums=RegionWindowSums(
            sites_expected=74,
            sites_reporting=73,
            readings=66_000,
            coverage_sum=72.5,
            battery=energy,
            grid=energy,
            solar=energy,
            load=energy,
            stored_first_wh=610_000.0,
            stored_last_wh=620_000.0,
            usable_wh=1_000_000.0,
        ),
    )
    return msgspec.structs.replace(window, **changes)


def region_forecast(region: str, start_ms: int = NOW_MS - NOW_MS % 900_000) -> RegionForecast:
    def bell(hour: float, width: float) -> list[float]:
        return [math.exp(-(((i / 4 - hour) / width) ** 2)) for i in range(96)]

    def quantity(mean_w: list[float], scored: ForecastAccuracy | None) -> QuantityForecast:
        low_w, high_w = (tuple(share * w for w in mean_w) for share in (0.7, 1.4))
        mean = tuple(mean_w)
        return QuantityForecast(by="lear", mean_w=mean, low_w=low_w, high_w=high_w, accuracy=scored)

    scored = ForecastAccuracy(slots=96, error_w=8_400.0, naive_error_w=11_900.0, inside=0.8125)
    return RegionForecast(
        region=region,
        known_at_ms=start_ms + 15_000,
        start_ms=start_ms,
        slot_s=900,
        load=quantity([150_000.0 + 90_000.0 * w for w in bell(10, 3)], scored),
        solar=quantity([95_000.0 * w for w in bell(14, 4)], None),
    )


def site(number: int, region: str = "north") -> Site:
    return Site(
        site_id=f"home-{number:03}",
        region=region,
        devices=(
            Device(
                device_id=f"pw-{number:03}",
                kind="powerwall",
                model="powerwall3",
                rated_energy_wh=13_500.0,
                rated_charge_w=5_000.0,
                rated_discharge_w=11_500.0,
                rated_solar_w=7_600.0,
                token_sha256="5ec2e7" * 10,
            ),
        ),
        export_limit_w=10_000.0,
        backup_reserve=0.2,
        feeder="f1",
    )


def rejected(number: int, reason: str = "bad_json", original: bytes = b'{"t":') -> Rejected:
    return Rejected(
        rejected_id=f"raw.powerwall-3-{number}-7",
        reason=reason,
        detail="the body is not JSON: unexpected end of data",
        source_topic="raw.powerwall",
        source_partition=3,
        source_offset=number,
        line=7,
        received_at_ms=NOW_MS - number,
        original_base64=base64.b64encode(original).decode(),
        device_id="pw-001",
        site_id="home-001",
    )


def health(role: str, at_ms: int = NOW_MS, pid: int = 1, **numbers: Any) -> Health:
    gauges: dict[str, float] = {
        name: float(numbers.pop(name)) for name in ("lag", "connections") if name in numbers
    }
    return Health(
        process_id=f"{role}-host-{pid}",
        role=role,
        at_ms=at_ms,
        started_at_ms=NOW_MS - 60_000,
        counters=numbers,
        gauges=gauges,
    )


def dispatch_status(region: str, at_ms: int = NOW_MS, **changes: Any) -> DispatchStatus:
    status: dict[str, Any] = {
        "mode": "target",
        "request_id": "target-1",
        "ends_at_ms": NOW_MS + 900_000,
        "asked_w": 400_000.0,
        "allocated_w": 399_900.0,
        "measured_w": 398_100.0,
        "net_load_w": 120_000.0,
        "capability": (Deliverable(900, 455_000.0, 310_000.0),),
        "states": {"applied": 60, "accepted": 3, "none": 10},
        "partitions_expected": 8,
        "partitions_heard": 8,
        "commandable": commandable(73, not_connected=1),
    }
    return DispatchStatus(region=region, at_ms=at_ms, **{**status, **changes})


def commandable(free: int, **lost: int) -> Commandable:
    """Batteries of 5 kW that can be commanded, and those that cannot by cause."""
    return Commandable(
        batteries=free + sum(lost.values()),
        rated_w=5_000.0 * (free + sum(lost.values())),
        commandable=free,
        commandable_w=5_000.0 * free,
        hindered=tuple(
            Hindered(cause=cast(Any, cause), batteries=n, rated_w=5_000.0 * n)
            for cause, n in lost.items()
            if n
        ),
    )


def notice(region: str, request_id: str, missing_w: float = 42_000.0) -> Notice:
    offline = Missing(cause="offline", devices=7, up_w=35_000.0, down_w=35_000.0)
    reserve = Missing(cause="reserve", devices=2, up_w=7_000.0, down_w=0.0)
    return Notice(
        region=region,
        request_id=request_id,
        at_ms=NOW_MS,
        missing_w=missing_w,
        from_ms=NOW_MS,
        causes=(offline, reserve),
    )


def command_frame(
    created_at_ms: int, setpoints_w: dict[str, float | None], **changes: Any
) -> CommandFrame:
    """Commands of partition 0, whose rank is their time."""
    frame = CommandFrame(
        partition=0,
        rank=created_at_ms,
        slot=2,
        region="north",
        request_id="target-1",
        created_at_ms=created_at_ms,
        asked_at_ms=created_at_ms - 40,
        not_before_ms=created_at_ms,
        valid_until_ms=created_at_ms + 30_000,
        rows=tuple(CommandRow(d, 17, w, 1000.0, 0.2) for d, w in setpoints_w.items()),
    )
    return msgspec.structs.replace(frame, **changes)


def fed_read_model() -> ReadModel:
    """A read model that has heard of everything."""
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
    return model


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
