"""What the API answers about markets: prices, bids, awards, deliveries and money.

Power + = export (sold), - = import (bought); prices per MWh, of capacity per MW and hour.
"""

from typing import Literal

import msgspec

from schemas.market import (
    Award,
    Bid,
    CapacityOffer,
    Delivery,
    EnergyOffer,
    PlanView,
    Product,
    Refusal,
    Rung,
    Shortfall,
)

BidState = Literal["open", "closed", "awarded", "refused", "delivered"]


class MarketRegion(msgspec.Struct, frozen=True, kw_only=True):
    """A region in a market."""

    region: str
    newest_start_ms: int | None
    """Start of the newest interval that was bid for."""
    money: float
    """Earned in the last day."""
    missing_w: float
    """Awarded power that will not be delivered, as last told of intervals that are not over: the
    sum of what is missing of sales and of purchases."""


class MarketNow(msgspec.Struct, frozen=True, kw_only=True):
    """A market and who bids into it."""

    market: str
    currency: str | None
    """null = nothing that has one was heard yet."""
    interval_ms: int
    newest_price_ms: int | None
    """Start of the newest interval whose price is known."""
    newest_price: float | None
    gate_ms: int | None
    """When the gate that is open closes; null = none is open."""
    regions: list[MarketRegion]


class MarketList(msgspec.Struct, frozen=True, kw_only=True):
    """Every market that was heard of in the last day."""

    at_ms: int
    markets: list[MarketNow]


class Intervals(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals as columns of one length, oldest first; null = not known."""

    start_ms: list[int]
    price: list[float | None]
    """Clearing price of energy."""
    price_low: list[float | None]
    """What was forecast before the gate: its 10 % quantile."""
    price_mid: list[float | None]
    price_high: list[float | None]
    """Its 90 % quantile."""
    plan_w: list[float | None]
    awarded_w: list[float | None]
    measured_w: list[float | None]
    """Mean battery power over the covered part of the interval."""
    money: list[float | None]
    """Earned in the interval."""
    money_sum: list[float | None]
    """Earned in this and the intervals before it, of those that are listed."""
    missing_w: list[float | None]
    """Of the award, as last told; null = no shortfall was announced."""
    rung: list[Rung | None]


class MarketTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The last day in figures."""

    money: float
    bids: int
    awards: int
    refused: int
    delivered: int
    """Intervals that are over and accounted for."""
    short: int
    """Intervals for which a shortfall was announced and not taken back."""
    delivery_error: float | None
    """Sum of what awards and deliveries differ by / sum of awards; null = nothing was awarded."""
    forecast_error: float | None
    """Mean of what prices and their forecasts differ by."""
    forecast_inside: float | None
    """Share of prices between the 10 % and 90 % quantiles that were forecast: 0.8 is right."""
    rungs: dict[Rung, int]
    """How the bids were decided: their number by rung."""


class OfferRow(msgspec.Struct, frozen=True, kw_only=True):
    """A bid that has no outcome yet."""

    bid_id: str
    start_ms: int
    gate_ms: int
    rung: Rung
    energy: EnergyOffer
    capacity: tuple[CapacityOffer, ...]
    expected_w: float
    expected_price: float | None
    stored_wh: float | None
    up_w: float
    down_w: float
    withheld_w: float
    withheld_cost: float
    slacks: dict[str, float]
    faults: tuple[str, ...]
    solve_ms: float


class AwardRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a bid came to."""

    bid_id: str
    start_ms: int
    state: BidState
    rung: Rung | None
    price: float | None
    expected_price: float | None
    awarded_w: float | None
    capacity_w: dict[Product, float]
    measured_w: float | None
    coverage: float | None
    money: float | None
    missing_w: float
    """Of the award's sign; 0 = no shortfall stands."""
    reason: str
    """Why it was refused."""
    faults: tuple[str, ...]


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """A region in a market: the intervals, the offers that are open, and the plan ahead."""

    market: str
    region: str
    currency: str
    interval_ms: int
    intervals: Intervals
    plan: PlanView | None
    """The newest plan and forecast, from the interval on that it was made for."""
    offers: list[OfferRow]
    """Bids without an outcome, newest first."""
    awards: list[AwardRow]
    """The newest outcomes, newest first."""
    totals: MarketTotals


class BidView(msgspec.Struct, frozen=True, kw_only=True):
    """A bid with all that became of it."""

    bid_id: str
    state: BidState
    bid: Bid | None
    """null = it was made before what this process has read."""
    award: Award | None
    refusal: Refusal | None
    delivery: Delivery | None
    shortfall: Shortfall | None
    """The newest that was told."""
    price: float | None
    """Clearing price of energy, whether or not anything was taken."""
