"""Prices, offers, awards, and what was delivered of them."""

from schemas.grid import PriceSeries
from schemas.market import Bid, Clearing, DeliveryRecord, Gate, MarketTopicRecord, PlanView
from schemas.orders import OrderBook
from schemas.published import PublishedSeries
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka.topic import Key, Topic, by

MARKET_PRICES = Topic[PriceSeries](
    "market.prices",
    "the newest prices by region",
    PriceSeries,
    by("region"),
    partitions=1,
    partition="single",
    keep="compact",
)
MARKET_BIDS = Topic[Bid](
    "market.bids",
    "what we offer, an interval each",
    Bid,
    by("bid_id"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)


def _award_key(record: MarketTopicRecord) -> str:
    match record:
        case Gate() | Clearing():
            return record.market
        case PlanView():
            return _plan_key(record)
        case _:
            return record.bid_id


def _plan_key(plan: PlanView) -> str:
    return f"plan:{plan.market}:{plan.region}"


MARKET_AWARDS = Topic[MarketTopicRecord](
    "market.awards",
    "gates, clearing prices, and the outcome of each bid. Only markets write here; deliveries,"
    " shortfalls and plans of older versions are still read until retention has deleted them",
    MarketTopicRecord,
    Key("bid_id, or the market of a gate or clearing", _award_key),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
MARKET_DELIVERIES = Topic[DeliveryRecord](
    "market.deliveries",
    "what was delivered of each award, and power that will be missing",
    DeliveryRecord,
    by("bid_id"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
MARKET_PLANS = Topic[PlanView](
    "market.plans",
    "the plan and price forecast behind each bid",
    PlanView,
    Key("plan:market:region", _plan_key),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
MARKET_ORDERS = Topic[OrderBook](
    "market.orders",
    "what we offer into day-ahead auctions, a day each",
    OrderBook,
    by("book_id"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
    timed_by_broker=True,
)
MARKET_PUBLISHED = Topic[PublishedSeries](
    "market.published",
    "forecasts that others publish about a market: of its prices, load, wind and solar power",
    PublishedSeries,
    Key("market:kind", lambda series: f"{series.market}:{series.kind}"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
    timed_by_broker=True,
)
