"""Raw frames as bytes that are created once; each second only what changed is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.homes import BOOT, FIRST_SEQ, Homes
from schemas.bounds import PARTITIONS
from schemas.raw_frames import RAW_COLUMNS_V1, decode_raw, encode_raw
from vpp_streams.gateway.gathering import MAX_FRAME_BYTES

MAX_ROWS = 4000
"""Of a frame by columns, as gateways have it."""
_TIME, _SEQ, _HZ = 10, 10, 6  # digits of seconds since 1970, of a number, of 60.012


@dataclass(slots=True)
class FrameBytes:
    """One frame, whose digits are overwritten each second."""

    partition: int
    due_ms: int
    """Time within the second, ms."""
    lines: int
    bytes_: NDArray[np.uint8]
    fields: tuple[tuple[NDArray[np.int64], int], ...]
    """Where (in each line) a changing field starts, and which of `digits` it shows."""
    shown: list[bytes]

    def at(self, digits: Sequence[bytes]) -> bytes:
        """The frame with these digits; only changed ones are written."""
        for start, which in self.fields:
            old, new = self.shown[which], digits[which]
            for i in range(len(new)):
                if old[i] != new[i]:
                    self.bytes_[start + i] = new[i]
        self.shown = list(digits)
        return self.bytes_.tobytes()


class FrameColumns:
    """One frame by columns, in whose bytes times, numbers and the frequency are overwritten."""

    def __init__(
        self,
        partition: int,
        due_ms: int,
        batch: pa.RecordBatch,
        received_ms: NDArray[np.int64],
        measured_ms: NDArray[np.int64],
    ) -> None:
        self.partition = partition
        self.due_ms = due_ms
        self.lines = batch.num_rows
        """Readings; the name is that of the other form."""
        self._ms = {"received_at_ms": received_ms, "measured_at_ms": measured_ms}
        made = encode_raw(batch)
        self._bytes = np.frombuffer(made, np.uint8).copy()
        found, begin = decode_raw(made), pa.py_buffer(made).address
        self._columns = {
            name: np.frombuffer(
                self._bytes.data,
                np.float64 if name == "frequency_hz" else np.int64,
                self.lines,
                found.column(name).buffers()[1].address - begin,
            )
            for name in ("received_at_ms", "measured_at_ms", "seq", "frequency_hz")
        }

    def at(self, digits: Sequence[bytes]) -> bytes:
        """As `FrameBytes.at`."""
        second, seq, hz = digits
        for name, ms in self._ms.items():
            np.add(ms, int(second) * 1000, out=self._columns[name])
        self._columns["seq"].fill(int(seq))
        self._columns["frequency_hz"].fill(float(hz))
        return self._bytes.tobytes()


Frame = FrameBytes | FrameColumns


def frames_of(
    homes: Homes, flush_ms: int, *, seed: int = 1, by_columns: bool = False
) -> list[Frame]:
    """Every home in a frame, by the time in the second at which the frame is sent."""
    rng = np.random.default_rng(seed)
    phase_ms = rng.integers(0, 1000, homes.n)
    # A reading that would have been measured in the second before is at the start of this one.
    measured_ms = np.maximum(phase_ms - rng.integers(20, 80, homes.n), 0)
    frames: list[Frame] = []
    for partition in range(PARTITIONS):
        mine = np.flatnonzero(homes.partition == partition)
        mine = mine[np.argsort(phase_ms[mine], kind="stable")]
        # Gateways do not flush at the same time.
        shift_ms = partition * flush_ms // PARTITIONS
        slot = (phase_ms[mine] + shift_ms) // flush_ms
        for at in np.unique(slot).tolist():
            due_ms = min((at + 1) * flush_ms - shift_ms, 1000)
            some = mine[slot == at]
            if by_columns:
                frames += (
                    FrameColumns(partition, due_ms, _batch(homes, few), phase_ms[few],
                                 measured_ms[few])
                    for few in np.split(some, range(MAX_ROWS, len(some), MAX_ROWS))
                )  # fmt: skip
                continue
            lines = [_line(homes, i, phase_ms[i], measured_ms[i]) for i in some]
            frames += [_frame(partition, due_ms, few) for few in _cut(lines)]
    return sorted(frames, key=lambda frame: frame.due_ms)


def _line(homes: Homes, i: int, phase_ms: int, measured_ms: int) -> bytes:
    """As `vpp_streams.gateway.session` encodes it; # stands for digits that change."""
    return (
        f'{{"device_id":"{homes.device_ids[i]}","received_at_ms":{"#" * _TIME}{phase_ms:03},'
        f'"seq":{"#" * _SEQ},"body":{{"t":{"#" * _TIME}{measured_ms:03},'
        f'"p":{homes.battery_w[i]},"g":{homes.grid_w[i]},"pv":{homes.solar_w[i]},'
        f'"l":{homes.load_w[i]},"soc":{homes.soc[i]},"hz":{"#" * _HZ},"v":{homes.voltage_v[i]},'
        f'"tc":24.5,"isl":false}},"boot":"{BOOT:x}"}}'
    ).encode()


def _batch(homes: Homes, rows: NDArray[np.int64]) -> pa.RecordBatch:
    """The same readings as rows, as `vpp_streams.gateway.rows` encodes them."""
    n = len(rows)
    columns = {
        "device_id": [homes.device_ids[i] for i in rows],
        "boot": np.full(n, BOOT),
        "interval_ms": np.full(n, 1000),
        "battery_w": homes.battery_w[rows],
        "grid_w": homes.grid_w[rows],
        "solar_w": homes.solar_w[rows],
        "load_w": homes.load_w[rows],
        "soc": homes.soc[rows],
        "voltage_v": homes.voltage_v[rows],
        "temperature_c": np.full(n, 24.5),
    }
    zeros = np.zeros(n, np.int64)
    return pa.RecordBatch.from_arrays(
        [pa.array(columns.get(name, zeros), type_) for name, type_ in zip(
            RAW_COLUMNS_V1.names, RAW_COLUMNS_V1.types, strict=True)],
        schema=RAW_COLUMNS_V1,
    )  # fmt: skip


def _cut(lines: list[bytes]) -> Iterator[list[bytes]]:
    """Split lines into frames of the gateway's size."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        if some and size + len(line) > MAX_FRAME_BYTES:
            yield some
            some, size = [], 0
        some.append(line)
        size += len(line) + 1
    if some:
        yield some


def _frame(partition: int, due_ms: int, lines: list[bytes]) -> FrameBytes:
    bytes_ = np.frombuffer(b"\n".join(lines), np.uint8).copy()
    marks = bytes_ == ord("#")
    starts = np.flatnonzero(marks & ~np.r_[False, marks[:-1]]).reshape(len(lines), 4)
    fields = tuple((starts[:, i].copy(), which) for i, which in enumerate((0, 1, 0, 2)))
    nothing = [b"#" * width for width in (_TIME, _SEQ, _HZ)]
    return FrameBytes(partition, due_ms, len(lines), bytes_, fields, nothing)


def digits(second: int, n: int) -> tuple[bytes, bytes, bytes]:
    """Seconds since 1970, reading number, and the grid's frequency (the same for all)."""
    return b"%d" % second, b"%d" % (FIRST_SEQ + n), b"%.3f" % (60 + 0.02 * np.sin(second / 7))
