"""Walk forward through a day-ahead auction: forecast a day, plan it, bid it, deliver it.

Each day begins and ends with an empty storage, so that days can be compared with each other and
with what was published elsewhere; or, with ``overnight``, energy is kept from one day to the next,
and a stretch of days without a gap begins and ends empty. Perfect foresight keeps the same rule.
A day without all its prices is left out. A forecast of a day knows the prices of the days before
it, and the series that were known before its gate.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.backtest.day_walk import ERROR_DAYS, DayForecasts, DayWalker
from vpp_streams.domain.market.backtest.delivery import Fleet
from vpp_streams.domain.market.backtest.foresight import perfect_money
from vpp_streams.domain.market.backtest.result import Summary, Trace, Yardsticks, summarise
from vpp_streams.domain.market.backtest.run import REGION
from vpp_streams.domain.market.day_ahead.day_bids import DayBidder, Strategy, best_strategy
from vpp_streams.domain.market.day_ahead.day_prices import DayPrices, by_days
from vpp_streams.domain.market.day_orders import DayOrders
from vpp_streams.domain.market.forecast.days import Days
from vpp_streams.domain.market.forecast.series import Series
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.rules import Storage

Forecaster = Callable[[Days], Floats]
NO_SERIES: Mapping[str, Series] = MappingProxyType({})


def walk_days(
    market: ReplayMarket,
    storage: Storage,
    fleet: Fleet,
    forecast: Forecaster,
    kind_of: Callable[[int], int],
    *,
    clock: Callable[[], float],
    known_before: Mapping[str, Series] = NO_SERIES,
    first_ms: int | None = None,
    on_day: Callable[[], None] = lambda: None,
    strategy: Strategy | None = None,
    overnight: bool = False,
) -> tuple[Summary, Trace, tuple[DayOrders, ...]]:
    """Bid for every complete day but the first; see `walk` for the result.

    ``known_before`` has series by name that were known of a day before its gate. Days that begin
    before ``first_ms`` are not bid for: they only train the forecast.

    ``strategy`` None is the best of what the market takes. Raises `ValueError` where there is no
    complete day, or a group of schedules would have to value energy kept overnight.
    """
    strategy = strategy or best_strategy(market.rules)
    if overnight and strategy == "exclusive":
        raise ValueError("exclusive schedules end each day empty; leave out one of the two")
    recorded = by_days(market, kind_of, known_before)
    first = 1 if first_ms is None else max(int(np.searchsorted(recorded.begins_ms, first_ms)), 1)
    ahead = _forecast_days(recorded, forecast, max(first - ERROR_DAYS, 1), clock, on_day)
    days = np.flatnonzero(recorded.complete & ahead.known)
    days = days[days >= first]
    if not len(days):
        raise ValueError("there is no complete day with prices to bid for, after the first")
    stretches = np.split(days, np.flatnonzero(np.diff(days) > 1) + 1)
    bidder = DayBidder(market.rules, storage, strategy, REGION)
    walker = DayWalker(market, recorded, ahead, bidder, clock, overnight)
    rows, orders = walker.walk(stretches, fleet)
    reliable = rows
    if not fleet.always_answers:
        reliable, _ = walker.walk(stretches, fleet.reliable())
    kept = _perfect(market, storage, recorded, stretches)
    perfect = kept
    if not overnight:
        alone = [days[at : at + 1] for at in range(len(days))]
        perfect = _perfect(market, storage, recorded, alone, ends_empty=True)
    trace = rows.trace(perfect, market.zone)
    # The plan of a day is exact: with its prices known it is perfect foresight.
    summary = summarise(
        trace,
        market.rules,
        storage,
        others=Yardsticks(float(sum(perfect)), reliable.money, overnight=float(sum(kept))),
        solve_ms=walker.solve_ms,
        rungs=Counter(bid.rung for bid in rows.bids),
    )
    return summary, trace, tuple(orders)


def _forecast_days(
    recorded: DayPrices,
    forecast: Forecaster,
    first: int,
    clock: Callable[[], float],
    on_day: Callable[[], None],
) -> DayForecasts:
    """The forecast of each day from the ``first`` on, made from what was known before its gate."""
    ahead = DayForecasts.none(recorded.days.values)
    for day in range(first, len(recorded.complete)):
        began_s = clock()
        ahead.values[day] = forecast(recorded.days.known(day))
        ahead.spent_s[day] = clock() - began_s
        on_day()
    return ahead


def _perfect(
    market: ReplayMarket,
    storage: Storage,
    recorded: DayPrices,
    runs: list[NDArray[np.int64]],
    *,
    ends_empty: bool = False,
) -> list[float]:
    """Money of each interval with perfect foresight of each run of days, which begins empty."""
    money = list[float]()
    for run in runs:
        rows = market.recorded.cut(
            slice(int(recorded.rows[run[0]]), int(recorded.rows[run[-1] + 1]))
        )
        found = perfect_money(rows, market.rules, storage, 0.0, ends_empty=ends_empty)
        money += found.tolist()
    return money
