"""A dispatch drill: requests power of every region, measures how soon and how well it follows."""

import asyncio
import uuid
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.commands import CommandEvents, CommandFrame, command_id
from schemas.dispatch import DispatchEvent, DispatchStatus, Notice, Target, Withdraw
from schemas.health import Health
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.connection import onlooker
from vpp_streams.settings import Settings

SHARE = 0.6
"""Fraction to request of the power that a region could hold for 15 minutes."""
SETTLE_S = 3.0
"""How long after its writing a target must be met."""
CAPABILITY_WAIT_S = 30.0
"""How long a drill waits for every region to report its capability."""


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a drill; latencies are from the target's writing to a device's "accepted"."""

    devices: int
    """Devices that accepted a setpoint."""
    refused: int
    accepted_p50_ms: float | None
    accepted_p99_ms: float | None
    asked_w: dict[str, float]
    error_mean: dict[str, float]
    """By region: mean of |measured - requested| / |requested| from 3 s on, by its status."""
    error_max: dict[str, float]
    missing_w: dict[str, float]
    """By region: missing power as its notices report it."""
    breaches: int
    """Limits broken, as cloud and devices count them: each is a bug."""


@dataclass(slots=True)
class _Seen:
    issued_ms: dict[str, int] = field(default_factory=dict)
    """Region -> when its target was written, ms since 1970 UTC."""
    capability_w: dict[str, float] = field(default_factory=dict)
    frames: dict[str, CommandFrame] = field(default_factory=dict)
    """Command id -> the commands of this drill with it."""
    accepted: list[tuple[str, str, int]] = field(default_factory=list)
    """(device, command id, at_ms), in order; of this drill or of earlier requests."""
    refused: set[str] = field(default_factory=set)
    errors: dict[str, list[float]] = field(default_factory=dict)
    missing_w: dict[str, float] = field(default_factory=dict)
    breaches: dict[str, int] = field(default_factory=dict)
    """Process id -> limits broken."""
    event_arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with every record of ``dispatch.events``."""


async def drill(
    settings: Settings, regions: Collection[str], device_region: Mapping[str, str], seconds: float
) -> DrillReport:
    """Request `SHARE` of each region's capability for some seconds, then withdraw the request."""
    name = f"drill-{uuid.uuid4().hex[:8]}"
    seen = _Seen()
    clients = KafkaClients(settings)
    async with (
        producing(clients, linger_ms=0) as producer,
        onlooker(clients).following(*_feeds(seen, name, device_region)),
    ):
        outlet = Outlet(producer, settings.namespace)
        await _until_capable(seen, regions)
        requested = {r: SHARE * seen.capability_w.get(r, 0.0) for r in regions}
        requested = {region: watts for region, watts in requested.items() if watts > 0}
        for region, watts in requested.items():
            target = _target(f"{name}-{region}", region, watts, seconds)
            seen.issued_ms[region] = target.issued_at_ms
            await outlet.write(topics.DISPATCH_TARGETS, target)
        await asyncio.sleep(seconds)
        for region in requested:
            withdrawal = _withdrawal(f"{name}-{region}", region)
            await outlet.write(topics.DISPATCH_TARGETS, withdrawal)
    return _report(seen, requested)


def _report(seen: "_Seen", asked_w: dict[str, float]) -> DrillReport:
    latencies = _latencies(seen)
    return DrillReport(
        devices=len(latencies),
        refused=len(seen.refused),
        accepted_p50_ms=_at(latencies, 0.50),
        accepted_p99_ms=_at(latencies, 0.99),
        asked_w=asked_w,
        error_mean={r: sum(e) / len(e) for r, e in seen.errors.items() if e},
        error_max={r: max(e) for r, e in seen.errors.items() if e},
        missing_w=seen.missing_w,
        breaches=sum(seen.breaches.values()),
    )


