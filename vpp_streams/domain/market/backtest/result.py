"""What a backtest found: interval by interval, and summed up."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.forecast.scores import coverage, mean_absolute_error, pinball
from vpp_streams.domain.market.rules import MarketRules, Storage
from vpp_streams.domain.market.value import W_PER_MW
from vpp_streams.domain.moments import HOUR_MS

MONTH_H = 730.5
NOTHING = 1e-9
"""Money that is a rounding error."""
CALM_PRICE = 300.0
"""Days without an interval above this price per MWh are calm."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One value per interval, in order of time."""

    start_ms: NDArray[np.int64]
    day: NDArray[np.int64]
    """Local day of the market's zone."""
    price: Floats
    awarded_w: Floats
    """Energy, with what regulation is expected to call for."""
    delivered_w: Floats
    stored_wh: Floats
    """At the interval's end."""
    money: Floats
    """Earned by delivery, less wear and the cost of imbalances."""
    imbalance_cost: Floats
    perfect_money: Floats
    """Of the best that could have been done, had all prices been known."""
    forecast: Floats
    """Expected price when the bid was made."""
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Regret:
    """Where the money went that perfect foresight would have made; the parts add up."""

    forecast: float
    """Not knowing the prices."""
    solver: float
    """Seeing only as far as the plan's horizon, in its steps, with all prices known."""
    delivery: float
    """Devices that did not always answer: what was sold and not given, and less sold for it."""


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """What others make of the same prices."""

    planner: float
    """A planner with our horizon and steps that knows all prices."""
    reliable: float
    """We, with a fleet whose devices always answer."""
    overnight: float
    """Perfect foresight that keeps energy from one day to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of the walk without a gap, from its first interval's start to its last's."""

    first_ms: int
    last_ms: int
    intervals: int
    money: float
    perfect: float
    share: float | None
    """Of perfect foresight; None = not defined, as that earns nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A backtest in numbers; money in ``currency``."""

    currency: str
    intervals: int
    hours: float
    money: float
    perfect: float
    share: float | None
    """Of perfect foresight; at most 1. None = not defined, as that earns nothing."""
    share_calm: float | None
    """As above, of the days without an interval above 300 per MWh."""
    perfect_overnight: float
    """Perfect foresight that keeps energy overnight; equal to ``perfect`` where the walk does."""
    stretches: tuple[Stretch, ...]
    imbalance_cost: float
    """What was awarded and not given cost, beyond the interval's price."""
    per_kw_month: float
    regret: Regret
    cycles: float
    """Energy discharged, in full storages."""
    breaches: int
    """Intervals that left the limits of energy or power: a bug."""
    solve_p50_ms: float
    solve_p99_ms: float
    rungs: dict[str, int]
    forecast_error: float
    """Mean absolute error of the next interval's price (a day auction: of the day's)."""
    inside: float
    """Share of prices between the 10 % and 90 % quantile; NaN = no quantiles."""
    pinball: float
    """Mean pinball loss of these two quantiles, per MWh; NaN = no quantiles."""


def summarise(
    trace: Trace,
    rules: MarketRules,
    storage: Storage,
    *,
    others: Yardsticks,
    solve_ms: list[float],
    rungs: Counter[str],
) -> Summary:
    """Sum up a trace."""
    money, perfect = float(trace.money.sum()), float(trace.perfect_money.sum())
    calm = ~np.isin(trace.day, trace.day[trace.price > CALM_PRICE])
    hours = len(trace.price) * rules.interval_ms / HOUR_MS
    power_kw = max(storage.discharge_w, storage.charge_w) / 1e3
    quantiles = bool(np.isfinite(trace.low).all())
    return Summary(
        currency=rules.currency,
        intervals=len(trace.price),
        hours=hours,
        money=money,
        perfect=perfect,
        share=share_of(money, perfect),
        share_calm=share_of(float(trace.money[calm].sum()), float(trace.perfect_money[calm].sum())),
        perfect_overnight=others.overnight,
        stretches=_stretches(trace, rules),
        imbalance_cost=float(trace.imbalance_cost.sum()),
        per_kw_month=money / power_kw / (hours / MONTH_H),
        regret=Regret(
            forecast=others.planner - others.reliable,
            solver=perfect - others.planner,
            delivery=others.reliable - money,
        ),
        cycles=_cycles(trace, rules, storage),
        breaches=_breaches(trace, storage),
        solve_p50_ms=float(np.quantile(solve_ms, 0.5)),
        solve_p99_ms=float(np.quantile(solve_ms, 0.99)),
        rungs=dict(sorted(rungs.items())),
        forecast_error=mean_absolute_error(trace.price, trace.forecast),
        inside=coverage(trace.price, trace.low, trace.high) if quantiles else float("nan"),
        pinball=_pinball(trace) if quantiles else float("nan"),
    )


def _pinball(trace: Trace) -> float:
    low, high = pinball(trace.price, trace.low, 0.1), pinball(trace.price, trace.high, 0.9)
    return (low + high) / 2


def share_of(money: float, perfect: float) -> float | None:
    """Share of perfect foresight; None where that earns nothing that could be shared."""
    return money / perfect if perfect > NOTHING else None


def _stretches(trace: Trace, rules: MarketRules) -> tuple[Stretch, ...]:
    begins = np.flatnonzero(np.diff(trace.start_ms, prepend=np.int64(-1)) != rules.interval_ms)
    found = []
    for first, stop in pairwise((*begins.tolist(), len(trace.start_ms))):
        money = float(trace.money[first:stop].sum())
        perfect = float(trace.perfect_money[first:stop].sum())
        found.append(
            Stretch(
                first_ms=int(trace.start_ms[first]),
                last_ms=int(trace.start_ms[stop - 1]),
                intervals=stop - first,
                money=money,
                perfect=perfect,
                share=share_of(money, perfect),
            )
        )
    return tuple(found)


def _cycles(trace: Trace, rules: MarketRules, storage: Storage) -> float:
    given_wh = np.maximum(trace.delivered_w, 0).sum() * rules.interval_h
    return float(given_wh / storage.discharge_efficiency / storage.energy_wh)


def _breaches(trace: Trace, storage: Storage) -> int:
    near_w, near_wh = 1e-6 * W_PER_MW, 1e-6 * storage.energy_wh
    wrong = (trace.delivered_w > storage.discharge_w + near_w) | (
        trace.delivered_w < -storage.charge_w - near_w
    )
    wrong |= (trace.stored_wh < -near_wh) | (trace.stored_wh > storage.energy_wh + near_wh)
    return int(wrong.sum())
