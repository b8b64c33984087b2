"""Telemetry contracts: the raw line, the native body and the canonical Arrow schema.

Signs (DESIGN: battery + = discharge, grid + = import, solar >= 0, load >= 0) hold in
canonical telemetry and in the native body; vendor bodies keep their vendor's signs until a
normaliser has read them. *Not measured* is ``None`` on the wire and NaN in columns, never 0.
"""

from typing import Annotated

import msgspec
import pyarrow as pa

from schemas.bodies import Boot, JsonValue, NativeBody, Quality, VendorBody
from schemas.bounds import (
    MAX_COUNT,
    Code,
    EpochMs,
    Label,
    Offset,
    PartitionNumber,
    Sentence,
    Seq,
)

__all__ = [
    "Boot",
    "JsonValue",
    "NativeBody",
    "Quality",
    "VendorBody",
]  # these too are telemetry contracts

SCHEMA_NAME = "telemetry.v1"

MAX_NAME_BYTES = 512
"""Largest length of a device or site id: 128 characters of up to 4 bytes."""

DeviceName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
"""A device's name in a line; only an `Id` can be in the registry."""


class RawLine(msgspec.Struct, frozen=True):
    """One line of a raw NDJSON frame (topics ``raw.*``)."""

    device_id: DeviceName
    """The device, as authenticated by the gateway (never from the payload)."""
    received_at_ms: EpochMs
    """Gateway clock, ms since 1970 UTC."""
    seq: Seq
    """The device's reading number within ``boot``."""
    body: msgspec.Raw
    """A :class:`NativeBody`, or a :class:`VendorBody` (has ``vendor``)."""
    boot: Boot = "0"
    """The device's boot id."""


def _field(name: str, dtype: pa.DataType, doc: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, dtype, nullable=nullable, metadata={"doc": doc})


TELEMETRY_V1 = pa.schema(
    [
        _field("device_id", pa.string(), "connected hardware"),
        _field("site_id", pa.string(), "premise with one grid connection"),
        _field("boot", pa.uint32(), "device boot id; with device_id and seq it names a reading"),
        _field("seq", pa.int64(), "reading number within boot"),
        _field("measured_at_ms", pa.int64(), "device clock; start of the interval, UTC"),
        _field("received_at_ms", pa.int64(), "gateway clock, UTC"),
        _field("interval_ms", pa.int32(), "time the reading stands for, from measured_at_ms"),
        _field("battery_w", pa.float64(), "+ = discharge; NaN = not measured"),
        _field("grid_w", pa.float64(), "+ = import; NaN = not measured"),
        _field("solar_w", pa.float64(), ">= 0; NaN = not measured"),
        _field("load_w", pa.float64(), ">= 0; NaN = not measured"),
        _field("soc", pa.float64(), "fraction 0..1 of usable energy; NaN = not measured"),
        _field("frequency_hz", pa.float64(), "NaN = not measured"),
        _field("voltage_v", pa.float64(), "line to neutral; NaN = not measured"),
        _field("temperature_c", pa.float64(), "battery; NaN = not measured"),
        _field("islanded", pa.int8(), "1 = off grid, 0 = on grid, -1 = not known"),
        _field("quality", pa.int8(), "0 ok, 1 estimated, 2 missing, 3 bad"),
        _field("balance_error_w", pa.float64(), "load - (grid + battery + solar); NaN = unknown"),
    ],
    metadata={"schema": SCHEMA_NAME},
)
"""The canonical frame: one Arrow IPC stream with one record batch per Kafka record."""

POWER_COLUMNS = ("battery_w", "grid_w", "solar_w", "load_w")


class Reading(msgspec.Struct, frozen=True):
    """One canonical reading as a value: a normaliser's result for one body.

    Identity (device, site, boot, seq, received time) is the caller's; this is the measurement.
    """

    measured_at_ms: int
    interval_ms: int = 1000
    battery_w: float = float("nan")
    grid_w: float = float("nan")
    solar_w: float = float("nan")
    load_w: float = float("nan")
    soc: float = float("nan")
    frequency_hz: float = float("nan")
    voltage_v: float = float("nan")
    temperature_c: float = float("nan")
    islanded: int = -1
    quality: Quality = Quality.OK
    balance_error_w: float = float("nan")


class Rejection(msgspec.Struct, frozen=True):
    """Why a body gave no reading: a value, not an exception."""

    reason: str
    """A stable code for counting, for example ``bad_json`` or ``unknown_vendor``."""
    detail: str
    """One sentence for people."""


class Rejected(msgspec.Struct, frozen=True):
    """A row of ``telemetry.rejected``: the dead letter with its reason and original bytes."""

    rejected_id: Label
    """``<device_id>|<boot>|<seq>|<reason>`` if the reading has a name, so that a reading sent again
    is the same dead letter; else ``<topic>-<partition>-<offset>-<line>``."""
    reason: Code
    """A stable code (see ``docs/rejections.md``)."""
    detail: Sentence
    """One sentence for people."""
    source_topic: Label
    source_partition: PartitionNumber
    source_offset: Offset
    line: Annotated[int, msgspec.Meta(ge=-1, le=MAX_COUNT)]
    """Row of the frame, from 0; -1 if the complete frame could not be read."""
    received_at_ms: EpochMs
    """Gateway time of the row, or the Kafka timestamp of its frame if that is unknown."""
    original_base64: Annotated[str, msgspec.Meta(max_length=8 * 1024 * 1024)]
    """The received bytes."""
    device_id: DeviceName | None = None
    site_id: DeviceName | None = None


def rejected_reading_id(device_id: str, boot: int, seq: int, reason: str) -> str:
    """The `Rejected.rejected_id` of a reading whose name could be read."""
    return f"{device_id}|{boot:x}|{seq}|{reason}"
