"""One line of a raw frame by its contract: a row of canonical telemetry, or why there is none."""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from schemas.telemetry import NativeBody, RawLine, Reading, Rejection, VendorBody
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.normalize import native, normalize

MAX_LINE_BYTES = 65_536
"""Longest line that is read: a gateway's message has at most a quarter of this."""

T = TypeVar("T")


class _Form(msgspec.Struct):
    """The field that distinguishes the two forms of a body."""

    vendor: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_line = msgspec.json.Decoder(RawLine)
_form = msgspec.json.Decoder(_Form)
_native = msgspec.json.Decoder(NativeBody)
_vendor = msgspec.json.Decoder(VendorBody)


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """Why a line gives no row, with the parts of it that could be read."""

    why: Rejection
    received_at_ms: int | None = None
    device_id: str | None = None
    site_id: str | None = None
    boot: int | None = None
    seq: int | None = None
    """With device and boot the reading's name; None = the line could not be read."""


def read_line(raw: bytes, registry: Registry) -> dict[str, Any] | RefusedLine:
    """The line as values by column of ``telemetry.v1``. Never raises, whatever the bytes."""
    if len(raw) > MAX_LINE_BYTES:
        size = f"The line has {len(raw)} bytes; at most {MAX_LINE_BYTES} are read."
        return RefusedLine(Rejection("too_large", f"{size} The first of them are kept here."))
    line = _decoded(_line, raw, "line")
    if isinstance(line, Rejection):
        return RefusedLine(line)
    boot, found = int(line.boot, 16), registry.device(line.device_id)
    site_id = found[1].site_id if found else None

    def refused(why: Rejection) -> RefusedLine:
        return RefusedLine(why, line.received_at_ms, line.device_id, site_id, boot, line.seq)

    if found is None:
        why = f"The registry has no device {line.device_id!r}."
        if (retired := registry.retired_site_of(line.device_id)) is not None:
            why = f"The site {retired} of device {line.device_id!r} is retired."
        return refused(Rejection("unknown_device", why))
    reading = _reading(line)
    if isinstance(reading, Rejection):
        return refused(reading)
    return {
        "device_id": line.device_id,
        "site_id": site_id,
        "boot": boot,
        "seq": line.seq,
        "received_at_ms": line.received_at_ms,
        **{name: getattr(reading, name) for name in Reading.__struct_fields__},
    }


def _reading(line: RawLine) -> Reading | Rejection:
    form = _decoded(_form, line.body, "body")
    if isinstance(form, Rejection):
        return form
    if form.vendor is msgspec.UNSET:
        body = _decoded(_native, line.body, "body")
        return body if isinstance(body, Rejection) else native.of_body(body, line.received_at_ms)
    wrapped = _decoded(_vendor, line.body, "body")
    if isinstance(wrapped, Rejection):
        return wrapped
    document = bytes(wrapped.body)
    return normalize(wrapped.vendor, document, wrapped.t, wrapped.iv, line.received_at_ms)


def _decoded(
    decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, what: str
) -> T | Rejection:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        return Rejection("bad_line", f"The {what} does not fit: {error}.")
    except UnicodeError:
        return Rejection("bad_encoding", f"A text in the {what} is not UTF-8.")
    except RecursionError:
        return Rejection("bad_json", f"The JSON of the {what} is nested too deeply.")
    except msgspec.DecodeError as error:
        return Rejection("bad_json", f"The {what} is not JSON: {error}.")
