"""The inputs of one decision of the Autobidder, and the check that makes them usable."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from schemas.forecast import RegionForecast
from schemas.market import Award, Delivery, InputOffset, PlanView
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.connection import NO_LIMITS, ConnectionLimits
from vpp_streams.domain.market.forecast.series import NOTHING_PUBLISHED, Feed, staleness
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage

MOST_W, MOST_WH = 5e11, 1e13
"""Absurd from here on. The sum of two powers is still one that a record can hold (`Watts`)."""


NO_SERIES: Mapping[str, Feed] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class CycleInputs:
    """All inputs of a decision: the same inputs give the same bid."""

    rules: MarketRules
    region: str
    start_ms: int
    """Start of the interval to bid for."""
    now_ms: int
    history: Prices
    """Prices public at ``now_ms``."""
    storage: Storage | None
    """What the region's batteries can do now; None = not known."""
    stored_wh: float | None
    """Energy above the owners' reserves now; None = not known."""
    awards: tuple[Award, ...] = ()
    """Sales in intervals that are not over yet."""
    delivered: tuple[Delivery, ...] = ()
    """Deliveries of the last day, oldest first."""
    reserve: ReservePolicy = field(default_factory=ReservePolicy)
    last_plan: PlanView | None = None
    published: Feed = NOTHING_PUBLISHED
    """Prices that others expect, with the time of each."""
    series: Mapping[str, Feed] = field(default_factory=lambda: NO_SERIES)
    """Forecasts of load, wind and solar power by kind, MW: for a market with auctions of days."""
    left_out: tuple[str, ...] = ()
    """What is missing in the other inputs because it could not be used, as sentences."""
    region_forecast: RegionForecast | None = None
    """Newest forecast of the region's load and solar power; for a market at the connection."""
    load_seen_w: float | None = None
    """The region's load now; None = not known."""
    solar_seen_w: float | None = None
    limits: ConnectionLimits = NO_LIMITS
    """Of the region's grid connections."""
    sources: tuple[InputOffset, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Usable:
    """Usable inputs, and what was wrong with the given ones."""

    inputs: CycleInputs
    """The inputs with storage, history and awards corrected."""
    storage: Storage
    stored_wh: float
    faults: tuple[str, ...]


def usable(inputs: CycleInputs) -> Usable | str:
    """The usable inputs; a sentence with the reason where nothing can be offered."""
    storage, stored_wh = inputs.storage, inputs.stored_wh
    if storage is None or stored_wh is None or not np.isfinite(stored_wh):
        return "what the region can do is not known: nothing is offered"
    numbers = (storage.energy_wh, storage.charge_w, storage.discharge_w)
    if not all(np.isfinite(n) for n in numbers):
        return "what the region can do is not a number: nothing is offered"
    faults: list[str] = list(inputs.left_out)
    if any(n < 0 for n in numbers) or max(numbers) > MOST_WH:
        faults.append("what the region can do was absurd: cut to what could be")
    sound = replace(
        storage,
        energy_wh=float(np.clip(storage.energy_wh, 0, MOST_WH)),
        charge_w=float(np.clip(storage.charge_w, 0, MOST_W)),
        discharge_w=float(np.clip(storage.discharge_w, 0, MOST_W)),
        charge_efficiency=_efficiency(storage.charge_efficiency, faults),
        discharge_efficiency=_efficiency(storage.discharge_efficiency, faults),
        wear_per_mwh=_wear(storage.wear_per_mwh, faults),
    )
    inside = float(np.clip(stored_wh, 0.0, sound.energy_wh))
    if inside != stored_wh:
        side = "below the reserves" if stored_wh < 0 else "above full"
        faults.append(f"stored energy was {abs(stored_wh - inside):.0f} Wh {side}: cut")
    mended = replace(
        inputs,
        storage=sound,
        stored_wh=inside,
        history=_history(inputs, faults),
        awards=_awards(inputs, faults),
        published=_published(inputs, faults),
    )
    return Usable(mended, sound, inside, tuple(faults))


def _efficiency(value: float, faults: list[str]) -> float:
    if 0.2 <= value <= 1.0:
        return value
    faults.append("an efficiency was absurd: 0.95 stands in")
    return 0.95


def _wear(value: float, faults: list[str]) -> float:
    if 0.0 <= value <= 1e6:
        return value
    faults.append("the wear was absurd: none is counted")
    return 0.0


def _awards(inputs: CycleInputs, faults: list[str]) -> tuple[Award, ...]:
    sound = tuple(
        award
        for award in inputs.awards
        if all(abs(w) <= MOST_W for w in (award.energy_w, *award.capacity_w.values()))
    )
    if len(sound) < len(inputs.awards):
        faults.append(f"{len(inputs.awards) - len(sound)} awards of absurd power were left out")
    return sound


def _published(inputs: CycleInputs, faults: list[str]) -> Feed:
    """The prices published by now; nothing where they have stopped."""
    published = inputs.published.until(inputs.now_ms)
    reason = staleness(published, inputs.start_ms, inputs.now_ms)
    if reason is None:
        return published
    faults.append(f"published prices are stale ({reason}): the forecast goes on without them")
    return NOTHING_PUBLISHED


def _history(inputs: CycleInputs, faults: list[str]) -> Prices:
    """Only what was known by now, in order, each interval once, within floor and cap."""
    rules, given = inputs.rules, inputs.history
    sound = np.isfinite(given.energy) & (given.start_ms < inputs.start_ms)
    rising = np.concatenate([[True], np.diff(given.start_ms) > 0]) if len(sound) else sound
    beyond = sound & ((given.energy < rules.floor) | (given.energy > rules.cap))
    if beyond.any():
        faults.append(f"{int(beyond.sum())} prices outside of floor and cap were left out")
    keep = sound & ~beyond & np.maximum.accumulate(rising) & rising
    lost = int((given.start_ms < inputs.start_ms).sum()) - int(keep.sum()) - int(beyond.sum())
    if lost > 0:
        faults.append(f"{lost} prices that are no numbers or out of order were left out")
    if not keep.any():
        faults.append("no price is known: usual ones stand in")
    elif inputs.start_ms - int(given.start_ms[keep][-1]) > 12 * rules.interval_ms:
        faults.append("the newest price is more than 12 intervals old")
    return Prices(
        given.zone,
        given.currency,
        rules.interval_ms,
        given.start_ms[keep],
        {
            product: price[keep] if product == "energy" else _known(price[keep], rules.cap)
            for product, price in given.per_product.items()
        },
    )


def _known(price: Floats, cap: float) -> Floats:
    """Capacity prices within 0 and the cap; NaN for others."""
    return np.where((price >= 0) & (price <= cap), price, np.nan)
