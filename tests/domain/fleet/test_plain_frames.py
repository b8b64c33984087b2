"""Plain frames, applied by compiled loops: the same state and outputs as the general way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.assets import Device, Site
from schemas.encoding import encode_json
from schemas.telemetry import TELEMETRY_V1, Quality
from tests.support.compiled_kernels import compiled, numpy_only
from vpp_streams.domain.fleet.frames import Frame, Outputs, Policy
from vpp_streams.domain.fleet.kept_windows import PackedWindow
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.plain_frames import PlainFrames
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry

T = 1_800_000_000_000
MINUTE_MS = 60_000
DEVICES = 4_200
"""More than two blocks of rows."""
REGISTERED = 4_000
REGISTRY = Registry(
    Site(f"home-{i}", ("north", "south")[i % 2], (Device(f"pw-{i}", "powerwall"),))
    for i in range(REGISTERED)
)
Columns = dict[str, Any]


def columns_of(devices: np.ndarray, second: int, rng: np.random.Generator) -> Columns:
    """A reading of each of these devices, a second after their last."""
    n = len(devices)
    measured = T + second * 1000 + rng.integers(0, 1000, n)
    floats = {
        name: np.where(rng.random(n) < 0.1, np.nan, rng.uniform(-9e3, 9e3, n))
        for name in ("battery_w", "grid_w", "solar_w", "load_w")
    } | {
        name: np.where(rng.random(n) < 0.1, np.nan, rng.random(n))
        for name in ("soc", "frequency_hz", "voltage_v", "temperature_c")
    }
    return {
        "device_id": [f"pw-{i}" for i in devices],
        "site_id": [f"home-{i}" for i in devices],
        "boot": np.full(n, 7, np.uint32),
        "seq": np.full(n, second),
        "measured_at_ms": measured,
        "received_at_ms": measured + rng.integers(-20, 90, n),
        "interval_ms": np.full(n, 1000, np.int32),
        **floats,
        "islanded": rng.integers(-1, 2, n).astype(np.int8),
        "quality": rng.choice([0, 0, 0, 1], n).astype(np.int8),
        "balance_error_w": np.zeros(n),
    }


def frame_of(columns: Columns, offset: int, *, live: bool = True) -> Frame:
    arrays = [pa.array(columns[field.name], field.type) for field in TELEMETRY_V1]
    batch = Batch.of(pa.RecordBatch.from_arrays(arrays, schema=TELEMETRY_V1))
    return Frame(offset, batch, live=live)


def published(out: Outputs) -> list[bytes]:
    records = (*out.windows, *out.partials, *out.rejected)
    return [*map(encode_json, records), encode_json(dict(sorted(out.counts.items())))]


def started() -> FleetPartition:
    """A partition that knows the devices."""
    part = FleetPartition(0, "telemetry", REGISTRY, Policy(lateness_ms=2000))
    rng = np.random.default_rng(99)
    part.apply(frame_of(columns_of(np.arange(DEVICES), 0, rng), 0))
    return part


class Counted(PlainFrames):
    """Counts the frames that were plain."""

    used = 0

    def apply(self, *args: Any) -> Any:
        found = super().apply(*args)
        Counted.used += found is not None
        return found


def run(seed: int) -> tuple[list[list[bytes]], dict[bytes, bytes | None]]:
    """Two minutes of a fleet, a part of which reports in each frame."""
    rng = np.random.default_rng(seed)
    part = started()
    part._plain = Counted(part.twins, part.windows)  # noqa: SLF001 - to see that the path under test runs
    outputs, offset = [], 0
    for second in range(1, 121, 3):
        order = rng.permutation(DEVICES)
        seqs = second // 3 + 1
        for some in np.array_split(order, 3):
            offset += 1
            columns = columns_of(some, second, rng) | {"seq": np.full(len(some), seqs)}
            outputs.append(published(part.apply(frame_of(columns, offset))))
    return outputs, dict(part.snapshot().writes())


@pytest.mark.parametrize("seed", range(2))
def test_the_same_state_and_outputs(seed: int) -> None:
    compiled()
    Counted.used = 0
    ours = run(seed)
    assert Counted.used > 100, "most frames are plain"
    Counted.used = 0
    with numpy_only():
        assert ours == run(seed)
    assert Counted.used == 0


def changed(name: str, value: Any, at: int = 3) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns[name][at] = value

    return change


NOT_PLAIN: dict[str, Callable[[Columns], None]] = {
    "an unknown device": changed("device_id", "pw-new"),
    "a device twice": changed("device_id", "pw-5"),
    "a gap": changed("seq", 9),
    "a repeat": changed("seq", 0),
    "another start": changed("boot", 8),
    "not believed": changed("quality", int(Quality.BAD)),
    "in the next minute": changed("measured_at_ms", T + MINUTE_MS - 1),
    "too late": changed("measured_at_ms", T - 40 * 24 * 60 * MINUTE_MS),
    "no time": changed("measured_at_ms", 0),
    "before all time": changed("measured_at_ms", -5),
    "a time at the end of all numbers": changed("measured_at_ms", np.iinfo(np.int64).max - 1),
    "an interval longer than a window": changed("interval_ms", 70_000),
    "no interval": changed("interval_ms", 0),
}


@pytest.mark.parametrize("why", NOT_PLAIN)
def test_any_other_frame_is_left_to_the_general_way_unchanged(why: str) -> None:
    compiled()
    part = started()
    columns = columns_of(np.arange(10), 1, np.random.default_rng(1))
    plain = PlainFrames(part.twins, part.windows)

    def apply(given: Columns) -> object:
        batch = frame_of(given, 1).batch
        ratings = part.roster.ratings()
        return plain.apply(ratings, batch, T - MINUTE_MS)

    before = dict(part.snapshot().writes())
    part.snapshot()
    odd = {name: np.array(value) for name, value in columns.items()}
    odd["device_id"] = odd["device_id"].astype(object)
    NOT_PLAIN[why](odd)
    assert apply(odd) is None
    assert dict(part.snapshot().writes()).keys() <= before.keys()
    assert not part.twins.columns.changed
    assert apply(columns) is not None
    assert part.twins.columns.changed == {0}


@pytest.mark.parametrize("size_ms", [MINUTE_MS, 15 * MINUTE_MS])
def test_a_frame_of_a_compressed_window_is_left_to_the_general_way(size_ms: int) -> None:
    compiled()
    part = started()
    part.windows.windows[size_ms, T // size_ms * size_ms] = PackedWindow()
    part.windows.dirty.clear()
    batch = frame_of(columns_of(np.arange(10), 1, np.random.default_rng(1)), 1).batch
    plain = PlainFrames(part.twins, part.windows)
    assert plain.apply(part.roster.ratings(), batch, T - MINUTE_MS) is None
    assert not part.windows.dirty


def test_fresh_readings_are_counted_by_region_and_time_and_others_are_not() -> None:
    compiled()
    part = started()
    columns = columns_of(np.array([0, 1, 2, REGISTERED + 1]), 1, np.random.default_rng(1))
    columns["measured_at_ms"] = T + 1000 + np.array([10, 10, 60, 10])
    ratings = part.roster.ratings()
    plain = PlainFrames(part.twins, part.windows)
    found = plain.apply(ratings, frame_of(columns, 1).batch, T - MINUTE_MS)
    assert found == {"north": {T + 1000: 1, T + 1050: 1}, "south": {T + 1000: 1}}


def test_a_replayed_frame_goes_the_general_way() -> None:
    compiled()
    part = started()
    part._plain = Counted(part.twins, part.windows)  # noqa: SLF001 - to see that it does not run
    Counted.used = 0
    columns = columns_of(np.arange(10), 1, np.random.default_rng(1))
    part.apply(frame_of(columns, 1, live=False))
    assert Counted.used == 0
