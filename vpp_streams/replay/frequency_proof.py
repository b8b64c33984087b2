"""Reads the telemetry, armed droops and ratings that prove devices' frequency response."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.assets import Device
from schemas.commands import FINAL, CommandEvent, CommandFrame, command_id
from schemas.grid import Droop
from vpp_streams import clock
from vpp_streams.domain.control.frequency_response import Armings, Response, responses
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import assets_into
from vpp_streams.kafka.ranges import records_since
from vpp_streams.process.connection import onlooker
from vpp_streams.settings import Settings

_COLUMNS = ("device_id", "measured_at_ms", "frequency_hz", "battery_w")


async def prove(settings: Settings, region: str, minutes: float) -> dict[str, Response] | None:
    """Each armed device's response in the last minutes, by its id; None where none was armed.

    Only responses to the newest droop's parameters are reported. Records that cannot be read are
    left out.
    """
    since_ms = clock.now_ms() - round(minutes * 60_000)
    clients = KafkaClients(settings)
    commands = [
        read.record
        async for read in records_since(clients, topics.COMMANDS, since_ms)
        if read.record.region == region
    ]
    droop = next((frame.droop for frame in reversed(commands) if frame.droop), None)
    if droop is None:
        return None
    events = [
        event
        async for read in records_since(clients, topics.COMMAND_EVENTS, since_ms)
        for event in read.record.events
    ]
    rated = await _rated(clients, {row.device_id for frame in commands for row in frame.rows})
    devices = [device.device_id for device in rated]
    captured = await _captured(clients, since_ms, devices)
    armings = armings_of(commands, events, devices, droop)
    return {devices[r.device]: r for r in _responses(captured, rated, armings, droop)}


def _responses(
    captured: pa.Table, rated: Sequence[Device], armings: Armings, droop: Droop
) -> list[Response]:
    """The responses in captured telemetry (`_COLUMNS`); ``device`` is an index in ``rated``."""
    index = {device.device_id: i for i, device in enumerate(rated)}
    at_ms, hz, battery_w = (captured[name].to_numpy() for name in _COLUMNS[1:])
    return responses(
        np.array([index[d] for d in captured["device_id"].to_pylist()], np.int64),
        at_ms,
        hz,
        battery_w,
        armings=armings,
        droop=droop,
        rated_charge_w=np.array([d.rated_charge_w for d in rated]),
        rated_discharge_w=np.array([d.rated_discharge_w for d in rated]),
    )


def armings_of(
    commands: Iterable[CommandFrame],
    events: Iterable[CommandEvent],
    devices: Sequence[str],
    droop: Droop,
) -> Armings:
    """The leases that devices accepted, by their events; ``device`` is an index in ``devices``."""
    index = {device_id: i for i, device_id in enumerate(devices)}
    leases = [
        (index[lease[0]], *lease[1:])
        for lease in _leases(commands, events, droop)
        if lease[0] in index
    ]
    device, from_ms, until_ms, setpoint_w = zip(*leases, strict=True) if leases else ((),) * 4
    return Armings(
        np.array(device, np.int64),
        np.array(from_ms, np.int64),
        np.array(until_ms, np.int64),
        np.array(setpoint_w, np.float64),
    )


def _leases(
    commands: Iterable[CommandFrame], events: Iterable[CommandEvent], droop: Droop
) -> Iterator[tuple[str, int, int, float]]:
    """Device, start, end (ms) and setpoint (W) of each lease; NaN where it is not armed."""
    taken_ms, ended_ms = _taken_and_ended(events)
    for frame in commands:
        for row in frame.rows:
            name = row.device_id, command_id(frame.partition, frame.rank)
            if name not in taken_ms:
                continue
            armed_w = row.setpoint_w if frame.droop == droop else None
            yield (
                row.device_id,
                max(taken_ms[name], frame.not_before_ms),
                min(frame.valid_until_ms, ended_ms.get(name, frame.valid_until_ms)),
                np.nan if armed_w is None else armed_w,
            )


def _taken_and_ended(
    events: Iterable[CommandEvent],
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """When each (device, command) was accepted, and when it ended; ms."""
    taken_ms: dict[tuple[str, str], int] = {}
    ended_ms: dict[tuple[str, str], int] = {}
    for event in events:
        name = event.device_id, event.command_id
        if event.state in ("accepted", "applied"):
            taken_ms.setdefault(name, event.at_ms)
        elif event.state in FINAL:
            ended_ms.setdefault(name, event.at_ms)
    return taken_ms, ended_ms


async def _rated(clients: KafkaClients, device_ids: Collection[str]) -> list[Device]:
    """These devices as the registry has them, by their ids; others are left out."""
    registry = Registry()
    async with onlooker(clients).following(assets_into(registry)):
        return [entry[0] for d in sorted(device_ids) if (entry := registry.device(d))]


async def _captured(clients: KafkaClients, since_ms: int, devices: Sequence[str]) -> pa.Table:
    """The columns `_COLUMNS` of these devices' telemetry."""
    wanted = pa.array(devices, pa.string())
    batches = []
    async for read in records_since(clients, topics.TELEMETRY, since_ms):
        batch = read.record.select(list(_COLUMNS))
        batches.append(batch.filter(pc.is_in(batch.column("device_id"), value_set=wanted)))
    types = (pa.string(), pa.int64(), pa.float64(), pa.float64())
    schema = pa.schema(list(zip(_COLUMNS, types, strict=True)))
    return pa.Table.from_batches(batches).cast(schema) if batches else schema.empty_table()
