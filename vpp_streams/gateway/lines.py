"""A device's reading as a line of a raw frame; what ingest may reject is passed on unchanged."""

from typing import Any, NamedTuple

import msgspec

from schemas.protocol import Backfill, Telemetry, UncheckedTelemetry, VendorTelemetry
from schemas.telemetry import NativeBody, VendorBody

Body = NativeBody | VendorBody | dict[str, Any]
"""Of a reading; a dict is one that ingest will reject with its bytes."""


class _Line(msgspec.Struct, frozen=True, gc=False):
    """A `schemas.telemetry.RawLine` whose body is still a value: one call encodes it all."""

    device_id: str
    received_at_ms: int
    seq: int
    body: Body
    boot: str


_encode = msgspec.json.Encoder().encode
_INTERVAL_MS = NativeBody(t=0).iv


def line(device_id: str, received_at_ms: int, seq: int, body: Body, boot: str) -> bytes:
    """The reading ``seq`` of ``boot``, as NDJSON without a newline."""
    if isinstance(body, NativeBody) and body.iv == _INTERVAL_MS and body.iv is not _INTERVAL_MS:
        # Left out as a default, which msgspec recognizes as the same object only.
        body = msgspec.structs.replace(body, iv=_INTERVAL_MS)
    return _encode(_Line(device_id, received_at_ms, seq, body, boot))


def usual_boot(boot: str) -> str:
    """A boot id without capitals and leading zeros, as lines have it: it stands for a number."""
    return f"{int(boot, 16):x}"


def body_of(reading: Telemetry | VendorTelemetry | UncheckedTelemetry) -> Body:
    """The body of a live reading."""
    match reading:
        case Telemetry():
            return msgspec.convert(reading, NativeBody, from_attributes=True)
        case VendorTelemetry():
            return VendorBody(reading.vendor, reading.body, reading.t, reading.iv)
        case UncheckedTelemetry():
            return reading.body


def body_of_row(cols: list[str], row: list[Any]) -> Body:
    """The body of a row of a Backfill."""
    body = {key: value for key, value in zip(cols, row, strict=True) if value is not None}
    try:
        return msgspec.convert(body, NativeBody)
    except msgspec.ValidationError:
        return body


class BackfillLines(NamedTuple):
    """The rows of a Backfill as lines."""

    lines: list[bytes]
    bad_bodies: int
    """Rows that ingest will reject with their bytes."""


def lines_of(device_id: str, received_at_ms: int, backfill: Backfill) -> BackfillLines:
    """A line for each row of a Backfill that the device still has."""
    boot = usual_boot(backfill.b)
    bodies = [
        (seq, body_of_row(backfill.cols, row))
        for seq, row in enumerate(backfill.rows, backfill.from_)
        if row is not None
    ]
    return BackfillLines(
        [line(device_id, received_at_ms, seq, body, boot) for seq, body in bodies],
        sum(isinstance(body, dict) for _, body in bodies),
    )
