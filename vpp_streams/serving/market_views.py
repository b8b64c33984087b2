"""The API's answers about markets: prices, bids, awards, deliveries and money.

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
    """Start of the newest interval with a bid."""
    money: float
    """Earned in the last day."""
    missing_w: float
    """Awarded power that will be missing in intervals that are not over: the sum over sales and
    purchases."""


class MarketNow(msgspec.Struct, frozen=True, kw_only=True):
    """A market and the regions that bid into it."""

    market: str
    currency: str | None
    """ISO code; null = no record with a currency yet."""
    interval_ms: int
    newest_price_ms: int | None
    """Start of the newest interval whose price is known."""
    newest_price: float | None
    gate_ms: int | None
    """Closing time of the open gate; null = none is open."""
    regions: list[MarketRegion]


class MarketList(msgspec.Struct, frozen=True, kw_only=True):
    """Every market with a record in the last day."""

    at_ms: int
    markets: list[MarketNow]


class Intervals(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals as columns of one length, oldest first; null = not known."""

    start_ms: list[int]
    price: list[float | None]
    """Clearing price of energy."""
    price_low: list[float | None]
    """10 % quantile of the forecast before the gate."""
    price_mid: list[float | None]
    price_high: list[float | None]
    """90 % quantile of the forecast before the gate."""
    plan_w: list[float | None]
    awarded_w: list[float | None]
    measured_w: list[float | None]
    """Mean battery power over the covered part of the interval."""
    money: list[float | None]
    """Earned in the interval."""
    money_sum: list[float | None]
    """Earned in this and the intervals before it, of those that are listed."""
    missing_w: list[float | None]
    """Power of the award that will be missing; null = no shortfall was reported."""
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
    """Intervals with a reported shortfall that was not withdrawn and is the fleet's."""
    delivery_error: float | None
    """Sum of deviations from awards / sum of awards, without time that other requests overrode;
    null = nothing was awarded."""
    forecast_error: float | None
    """Mean absolute error of the price forecasts."""
    forecast_inside: float | None
    """Share of prices between the 10 % and 90 % quantiles that were forecast: 0.8 is right."""
    rungs: dict[Rung, int]
    """Number of bids by the rung that decided them."""


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
    """The outcome of a bid."""

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
    """Power of the award that will be missing, with its sign; 0 = none."""
    reason: str
    """The reason of a refusal; empty = not refused."""
    faults: tuple[str, ...]


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """A region in a market: the intervals, the open offers, and the plan ahead."""

    market: str
    region: str
    currency: str
    interval_ms: int
    intervals: Intervals
    plan: PlanView | None
    """The newest plan and forecast, from the interval of its bid on."""
    offers: list[OfferRow]
    """Bids without an outcome, newest first."""
    awards: list[AwardRow]
    """The newest outcomes, newest first."""
    totals: MarketTotals


class BidView(msgspec.Struct, frozen=True, kw_only=True):
    """A bid with its outcome and delivery."""

    bid_id: str
    state: BidState
    bid: Bid | None
    """null = it is older than the records that this process has read."""
    award: Award | None
    refusal: Refusal | None
    delivery: Delivery | None
    shortfall: Shortfall | None
    """The newest shortfall."""
    price: float | None
    """Clearing price of energy, whether or not the bid was accepted."""
