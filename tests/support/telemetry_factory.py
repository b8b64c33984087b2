"""Canonical telemetry for tests: rows with defaults for what a test does not care about."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.telemetry import TELEMETRY_V1

NAN = float("nan")
DEFAULTS: Mapping[str, Any] = {
    "boot": 1,
    "interval_ms": 1000,
    **dict.fromkeys(
        ["battery_w", "grid_w", "solar_w", "load_w", "soc", "frequency_hz", "voltage_v"], NAN
    ),
    "temperature_c": NAN,
    "islanded": -1,
    "quality": 0,
    "balance_error_w": NAN,
}


def make_batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """A batch of ``telemetry.v1``."""
    return pa.RecordBatch.from_pylist([{**DEFAULTS, **row} for row in rows], schema=TELEMETRY_V1)
