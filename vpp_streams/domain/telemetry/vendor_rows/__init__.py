"""The short cut for vendors' documents: many of one form as columns, and which of them are usual.

`edge.vendor_fields` and `telemetry.normalize` define what a document says. Here the forms that
devices send all day are read a frame at a time: a document is *usual* where its form is one of
these, each meter has reported, and no rule for exceptions applies. The others are left to
`raw_line.read_line`; tests compare the two on documents of every kind (ADR 42).
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from schemas.bounds import MAX_INTERVAL_MS, EpochMs, Seq
from schemas.wire import UNREADABLE
from vpp_streams.domain.arrays import Ints, Mask
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.plain_rows import PlainColumns, boot_numbers
from vpp_streams.domain.telemetry.raw_line import MAX_LINE_BYTES
from vpp_streams.domain.telemetry.vendor_rows import enphase, fronius, tesla_gateway
from vpp_streams.domain.telemetry.vendor_rows.checked_columns import Measured, checked_columns

Interval = Annotated[int, msgspec.Meta(gt=0, le=MAX_INTERVAL_MS)]


class _Wrapper(msgspec.Struct, gc=False, tag_field="vendor", forbid_unknown_fields=True):
    """A `VendorBody`, but for its document."""

    t: EpochMs | None = None
    iv: Interval = 1000


class _TeslaGateway(_Wrapper, tag="tesla_gateway", kw_only=True, gc=False):
    body: tesla_gateway.Document


class _Fronius(_Wrapper, tag="fronius", kw_only=True, gc=False):
    body: fronius.Document


class _Enphase(_Wrapper, tag="enphase", kw_only=True, gc=False):
    body: enphase.Document


_Body = _TeslaGateway | _Fronius | _Enphase


class _Line(msgspec.Struct, gc=False):
    """A `RawLine` whose body is a document of a usual form."""

    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    received_at_ms: EpochMs
    seq: Seq
    body: _Body
    boot: str = "0"


_READERS: dict[type[_Body], Callable[[Sequence[Any]], Measured]] = {
    _TeslaGateway: tesla_gateway.measured,
    _Fronius: fronius.measured,
    _Enphase: enphase.measured,
}
_decode = msgspec.json.Decoder(_Line).decode
_EXPONENT = re.compile(rb"[0-9][eE]\+?[0-9]{3}")
"""Of a number that may be beyond the floats."""


class VendorRows(NamedTuple):
    """Lines that were read."""

    lines: Ints
    """Their numbers in the frame."""
    columns: PlainColumns
    """Columns of ``telemetry.v1``, ``site_hash`` and ``device``, a row for each of them."""


def read_vendor_rows(
    raws: Sequence[bytes], numbers: Sequence[int], registry: Registry
) -> VendorRows | None:
    """The lines of these numbers that are usual documents of known devices; None = there are none.

    Never raises, whatever the bytes.
    """
    found: dict[type[_Body], tuple[list[int], list[_Line]]] = {}
    numbers = _readable(raws, numbers)
    for i, line in zip(numbers, _decoded([raws[i] for i in numbers]), strict=True):
        if line is not None:
            kind = type(line.body)
            if kind not in found:
                found[kind] = [], []
            at, lines = found[kind]
            at.append(i)
            lines.append(line)
    parts = [_rows(kind, at, lines, registry) for kind, (at, lines) in found.items()]
    parts = [part for part in parts if len(part.lines)]
    if len(parts) < 2:
        return parts[0] if parts else None
    return VendorRows(
        np.concatenate([part.lines for part in parts]),
        {name: _joined([part.columns[name] for part in parts]) for name in parts[0].columns},
    )


def _decoded(raws: list[bytes]) -> Sequence[_Line | None]:
    """The lines; None for those of other forms."""
    try:
        return [_decode(raw) for raw in raws]
    except UNREADABLE:
        return [_decoded_or_none(raw) for raw in raws]


def _decoded_or_none(raw: bytes) -> _Line | None:
    try:
        return _decode(raw)
    except UNREADABLE:
        return None


def _readable(raws: Sequence[bytes], numbers: Sequence[int]) -> list[int]:
    """Lines in which what is skipped is as sound as what is read.

    The typed decoder checks neither text nor the size of numbers in fields that it skips.
    """
    short = [i for i in numbers if len(raws[i]) <= MAX_LINE_BYTES]
    together = b"\n".join([raws[i] for i in short])
    if together.isascii() and not _has_exponents(together):
        return short
    return [i for i in short if raws[i].isascii() and not _EXPONENT.search(raws[i])]


def _has_exponents(text: bytes) -> bool:
    """Whether `_EXPONENT` occurs, many times faster than by a search for it."""
    codes = np.frombuffer(text, np.uint8)
    at = np.flatnonzero((codes[1:-3] | 0x20) == ord("e"))  # less 1: at what is before it
    digits = (codes[at] - ord("0") < 10) & (codes[at + 3] - ord("0") < 10)
    return any(_EXPONENT.match(text, i) for i in at[digits].tolist())


def _rows(kind: type[_Body], at: list[int], lines: list[_Line], registry: Registry) -> VendorRows:
    bodies = [line.body for line in lines]
    device_id = pa.array([line.device_id for line in lines], pa.string())
    known = registry.columns.find(device_id)
    boot = np.array([boot_numbers[line.boot] for line in lines], np.int64)
    received_at_ms = np.array([line.received_at_ms for line in lines], np.int64)
    obtained_ms = np.array([-1 if body.t is None else body.t for body in bodies], np.int64)
    measured = _READERS[kind]([body.body for body in bodies])
    values, usual = checked_columns(measured, obtained_ms, received_at_ms)
    columns: PlainColumns = {
        "device_id": device_id,
        "site_id": known.site_id,
        "site_hash": known.site_hash,
        "device": known.device,
        "boot": boot.clip(0).astype(np.uint32),
        "seq": np.array([line.seq for line in lines], np.int64),
        "received_at_ms": received_at_ms,
        "interval_ms": np.array([body.iv for body in bodies], np.int32),
        **values,
    }
    usual &= known.known & (boot >= 0)
    if usual.all():
        return VendorRows(np.array(at, np.int64), columns)
    rows = np.flatnonzero(usual)
    taken = {
        name: column.take(pa.array(rows)) if isinstance(column, pa.Array) else column[rows]
        for name, column in columns.items()
    }
    return VendorRows(np.array(at, np.int64)[rows], taken)


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    return np.concatenate(parts)


def with_vendor_rows(
    columns: PlainColumns, good: Mask, rest: Sequence[int], found: VendorRows
) -> tuple[PlainColumns, Mask]:
    """Columns of a frame: those of the lines ``rest`` with what was read here in between."""
    order = np.argsort(np.concatenate((np.array(rest, np.int64), found.lines)))
    taken = pa.array(order)
    joined = {name: _joined([columns[name], values]) for name, values in found.columns.items()}
    return {
        name: column.take(taken) if isinstance(column, pa.Array) else column[order]
        for name, column in joined.items()
    }, np.concatenate((good, np.ones(len(found.lines), np.bool_)))[order]
