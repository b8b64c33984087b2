"""Compiled and numpy's application of frames to a partition: the same state and outputs."""

import numpy as np
import pyarrow as pa
import pytest

from schemas.assets import Device, Site
from schemas.encoding import encode_json
from schemas.telemetry import TELEMETRY_V1
from tests.support.compiled_kernels import compiled, numpy_only
from vpp_streams.domain.fleet.frames import Frame, Outputs, Policy
from vpp_streams.domain.fleet.partition import FleetPartition
from vpp_streams.domain.fleet.twins import Batch
from vpp_streams.domain.registry.registry import Registry

T = 1_800_000_000_000
DEVICES = 12
REGISTRY = Registry(
    Site(
        f"home-{i // 2}", "north", (Device(f"pw-{i}", "powerwall"), Device(f"pw-{i + 1}", "solar"))
    )
    for i in range(0, DEVICES, 2)
)


def frame(offset: int, rng: np.random.Generator, *, each_once: bool) -> Frame:
    """Readings of some devices: in step mostly, with gaps, repeats, restarts and holes.

    None is -0: which of two equal zeros is the lower one differs within numpy too.
    """
    n = int(rng.integers(0, DEVICES + 1))
    device = rng.choice(DEVICES, n, replace=not each_once)
    measured = T + offset * 1000 + rng.integers(-3000, 3000, n)
    if rng.random() < 0.2:
        measured = measured - rng.integers(0, 2, n) * 90_000
    holes = rng.random((8, n)) < 0.2
    powers = np.where(holes[:4], np.nan, rng.choice([0.0, 250.5, -3000.25, 1e-9], (4, n)))
    others = np.where(holes[4:], np.nan, rng.uniform(0, 1, (4, n)))
    odd = rng.random(n) < 0.15
    columns = {
        "device_id": [f"pw-{i}" for i in device],
        "site_id": [f"home-{i // 2}" for i in device],
        "boot": (7 + (rng.random(n) < 0.05)).astype(np.uint32),
        "seq": np.where(odd, rng.integers(0, 40, n), offset),
        "measured_at_ms": measured,
        "received_at_ms": measured + rng.choice([0, 50, 9000], n),
        "interval_ms": rng.choice([1000, 1000, 1000, 70_000], n).astype(np.int32),
        **dict(zip(("battery_w", "grid_w", "solar_w", "load_w"), powers, strict=True)),
        **dict(zip(("soc", "frequency_hz", "voltage_v", "temperature_c"), others, strict=True)),
        "islanded": rng.integers(-1, 2, n).astype(np.int8),
        "quality": rng.choice([0, 0, 0, 1, 3 if rng.random() < 0.1 else 0], n).astype(np.int8),
        "balance_error_w": np.zeros(n),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in TELEMETRY_V1]
    return Frame(offset, Batch.of(pa.RecordBatch.from_arrays(arrays, schema=TELEMETRY_V1)))


def published(out: Outputs) -> list[bytes]:
    records = (*out.windows, *out.partials, *out.rejected)
    return [*map(encode_json, records), encode_json(dict(sorted(out.counts.items())))]


def run(seed: int, share_once: float) -> tuple[list[list[bytes]], dict[bytes, bytes | None]]:
    rng = np.random.default_rng(seed)
    part = FleetPartition(0, "telemetry", REGISTRY, Policy(lateness_ms=2000))
    outputs = [
        published(part.apply(frame(offset, rng, each_once=rng.random() < share_once)))
        for offset in range(1, 40)
    ]
    return outputs, dict(part.snapshot().writes())


@pytest.mark.parametrize("share_once", [1.0, 0.7])
@pytest.mark.parametrize("seed", range(6))
def test_any_frames_give_the_same_state_and_outputs(seed: int, share_once: float) -> None:
    compiled()
    ours = run(seed, share_once)
    with numpy_only():
        assert ours == run(seed, share_once)


def test_rows_outside_the_columns_and_other_types_are_refused() -> None:
    kernels = compiled()
    place = np.zeros(4, np.int64)
    for row in (4, -1):
        with pytest.raises(IndexError, match="outside"):
            kernels.each_once(np.array([0, row]), place)
    with pytest.raises(TypeError, match="items of 4 bytes"):
        kernels.each_once(np.array([0], np.int32), place)
    with pytest.raises(ValueError, match="contiguous"):
        kernels.each_once(np.arange(8)[::2], place)
    assert kernels.each_once(np.array([0, 3, 1]), place)
    assert not kernels.each_once(np.array([0, 3, 0]), place)
