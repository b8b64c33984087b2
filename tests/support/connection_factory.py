"""Forecasts of a region's load and solar power, and inputs of a market at its connections."""

from dataclasses import replace
from typing import Any

import numpy as np

from schemas.forecast import QuantityForecast, RegionForecast
from tests.support.market_factory import HOURLY, inputs_at
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.rules import Prices

AT_CONNECTION = replace(
    HOURLY, products=("energy",), co_optimised=False, metered_at="connection", import_fee=100.0
)


def quantity(
    mean_w: Floats | float, below_w: Floats | float = 0.0, above_w: Floats | float = 0.0
) -> Any:
    """A day's power in slots of 15 minutes, with distances to its quantiles."""
    day_w = np.broadcast_to(np.asarray(mean_w, float), 96)
    return QuantityForecast(
        by="lear",
        mean_w=tuple(day_w.tolist()),
        low_w=tuple(np.maximum(day_w - below_w, 0.0).tolist()),
        high_w=tuple((day_w + above_w).tolist()),
    )


def forecast(start_ms: int, load: Any, solar: Any = None) -> RegionForecast:
    """The day from a start on; no sun unless told."""
    return RegionForecast(
        region="north",
        known_at_ms=start_ms,
        start_ms=start_ms,
        slot_s=900,
        load=load,
        solar=quantity(0.0) if solar is None else solar,
    )


def connected(
    start_ms: int, history: Prices, stored_wh: float = 1e6, **changes: Any
) -> CycleInputs:
    """Sound inputs at the connection: 200 kW of load, between 150 and 280 kW."""
    told: dict[str, Any] = {
        "rules": AT_CONNECTION,
        "region_forecast": forecast(start_ms, quantity(2e5, 5e4, 8e4)),
        "load_seen_w": 1e5,
        "solar_seen_w": 0.0,
    }
    return replace(inputs_at(start_ms, history, stored_wh), **(told | changes))
