"""Walk forward through a day-ahead auction: forecast a day, plan it, bid it, deliver it.

Each day is one auction that begins and ends with an empty storage, so days can be compared with
each other and with what was published elsewhere; so does perfect foresight. A day without all
its prices is left out. A forecast of it knows the prices of the days before, and the series that
were known before its gate.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.market import Bid
from vpp_streams.domain.arrays import Floats, Ints
from vpp_streams.domain.market.backtest.delivery import Fleet, Given
from vpp_streams.domain.market.backtest.foresight import best_plan, plan_money
from vpp_streams.domain.market.backtest.result import Summary, Trace, Yardsticks, summarise
from vpp_streams.domain.market.backtest.run import REGION, WalkRecord
from vpp_streams.domain.market.bids import fixed_offer
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.forecast.days import Days, error_quantiles
from vpp_streams.domain.market.forecast.series import Series
from vpp_streams.domain.market.plan.model import PlanModel
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.rules import Prices, Storage
from vpp_streams.domain.moments import DAY_MS

Forecaster = Callable[[Days], Floats]
ERROR_DAYS = 56
"""Days whose forecast errors the quantiles are estimated from."""
NO_SERIES: Mapping[str, Series] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class DayPrices:
    """Recorded prices as days by slots."""

    days: Days
    begins_ms: NDArray[np.int64]
    """Start of each day."""


def by_days(
    prices: Prices,
    begins_ms: int,
    kind_of: Callable[[int], int],
    known_before: Mapping[str, Series],
) -> DayPrices:
    """Prices as whole days from the first to the last; ``kind_of`` a day's start is its weekday."""
    day = (prices.start_ms - begins_ms) // DAY_MS
    first, last = int(day[0]), int(day[-1])
    starts = np.arange(first, last + 2, dtype=np.int64) * DAY_MS + begins_ms

    def rows(start_ms: Ints, values: Floats) -> Floats:
        found = np.full((len(starts), DAY_MS // prices.interval_ms), np.nan)
        day, ms = np.divmod(start_ms - starts[0], DAY_MS)
        here = (day >= 0) & (day < len(starts)) & (ms % prices.interval_ms == 0)
        found[day[here], ms[here] // prices.interval_ms] = values[here]
        return found

    kinds = np.array([kind_of(int(start)) for start in starts], np.int64)
    series = {name: rows(each.start_ms, each.values) for name, each in known_before.items()}
    return DayPrices(Days(rows(prices.start_ms, prices.energy)[:-1], kinds, series), starts)


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
) -> tuple[Summary, Trace, tuple[Bid, ...]]:
    """Bid for every complete day but the first; see `walk` for the result.

    ``known_before`` has series by name, by the prices' intervals, that were known of a day before
    its gate. Days that begin before ``first_ms`` are not bid for: they only train the forecast.
    """
    rules, rows, perfect = market.rules, WalkRecord(), list[float]()
    # Day-ahead bids do not depend on what was delivered, so the same ones serve a reliable fleet.
    reliable = rows if fleet.always_answers else WalkRecord()
    recorded = by_days(market.recorded, market.day_begins_ms, kind_of, known_before)
    model, solve_ms = PlanModel(), list[float]()
    values = recorded.days.values
    forecasts = np.full_like(values, np.nan)
    first = 1 if first_ms is None else max(int(np.searchsorted(recorded.begins_ms, first_ms)), 1)
    for day in range(max(first - ERROR_DAYS, 1), len(values)):
        began_s = clock()
        known = recorded.days.known(day)
        forecasts[day] = expected = forecast(known)
        on_day()
        if day < first or not np.isfinite(values[day]).all() or not np.isfinite(expected).all():
            continue
        lately = slice(max(day - ERROR_DAYS, 0), day)
        bands = error_quantiles(expected, forecasts[lately], values[lately], (0.1, 0.9))
        day_ms = int(recorded.begins_ms[day])
        known_day = _priced(market.recorded, day_ms, expected)
        plan = best_plan(model, known_day, rules, storage, 0.0, final_wh=0.0)
        solve_ms.append((clock() - began_s) * 1e3)
        bids = _bids(market, known_day, plan.power_w, plan.how)
        _deliver(market, fleet, bids, rows)
        if reliable is not rows:
            _deliver(market, fleet.reliable(), bids, reliable)
        rows.low += bands[0.1].tolist()
        rows.high += bands[0.9].tolist()
        true_day = _priced(market.recorded, day_ms, values[day])
        best = best_plan(PlanModel(), true_day, rules, storage, 0.0, final_wh=0.0)
        perfect += plan_money(best, true_day, rules, storage).tolist()
    if not rows.bids:
        raise ValueError("there is no whole day with prices to bid for, after the first")
    trace = rows.trace(perfect)
    rungs: Counter[str] = Counter(bid.rung for bid in rows.bids)
    # The plan of a day is exact: with its prices known it is perfect foresight.
    others = Yardsticks(planner=float(sum(perfect)), reliable=reliable.money)
    summary = summarise(trace, rules, storage, others=others, solve_ms=solve_ms, rungs=rungs)
    return summary, trace, tuple(rows.bids)


def _priced(recorded: Prices, day_ms: int, energy: Floats) -> Prices:
    starts = day_ms + np.arange(len(energy), dtype=np.int64) * recorded.interval_ms
    return Prices(
        recorded.zone, recorded.currency, recorded.interval_ms, starts, {"energy": energy}
    )


def _bids(market: ReplayMarket, expected: Prices, power_w: Floats, how: str) -> list[Bid]:
    """A bid for each interval of a day: the planned power, at any price."""
    bids = []
    for start_ms, price, planned in zip(
        expected.start_ms.tolist(), expected.energy.tolist(), power_w.tolist(), strict=True
    ):
        inputs = CycleInputs(
            rules=market.rules,
            region=REGION,
            start_ms=start_ms,
            now_ms=start_ms - market.rules.gate_ms,
            history=expected.cut(slice(0, 0)),
            storage=None,
            stored_wh=None,
        )
        bids.append(
            msgspec.structs.replace(
                safe_bid(inputs, ()),
                rung="warm_lp" if how == "warm" else "fresh_lp",
                energy=fixed_offer(planned),
                expected_w=planned,
                expected_price=price,
            )
        )
    return bids


def _deliver(market: ReplayMarket, fleet: Fleet, bids: list[Bid], rows: WalkRecord) -> None:
    stored_wh = 0.0
    for bid in bids:
        award = market.clear(bid, bid.gate_ms)
        given: Given = fleet.deliver(award, stored_wh, market.rules)
        stored_wh = given.stored_wh
        rows.bids.append(bid)
        rows.price.append(award.prices["energy"])
        rows.given.append(given)
