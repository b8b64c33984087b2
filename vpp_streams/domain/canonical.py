"""Raw frames to canonical ones: each line a reading, or a dead letter with its reason.

A raw frame is NDJSON of `schemas.telemetry.RawLine`. One bad line costs itself only. The
usual frame, all lines good and native, is decoded in one call and checked by columns.
"""

import base64
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.telemetry import (
    MAX_INTERVAL_MS,
    POWER_COLUMNS,
    TELEMETRY_V1,
    Boot,
    EpochMs,
    Quality,
    Reading,
    Rejected,
    Rejection,
    Seq,
)
from vpp_streams.domain.normalize import normalize
from vpp_streams.domain.normalize.document import (
    BALANCE_SHARE,
    MAX_POWER_W,
    MEASURED_AHEAD_MS,
    MEASURED_EARLIEST_MS,
    MIN_BALANCE_W,
    SOC_SLACK,
)
from vpp_streams.domain.partition import partition_of
from vpp_streams.domain.registry import Registry

MAX_LINE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Source:
    """Where a raw frame stands in Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Canonical:
    """What a raw frame gives."""

    batches: dict[int, pa.RecordBatch]
    """By the partition of their sites; rows in the order of the frame."""
    rejected: list[Rejected]


class _Body(msgspec.Struct):
    """A native body's fields and a vendor body's, either of them."""

    t: EpochMs | None = None
    p: float | None = None
    g: float | None = None
    pv: float | None = None
    l: float | None = None  # noqa: E741 - the name on the wire
    soc: float | None = None
    hz: float | None = None
    v: float | None = None
    tc: float | None = None
    isl: bool | None = None
    iv: Annotated[int, msgspec.Meta(gt=0, le=MAX_INTERVAL_MS)] = 1000
    vendor: str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")
    quality: Quality = Quality.OK


class _Line(msgspec.Struct):
    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    received_at_ms: EpochMs
    seq: Seq
    body: _Body
    boot: Boot = "0"


@dataclass(slots=True)
class _Row:
    """A line that could be read, with the device's site."""

    number: int
    raw: bytes
    line: _Line
    site_id: str


_decoder = msgspec.json.Decoder(_Line)


def canonicalize(frame: bytes, source: Source, registry: Registry, partitions: int) -> Canonical:
    """Every line of a raw frame as a canonical row or as a dead letter; never raises on input."""
    rejects = _Rejects(source)
    rows = []
    for number, raw, line in _decode(frame, rejects):
        found = registry.device(line.device_id)
        if found is None:
            detail = f"The registry has no device {line.device_id!r}."
            rejects.add(number, raw, Rejection("unknown_device", detail), line)
            continue
        site_id = found[1].site_id
        body = line.body if line.body.vendor is None else _normalize(line)
        if isinstance(body, Rejection):
            rejects.add(number, raw, body, line, site_id)
            continue
        line.body = body
        rows.append(_Row(number, raw, line, site_id))
    return Canonical(_batches(rows, rejects, partitions), rejects.found)


class _Rejects:
    def __init__(self, source: Source) -> None:
        self._source = source
        self.found: list[Rejected] = []

    def add(
        self,
        number: int,
        raw: bytes,
        why: Rejection,
        line: _Line | None = None,
        site_id: str | None = None,
    ) -> None:
        source = self._source
        self.found.append(
            Rejected(
                rejected_id=f"{source.topic}-{source.partition}-{source.offset}-{number}",
                reason=why.reason,
                detail=why.detail,
                source_topic=source.topic,
                source_partition=source.partition,
                source_offset=source.offset,
                line=number,
                received_at_ms=line.received_at_ms if line else source.timestamp_ms,
                original_base64=base64.b64encode(raw).decode(),
                device_id=line.device_id if line else None,
                site_id=site_id,
            )
        )


def _decode(frame: bytes, rejects: _Rejects) -> list[tuple[int, bytes, _Line]]:
    """(line number, bytes, line) of the lines that can be read; empty lines are left out."""
    numbered = [(n, raw) for n, raw in enumerate(frame.split(b"\n")) if raw.strip()]
    lines = []
    for number, raw in numbered:
        if len(raw) > MAX_LINE_BYTES:
            detail = f"The line has {len(raw)} bytes; at most {MAX_LINE_BYTES} are read."
            rejects.add(number, raw[:MAX_LINE_BYTES], Rejection("too_large", detail))
            continue
        try:
            lines.append((number, raw, _decoder.decode(raw)))
        except msgspec.ValidationError as error:
            rejects.add(number, raw, Rejection("bad_line", f"The line does not fit: {error}."))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            rejects.add(number, raw, Rejection("bad_json", f"The line is not JSON: {error}."))
    return lines


