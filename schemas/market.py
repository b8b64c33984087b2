"""Bids into markets, and what became of them.

Signs are the market's: power + = export (sold), - = import (bought). Prices are per MWh, of
capacity per MW and hour. An interval is [start, start + interval).
"""

from typing import Annotated, Literal, get_args

import msgspec

from schemas.assets import Id, Positive
from schemas.dispatch import Watts
from schemas.telemetry import EpochMs

Product = Literal["energy", "reg_up", "reg_down", "reserve"]
"""``reserve``: contingency reserve, held upwards and called in a contingency only."""
PRODUCTS: tuple[Product, ...] = get_args(Product)
Price = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}(?!\n)$")]

Rung = Literal["warm_lp", "fresh_lp", "coarse_lp", "last_plan", "value_rule", "safe"]
"""How the decision behind a bid was found, from the best to the last resort."""
RUNGS: tuple[Rung, ...] = get_args(Rung)


class Step(msgspec.Struct, frozen=True):
    """A point of an energy curve: from this price on, this power."""

    price: Price
    power_w: Watts


class EnergyOffer(msgspec.Struct, frozen=True):
    """Energy by price: power rises with the price, a step function.

    Cleared at a price below the first step's, the power is ``below_w``; else that of the last
    step whose price is not above the clearing price.
    """

    below_w: Watts
    steps: tuple[Step, ...] = ()


class CapacityOffer(msgspec.Struct, frozen=True):
    """Power kept free for a product, taken where its price is at least ``price``."""

    product: Product
    power_w: Positive
    price: Price


class InputOffset(msgspec.Struct, frozen=True):
    """Up to which record a decision had read an input: the offset is the next one."""

    topic: str
    partition: int
    offset: int


class Bid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="bid"):
    """Topic ``market.bids``, key bid_id: one interval's offer, final once its gate is closed.

    The first record of an id is the bid; a repeat changes nothing.
    """

    bid_id: Id
    """``<market>:<region>:<start_ms>``: an interval has one bid, whoever makes it."""
    market: Id
    region: Id
    start_ms: EpochMs
    interval_ms: Annotated[int, msgspec.Meta(gt=0)]
    gate_ms: EpochMs
    """No bid counts that the market has not got by then."""
    made_at_ms: EpochMs
    rung: Rung
    energy: EnergyOffer
    capacity: tuple[CapacityOffer, ...] = ()
    currency: Currency
    expected_w: float = 0.0
    """Power that the plan has for the interval at the price it expects."""
    expected_price: float | None = None
    stored_wh: float | None = None
    """Energy above the reserves that is expected at the interval's start."""
    up_w: float = 0.0
    """The most that was offered up, after the reserve policy."""
    down_w: float = 0.0
    withheld_w: float = 0.0
    """What the reserve policy kept back of the capability."""
    withheld_cost: float = 0.0
    """What that is worth in the interval at the expected price, in ``currency``."""
    slacks: dict[str, float] = {}
    """Soft limits that the plan could not keep, by name, with how far."""
    faults: tuple[str, ...] = ()
    """What was wrong with the inputs, and what was done without them."""
    solve_ms: float = 0.0
    plan_w: tuple[float, ...] = ()
    """Planned power of this interval and those after it, for people to see."""
    sources: tuple[InputOffset, ...] = ()
    """The inputs by offset: `vpp explain` makes the decision again from them."""


class Gate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="gate"):
    """Topic ``market.awards``, key market: the market takes bids for an interval until its gate."""

    market: Id
    start_ms: EpochMs
    interval_ms: Annotated[int, msgspec.Meta(gt=0)]
    gate_ms: EpochMs


class Clearing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="clearing"):
    """Topic ``market.awards``, key market: an interval's prices, for all to know."""

    market: Id
    start_ms: EpochMs
    interval_ms: Annotated[int, msgspec.Meta(gt=0)]
    cleared_at_ms: EpochMs
    prices: dict[Product, float]
    currency: Currency


class Award(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="award"):
    """Topic ``market.awards``, key bid_id: what the market took of a bid, at which prices."""

    bid_id: Id
    market: Id
    region: Id
    start_ms: EpochMs
    interval_ms: Annotated[int, msgspec.Meta(gt=0)]
    cleared_at_ms: EpochMs
    energy_w: float
    prices: dict[Product, float]
    """Clearing prices; a product that was not traded is absent."""
    capacity_w: dict[Product, float] = {}
    currency: Currency


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag="refusal"):
    """Topic ``market.awards``, key bid_id: a bid that the market did not take, and why."""

    bid_id: Id
    market: Id
    region: Id
    at_ms: EpochMs
    reason: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="delivery"):
    """Topic ``market.awards``, key bid_id: an interval as it was measured, against its award."""

    bid_id: Id
    market: Id
    region: Id
    start_ms: EpochMs
    interval_ms: Annotated[int, msgspec.Meta(gt=0)]
    awarded_w: float
    measured_w: float
    """Battery energy that was measured, as power over the whole interval: what was not measured
    is not in it."""
    coverage: float
    """Covered share of the region's sites and of the interval, 0..1."""
    money: float
    """Earned: energy as measured and capacity as awarded, at the clearing prices."""
    currency: Currency


class Shortfall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="shortfall"):
    """Topic ``market.awards``, key bid_id: an award that will not be delivered, once it is known.

    Published anew when the amount changes; ``missing_w`` 0 = no longer.
    """

    bid_id: Id
    market: Id
    region: Id
    at_ms: EpochMs
    start_ms: EpochMs
    awarded_w: float
    deliverable_w: float
    missing_w: float


class PlanView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="plan"):
    """Topic ``market.awards``, key ``plan:<market>:<region>``: the newest plan and forecast."""

    market: Id
    region: Id
    made_at_ms: EpochMs
    start_ms: EpochMs
    interval_ms: Annotated[int, msgspec.Meta(gt=0)]
    power_w: tuple[float, ...]
    stored_wh: tuple[float, ...]
    price: tuple[float, ...]
    price_low: tuple[float, ...] = ()
    """The forecast's 10 % quantile."""
    price_high: tuple[float, ...] = ()
    """The forecast's 90 % quantile."""
    currency: Currency


MarketRecord = Gate | Clearing | Award | Refusal | Delivery | Shortfall | PlanView
"""What topic ``market.awards`` carries."""
