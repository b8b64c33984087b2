"""Markets, storages and prices that tests share."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.market import Bid, Product
from tests.support.paths import SHARED_DATA
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.market.backtest.delivery import Fleet
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage

DATA = SHARED_DATA
T0 = 1_763_856_000_000
"""A start of a day, UTC."""
HOURLY = MarketRules(
    name="test",
    currency="EUR",
    interval_ms=3_600_000,
    gate_ms=60_000,
    floor=-500.0,
    cap=4000.0,
    products=("energy", "reg_up", "reg_down", "reserve"),
    co_optimised=True,
)
BATTERY = Storage(2e6, 1e6, 1e6, 0.92, 0.92)
NEM_FILE = "nem_5min_prices_fcas/DISPATCHPRICE.csv"


def prices_of(energy: Floats, rules: MarketRules = HOURLY, start_ms: int = T0) -> Prices:
    """Prices from a start on; capacity costs a tenth of energy, at least 1."""
    energy = np.asarray(energy, float)
    start = start_ms + np.arange(len(energy), dtype=np.int64) * rules.interval_ms
    other = np.maximum(np.abs(energy) / 10, 1.0)
    traded: dict[Product, Floats] = dict.fromkeys(rules.products, other)
    return Prices("test", rules.currency, rules.interval_ms, start, {**traded, "energy": energy})


def duck_days(days: int, seed: int = 1, slots: int = 24) -> Floats:
    """Prices of some days: cheap at noon, dear in the evening, with noise."""
    rng = np.random.default_rng(seed)
    hour = np.arange(days * slots) % slots * 24 / slots
    duck = 60 - 45 * np.exp(-(((hour - 13) / 3) ** 2)) + 70 * np.exp(-(((hour - 19) / 2) ** 2))
    return duck * rng.uniform(0.7, 1.3, days).repeat(slots) + rng.normal(0, 5, days * slots)


def inputs_at(start_ms: int, history: Prices, stored_wh: float = 1e6) -> CycleInputs:
    """Sound inputs for the interval that begins at ``start_ms``."""
    return CycleInputs(
        rules=HOURLY,
        region="north",
        start_ms=start_ms,
        now_ms=start_ms - HOURLY.gate_ms,
        history=history,
        storage=BATTERY,
        stored_wh=stored_wh,
    )


def energy_only(rules: MarketRules) -> MarketRules:
    """The same market without capacity."""
    return replace(rules, products=("energy",), co_optimised=False)


def recorded(path: str, **how: Any) -> Prices:
    """Recorded prices of one zone; skips where the data is absent."""
    file = DATA / path
    if not file.exists():
        pytest.skip(f"recorded prices are absent: {path}")
    reading = read_price_file(file.read_bytes(), name=file.name, **how)
    return next(iter(reading.prices.values()))


def no_clock() -> float:
    """A clock that stands still."""
    return 0.0


def all_answer() -> Fleet:
    """A fleet of one device that always answers."""
    return Fleet(BATTERY, 1, 1.0, seed=1)


def stripped(bids: tuple[Bid, ...]) -> list[tuple[object, ...]]:
    """What of bids must not depend on the future."""
    return [(b.start_ms, b.energy, b.capacity, b.expected_price, b.stored_wh) for b in bids]