def _normalize(line: _Line) -> _Body | Rejection:
    body = line.body
    found = normalize(body.vendor or "", bytes(body.body), body.t, body.iv, line.received_at_ms)
    return found if isinstance(found, Rejection) else _as_body(found)


def _as_body(reading: Reading) -> _Body:
    return _Body(
        t=reading.measured_at_ms,
        p=reading.battery_w,
        g=reading.grid_w,
        pv=reading.solar_w,
        l=reading.load_w,
        soc=reading.soc,
        hz=reading.frequency_hz,
        v=reading.voltage_v,
        tc=reading.temperature_c,
        isl=None if reading.islanded < 0 else bool(reading.islanded),
        iv=reading.interval_ms,
        quality=reading.quality,
    )


def _batches(rows: list[_Row], rejects: _Rejects, partitions: int) -> dict[int, pa.RecordBatch]:
    if not rows:
        return {}
    columns = _columns(rows)
    good = np.ones(len(rows), np.bool_)
    for reason, detail, bad in _checks(columns):
        for i in np.flatnonzero(bad & good).tolist():
            row = rows[i]
            rejects.add(row.number, row.raw, Rejection(reason, detail), row.line, row.site_id)
        good &= ~bad
    batch = pa.RecordBatch.from_arrays(
        [pa.array(columns[f.name], f.type) for f in TELEMETRY_V1], schema=TELEMETRY_V1
    )
    partition = np.array([partition_of(row.site_id, partitions) for row in rows])
    return {
        int(p): batch.take(pa.array(np.flatnonzero(good & (partition == p))))
        for p in np.unique(partition[good])
    }


def _columns(rows: list[_Row]) -> dict[str, Any]:
    lines = [row.line for row in rows]
    bodies = [line.body for line in lines]

    def floats(values: list[float | None]) -> NDArray[np.float64]:
        return np.array(values, np.float64)  # None becomes NaN

    columns: dict[str, Any] = {
        "device_id": [line.device_id for line in lines],
        "site_id": [row.site_id for row in rows],
        "boot": np.array([int(line.boot, 16) for line in lines], np.uint32),
        "seq": np.array([line.seq for line in lines], np.int64),
        "measured_at_ms": np.array([-1 if b.t is None else b.t for b in bodies], np.int64),
        "received_at_ms": np.array([line.received_at_ms for line in lines], np.int64),
        "interval_ms": np.array([b.iv for b in bodies], np.int32),
        "battery_w": floats([b.p for b in bodies]),
        "grid_w": floats([b.g for b in bodies]),
        "solar_w": floats([b.pv for b in bodies]),
        "load_w": floats([b.l for b in bodies]),
        "soc": floats([b.soc for b in bodies]),
        "frequency_hz": floats([b.hz for b in bodies]),
        "voltage_v": floats([b.v for b in bodies]),
        "temperature_c": floats([b.tc for b in bodies]),
        "islanded": np.array([-1 if b.isl is None else b.isl for b in bodies], np.int8),
        "quality": np.array([b.quality for b in bodies], np.int8),
    }
    columns["balance_error_w"] = columns["load_w"] - (
        columns["grid_w"] + columns["battery_w"] + columns["solar_w"]
    )
    _judge_balance(columns)
    return columns


def _judge_balance(c: dict[str, Any]) -> None:
    largest = np.max(np.abs(np.stack([c[name] for name in POWER_COLUMNS])), axis=0)
    off = np.abs(c["balance_error_w"]) > np.maximum(MIN_BALANCE_W, BALANCE_SHARE * largest)
    c["quality"][off] = Quality.BAD  # NaN compares false: not checkable is not bad


def _checks(c: dict[str, Any]) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """(reason, sentence, which rows), in the order in which they are told."""
    powers = np.stack([c[name] for name in POWER_COLUMNS])
    ahead = c["measured_at_ms"] > c["received_at_ms"] + MEASURED_AHEAD_MS
    soc = c["soc"]
    c["soc"] = np.clip(soc, 0.0, 1.0)
    return [
        (
            "bad_time",
            "The measured time is missing, before 2000, or over 10 min ahead of the gateway's.",
            (c["measured_at_ms"] < MEASURED_EARLIEST_MS) | ahead,
        ),
        (
            "no_measurement",
            "Every power and the state of charge is empty.",
            np.isnan(powers).all(axis=0) & np.isnan(soc),
        ),
        (
            "absurd_value",
            "A power is beyond 1 GW, or negative where it cannot be (solar, load).",
            (np.abs(powers) > MAX_POWER_W).any(axis=0)
            | (c["solar_w"] < -MIN_BALANCE_W)
            | (c["load_w"] < -MIN_BALANCE_W),
        ),
        (
            "absurd_value",
            "The state of charge is outside 0..1.",
            (soc < -SOC_SLACK) | (soc > 1 + SOC_SLACK),
        ),
    ]
