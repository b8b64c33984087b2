"""A region's intervals in figures: columns for charts, the last day's totals, states of bids."""

from collections import Counter
from itertools import accumulate

from vpp_streams.domain.market.delivery import delivery_error
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.serving.market_model import Book, Interval, Region
from vpp_streams.serving.market_views import BidState, Intervals, MarketTotals

_NOTHING = Interval()


def columns(kept: Region, book: Book, since_ms: int) -> Intervals:
    """Columns of the intervals from ``since_ms`` on; some have only a price."""
    mine = {s: i for s, i in kept.intervals.items() if _is_of(i, book)}
    starts = sorted(start for start in book.prices.keys() | mine.keys() if start >= since_ms)
    rows = [mine.get(start, _NOTHING) for start in starts]
    forecasts = [row.forecast for row in rows]
    money = [row.delivery.money if row.delivery else None for row in rows]
    sums = accumulate(earned or 0.0 for earned in money)
    return Intervals(
        start_ms=starts,
        price=[price(start, row, book) for start, row in zip(starts, rows, strict=True)],
        price_low=[forecast.low if forecast else None for forecast in forecasts],
        price_mid=[_expected_price(row) for row in rows],
        price_high=[forecast.high if forecast else None for forecast in forecasts],
        plan_w=[_planned_w(row) for row in rows],
        awarded_w=[row.award.energy_w if row.award else None for row in rows],
        measured_w=[measured_w(row) for row in rows],
        money=money,
        money_sum=[
            None if earned is None else round(total, 6)
            for earned, total in zip(money, sums, strict=True)
        ],
        missing_w=[row.missing_w if row.shortfall else None for row in rows],
        rung=[row.bid.rung if row.bid else None for row in rows],
    )


def totals(kept: Region, book: Book, now_ms: int) -> MarketTotals:
    """The last day in figures."""
    mine = {start: i for start, i in kept.intervals.items() if start > now_ms - DAY_MS}
    forecast_error, forecast_inside = _forecast_scores(mine, book)
    return MarketTotals(
        money=money_of_day(kept, now_ms),
        bids=sum(i.bid is not None for i in mine.values()),
        awards=sum(i.award is not None for i in mine.values()),
        refused=sum(i.refusal is not None for i in mine.values()),
        delivered=sum(i.delivery is not None for i in mine.values()),
        short=sum(i.missing_w != 0 and not i.overridden for i in mine.values()),
        delivery_error=delivery_error(i.delivery for i in mine.values() if i.delivery),
        forecast_error=forecast_error,
        forecast_inside=forecast_inside,
        rungs=dict(Counter(i.bid.rung for i in mine.values() if i.bid)),
    )


def money_of_day(kept: Region, now_ms: int) -> float:
    """What a region earned in the last day."""
    of_day = (i.delivery for start, i in kept.intervals.items() if start > now_ms - DAY_MS)
    return sum(delivery.money for delivery in of_day if delivery is not None)


def price(start_ms: int, interval: Interval, book: Book) -> float | None:
    """Clearing price of energy; None = not known."""
    if interval.award is not None and "energy" in interval.award.prices:
        return interval.award.prices["energy"]
    return book.prices.get(start_ms)


def measured_w(interval: Interval) -> float | None:
    """Mean power that was delivered; None = not measured, or not yet."""
    delivery = interval.delivery
    return delivery.measured_w if delivery is not None and delivery.coverage > 0 else None


def state(interval: Interval, now_ms: int) -> BidState:
    """The stage that a bid has reached."""
    if interval.delivery is not None:
        return "delivered"
    if interval.outcome is not None:
        return "awarded" if interval.award is not None else "refused"
    bid = interval.bid
    return "open" if bid is not None and now_ms < bid.gate_ms else "closed"


def _is_of(interval: Interval, book: Book) -> bool:
    """Whether its length is the market's current one: others would overlap in a chart."""
    record = interval.bid or interval.award or interval.delivery
    return record is None or record.interval_ms == book.interval_ms


def _planned_w(interval: Interval) -> float | None:
    if interval.planned_w is not None or interval.bid is None:
        return interval.planned_w
    bid = interval.bid
    return bid.plan_w[0] if bid.plan_w else bid.expected_w


def _expected_price(interval: Interval) -> float | None:
    if interval.forecast is not None:
        return interval.forecast.mid
    return interval.bid.expected_price if interval.bid is not None else None


def _forecast_scores(mine: dict[int, Interval], book: Book) -> tuple[float | None, float | None]:
    """Mean error of the forecasts, and the share of prices within their bands."""
    off, inside = list[float](), list[bool]()
    for start_ms, interval in mine.items():
        cleared, forecast = price(start_ms, interval, book), interval.forecast
        if cleared is None or forecast is None:
            continue
        off.append(abs(cleared - forecast.mid))
        if forecast.low is not None and forecast.high is not None:
            inside.append(forecast.low <= cleared <= forecast.high)
    return _mean(off), _mean(inside)


def _mean(values: list[float] | list[bool]) -> float | None:
    return sum(values) / len(values) if values else None