def _feeds(seen: _Seen, name: str, device_region: Mapping[str, str]) -> tuple[Feed[Any], ...]:
    """Feeds of what is published from now on, while the drill runs."""

    def note_command(read: Read[CommandFrame]) -> None:
        frame = read.record
        if frame.request_id.startswith(name):
            seen.frames[command_id(frame.partition, frame.rank)] = frame

    def note_health(read: Read[Health]) -> None:
        health = read.record
        broken = [n for name, n in health.counters.items() if name.startswith("breach")]
        seen.breaches[health.process_id] = sum(broken)

    return (
        Feed(topics.DISPATCH_EVENTS, lambda r: _note_event(r.record, seen, name), since_ms=None),
        Feed(
            topics.COMMAND_EVENTS,
            lambda r: _note_command_events(r.record, seen, device_region),
            since_ms=None,
        ),
        Feed(topics.COMMANDS, note_command, since_ms=None),
        Feed(topics.HEALTH, note_health, since_ms=None),
    )


def _note_command_events(
    record: CommandEvents, seen: _Seen, device_region: Mapping[str, str]
) -> None:
    for event in record.events:
        region = device_region.get(event.device_id, "")
        if event.at_ms < seen.issued_ms.get(region, 1 << 62):
            continue
        if event.state == "accepted":
            seen.accepted.append((event.device_id, event.command_id, event.at_ms))
        elif event.state == "rejected":
            seen.refused.add(event.device_id)


def _latencies(seen: _Seen) -> list[int]:
    """Each device's latency from the target to "accepted", ms, sorted.

    It is the time from the target to its region's first command, plus that from the device's own
    command to "accepted". A device whose setpoint need not change gets a command only when its
    lease is half over or its load changes: that wait is no latency.
    """
    first_ms: dict[str, int] = {}
    for frame in seen.frames.values():
        first_ms[frame.region] = min(
            first_ms.get(frame.region, frame.created_at_ms), frame.created_at_ms
        )
    found: dict[str, int] = {}
    for device, command, at_ms in seen.accepted:
        own = seen.frames.get(command)
        if own is not None:
            to_region = first_ms[own.region] - seen.issued_ms[own.region]
            found.setdefault(device, to_region + at_ms - own.created_at_ms)
    return sorted(found.values())


def _note_event(event: DispatchEvent, seen: _Seen, name: str) -> None:
    seen.event_arrived.set()
    match event:
        case DispatchStatus():
            held = {d.duration_s: d.up_w for d in event.capability}
            seen.capability_w[event.region] = held.get(900, 0.0)
            since_ms = event.at_ms - seen.issued_ms.get(event.region, event.at_ms)
            if event.request_id.startswith(name) and event.asked_w and since_ms >= SETTLE_S * 1000:
                off = abs(event.measured_w - event.asked_w) / abs(event.asked_w)
                seen.errors.setdefault(event.region, []).append(off)
        case Notice() if event.request_id.startswith(name):
            seen.missing_w[event.region] = event.missing_w


async def _until_capable(seen: _Seen, regions: Collection[str]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CAPABILITY_WAIT_S):
            while not all(seen.capability_w.get(region) for region in regions):
                seen.event_arrived.clear()
                await seen.event_arrived.wait()


def _target(request_id: str, region: str, export_w: float, seconds: float) -> Target:
    now_ms = clock.now_ms()
    return Target(
        request_id=request_id,
        region=region,
        export_w=export_w,
        starts_at_ms=now_ms,
        ends_at_ms=now_ms + round(seconds * 1000) + 60_000,
        priority="emergency",  # a market's awards may take precedence at any time
        source="operator:drill",
        issued_at_ms=now_ms,
        best_effort=True,
    )


def _withdrawal(request_id: str, region: str) -> Withdraw:
    return Withdraw(
        request_id=f"{request_id}-end",
        region=region,
        withdraws=request_id,
        source="operator:drill",
        issued_at_ms=clock.now_ms(),
    )


def _at(ordered: list[int], share: float) -> float | None:
    return float(ordered[min(int(share * len(ordered)), len(ordered) - 1)]) if ordered else None
