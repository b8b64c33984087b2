"""Raw frames in either form, as the lines that they stand for."""

from collections.abc import Iterable

import msgspec

from schemas.raw_frames import decode_raw, has_columns
from schemas.telemetry import RawLine
from vpp_streams.domain.telemetry.column_rows import LinesOfRows

Headers = Iterable[tuple[str, bytes]]

_line = msgspec.json.Decoder(RawLine)


def lines_of_frame(frame: bytes, headers: Headers) -> list[bytes]:
    """The lines of a raw frame, also of one by columns."""
    if not has_columns(headers):
        return frame.split(b"\n")
    batch = decode_raw(frame)
    lines = LinesOfRows(batch)
    return [lines[i] for i in range(batch.num_rows)]


def readings_of(frame: bytes, headers: Headers) -> list[RawLine]:
    """The same, decoded."""
    return [_line.decode(line) for line in lines_of_frame(frame, headers)]
