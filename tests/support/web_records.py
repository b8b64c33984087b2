"""Records of the topics that the web process reads, with defaults for what a test leaves open."""

import base64
import math
from typing import Any, cast

import msgspec

from schemas.assets import Device, Site
from schemas.commandable import Commandable, Hindered
from schemas.commands import CommandFrame, CommandRow
from schemas.dispatch import DispatchStatus, Missing, Notice
from schemas.forecast import ForecastAccuracy, QuantityForecast, RegionForecast
from schemas.health import Health
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

NOW_MS = 1_763_855_000_000
HOSTILE = '<img src=x onerror="window.hacked=true"><script>window.hacked=true</script>'


def region_live(region: str, at_ms: int = NOW_MS, **changes: Any) -> RegionLive:
    """Return live aggregates of a region; ``changes`` are fields of the record or its aggregate."""
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
    """Return statistics of one minute's power around a mean."""
    return PowerStats(
        energy_wh=mean_w / 60,
        positive_wh=max(mean_w, 0) / 60,
        negative_wh=max(-mean_w, 0) / 60,
        mean_w=mean_w,
        min_w=mean_w - 300,
        max_w=mean_w + 300,
    )


def site_window(site_id: str, start_ms: int, size_s: int = 60, **changes: Any) -> SiteWindow:
    """Return a site's window."""
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
    """Return a region's window."""
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
    """Return a region's forecast that starts then."""

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
    """Return a registered home with one battery."""
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
    """Return a rejected reading."""
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
    """Return a process's health report; ``numbers`` are its counters and gauges."""
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
    """Return a region's dispatch status; ``changes`` are its fields."""
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
    """Return a notice that a request is not met in full."""
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
