"""Reads what proof of frequency response needs: telemetry, who was armed with what, ratings."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.commands import CommandFrame
from schemas.grid import Droop
from vpp_streams import topics
from vpp_streams.codecs import decode_frame, decode_json
from vpp_streams.domain.frequency_response import Response, responses
from vpp_streams.domain.registry import Registry
from vpp_streams.kafka import apply_asset, following, records_since
from vpp_streams.settings import Settings

_COLUMNS = ("device_id", "measured_at_ms", "frequency_hz", "battery_w")


async def prove(settings: Settings, region: str, minutes: float) -> dict[str, Response] | None:
    """Each armed device's response in the last minutes, by its id; None where none was armed."""
    since_ms = time.time_ns() // 1_000_000 - round(minutes * 60_000)
    armed: set[str] = set()
    droop: Droop | None = None
    async for record in records_since(settings, topics.COMMANDS, since_ms):
        frame = decode_json(record.value or b"", CommandFrame)
        if frame.region == region and frame.droop is not None:
            droop = frame.droop
            armed.update(row.device_id for row in frame.rows)
    if droop is None:
        return None
    registry = Registry()
    async with following(settings, topics.ASSETS, lambda _k, v, _o: apply_asset(registry, v)):
        devices = sorted(d for d in armed if registry.device(d))
    rated = [entry[0] for d in devices if (entry := registry.device(d))]
    batches = []
    async for record in records_since(settings, topics.TELEMETRY, since_ms):
        batch = decode_frame(record.value or b"").select(list(_COLUMNS))
        mine = pc.is_in(batch.column("device_id"), value_set=pa.array(devices, pa.string()))
        batches.append(batch.filter(mine))
    if not batches:
        return {}
    captured = pa.Table.from_batches(batches)
    index = {device_id: i for i, device_id in enumerate(devices)}
    at_ms, hz, battery_w = (captured[name].to_numpy() for name in _COLUMNS[1:])
    found = responses(
        np.array([index[d] for d in captured["device_id"].to_pylist()], np.int64),
        at_ms,
        hz,
        battery_w,
        droop,
        np.array([d.rated_charge_w for d in rated]),
        np.array([d.rated_discharge_w for d in rated]),
    )
    return {devices[response.device]: response for response in found}
