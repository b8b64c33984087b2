"""The short cut for plain lines: many raw lines as columns, and which of them are plain.

A line is plain when `raw_line.read_line` would make a row of it that keeps every value as it
stands: a native body of a known device, each value in its range, nothing to compute, the powers
in balance. A test compares the two on lines of every kind.
"""

import re
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from edge.vendor_fields.document import EARLIEST_MS
from schemas.bounds import MAX_INTERVAL_MS, EpochMs, Seq
from schemas.telemetry import Quality
from schemas.wire import UNREADABLE
from vpp_streams.domain.arrays import Mask
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.normalize.balance import (
    POWERS,
    balance_error_w,
    balance_tolerance_column_w,
)
from vpp_streams.domain.telemetry.normalize.checked import MAX_AHEAD_MS, PLAIN_RANGE
from vpp_streams.domain.telemetry.raw_line import MAX_LINE_BYTES

PlainColumns = dict[str, Any]
"""Columns of ``telemetry.v1`` by name, ``site_hash`` and ``device`` (the registry's row)."""


class _Body(msgspec.Struct, gc=False):
    """`NativeBody` with every field optional, so that one decoder takes any line."""

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
    vendor: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Line(msgspec.Struct, gc=False):
    """`RawLine` with its body decoded; the boot id is checked by `_boot_number`."""

    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    received_at_ms: EpochMs
    seq: Seq
    body: _Body
    boot: str = "0"


_decode = msgspec.json.Decoder(_Line).decode
_UNREAD = _Line(device_id="", received_at_ms=0, seq=0, body=_Body())
"""Stands for a line that cannot be read here: no device has this id, so it is not plain."""
_BOOT = re.compile("[0-9a-fA-F]{1,8}")


def read_plain(raws: list[bytes], registry: Registry) -> tuple[PlainColumns, Mask]:
    """Columns of all lines, and which lines are plain; the values of the others mean nothing."""
    lines = _decoded(raws)
    bodies = [line.body for line in lines]
    columns = _identity(lines, registry) | _measurement(bodies)
    columns["balance_error_w"] = balance_error_w(*(columns[name] for name in POWERS))
    plain = in_range(columns) & needs_nothing(columns) & columns.pop("known")
    if max(map(len, raws), default=0) > MAX_LINE_BYTES:
        plain &= np.array([len(raw) <= MAX_LINE_BYTES for raw in raws], np.bool_)
    vendors = [body.vendor for body in bodies]
    if vendors.count(msgspec.UNSET) < len(vendors):
        plain &= np.array([vendor is msgspec.UNSET for vendor in vendors], np.bool_)
    return columns, plain


def _decoded(raws: list[bytes]) -> list[_Line]:
    try:
        return [_decode(raw) for raw in raws]
    except UNREADABLE:
        return [_decoded_or_unread(raw) for raw in raws]


def _decoded_or_unread(raw: bytes) -> _Line:
    try:
        return _decode(raw)
    except UNREADABLE:
        return _UNREAD


class _BootNumbers(dict[str, int]):
    """Boot ids to numbers, -1 where it is none: a device keeps its id for months."""

    def __missing__(self, boot: str) -> int:
        if len(self) > MAX_BOOTS:
            self.clear()
        number = self[boot] = int(boot, 16) if _BOOT.fullmatch(boot) else -1
        return number


MAX_BOOTS = 1 << 20
boot_numbers = _BootNumbers()


def _identity(lines: list[_Line], registry: Registry) -> PlainColumns:
    device_id = pa.array([line.device_id for line in lines], pa.string())
    found = registry.columns.find(device_id)
    boot = np.array([boot_numbers[line.boot] for line in lines], np.int64)
    return {
        "device_id": device_id,
        "site_id": found.site_id,
        "site_hash": found.site_hash,
        "device": found.device,
        "boot": boot.clip(0).astype(np.uint32),
        "seq": np.array([line.seq for line in lines], np.int64),
        "received_at_ms": np.array([line.received_at_ms for line in lines], np.int64),
        "known": found.known & (boot >= 0),
    }


def _measurement(bodies: list[_Body]) -> PlainColumns:
    """Values as floats; None becomes NaN, as everywhere in columns."""
    n = len(bodies)
    return {
        "measured_at_ms": np.array([-1 if b.t is None else b.t for b in bodies], np.int64),
        "interval_ms": np.array([b.iv for b in bodies], np.int32),
        "battery_w": np.array([b.p for b in bodies], np.float64),
        "grid_w": np.array([b.g for b in bodies], np.float64),
        "solar_w": np.array([b.pv for b in bodies], np.float64),
        "load_w": np.array([b.l for b in bodies], np.float64),
        "soc": np.array([b.soc for b in bodies], np.float64),
        "frequency_hz": np.array([b.hz for b in bodies], np.float64),
        "voltage_v": np.array([b.v for b in bodies], np.float64),
        "temperature_c": np.array([b.tc for b in bodies], np.float64),
        "islanded": np.array([-1 if b.isl is None else b.isl for b in bodies], np.int8),
        "quality": np.full(n, Quality.OK, np.int8),
    }


def in_range(columns: PlainColumns) -> Mask:
    """Whether each value is in its range or not measured, and the time is possible."""
    measured_ms = columns["measured_at_ms"]
    ok: Mask = (measured_ms >= EARLIEST_MS) & (
        measured_ms - columns["received_at_ms"] <= MAX_AHEAD_MS
    )
    for name, (low, high) in PLAIN_RANGE.items():
        values = columns[name]
        ok &= ~((values < low) | (values > high))
    return ok


def needs_nothing(columns: PlainColumns) -> Mask:
    """Whether a power is measured, the load need not be computed, and the powers balance."""
    powers = [columns[name] for name in POWERS]
    missing = [np.isnan(power_w) for power_w in powers]
    something: Mask = ~(np.logical_and.reduce(missing) & np.isnan(columns["soc"]))
    computable: Mask = missing[-1] & ~np.logical_or.reduce(missing[:-1])
    unbalanced: Mask = np.abs(columns["balance_error_w"]) > balance_tolerance_column_w(*powers)
    return something & ~computable & ~unbalanced
