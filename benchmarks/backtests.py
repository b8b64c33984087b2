"""What the Autobidder earns on recorded prices, as a share of perfect foresight.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.backtests ../shared/data    # about an hour

A battery of 1 MW and 2 MWh with a round trip of 85 %. Day-ahead (hourly prices of DE and NP): own
forecasts, the simplest ones, and those published with the prices, each with every kind of order
(a group of exclusive schedules is an upper estimate), on the two years of the published ones; the
years before them train. Their times are of the CPU, the forecast's included.
Dispatch at 5 minutes (AEMO, SA1 and NSW1; days without spikes, and days of five months of
extremes): energy alone beside a plain rule of two price quantiles, and energy with regulation,
whose uplift is compared with that of perfect foresight.
"""

import argparse
import gzip
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.quantile_rule import quantile_rule_money
from schemas.market import Bid
from vpp_streams.cli.screens.backtest import share_text
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.report import PriceReading
from vpp_streams.domain.market.backtest.days import Forecaster, walk_days
from vpp_streams.domain.market.backtest.delivery import Fleet
from vpp_streams.domain.market.backtest.result import Summary, Trace
from vpp_streams.domain.market.backtest.run import walk
from vpp_streams.domain.market.backtest.setting import rules_of
from vpp_streams.domain.market.day_ahead.day_bids import Strategy
from vpp_streams.domain.market.forecast import day_ahead as ahead
from vpp_streams.domain.market.forecast.boosted import Boosted
from vpp_streams.domain.market.forecast.days import Days, naive, profile
from vpp_streams.domain.market.forecast.series import Series
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage

PUBLISHED = ("LEAR Ensemble", "DNN Ensemble")
SERIES = {
    "DE": ("Ampirion Load Forecast", "PV+Wind Forecast"),
    "NP": ("Grid load forecast", "Wind power forecast"),
}
"""Columns that were known before the gate."""
BATTERY = Storage(2e6, 1e6, 1e6, 0.85**0.5, 0.85**0.5)
DAY_MS = 86_400_000
STRATEGIES: tuple[Strategy, ...] = ("hourly", "loop", "exclusive")


def day_ahead(data: Path, zone: str) -> None:
    """A row for each forecast of a zone and kind of order, on the days of published forecasts."""
    published = _read(data / "epf_day_ahead_hourly" / f"{zone}.csv", zone, PUBLISHED)
    names = SERIES[zone]
    reading = _read(data / "epf_day_ahead_exogenous" / f"{zone}.csv.gz", zone, names)
    prices, first_ms = reading.prices[zone], int(published.prices[zone].start_ms[0])
    rules, auction = rules_of(prices, reading.report.format)
    before = int(first_ms - prices.start_ms[0]) // DAY_MS
    series = {name: Series(prices.start_ms, reading.extra[zone][name]) for name in names}

    def as_published(column: str) -> Forecaster:
        by_day = published.extra[zone][column].reshape(-1, 24)

        def forecast(days: Days) -> Floats:
            day = len(days.values) - before
            row: Floats = by_day[day] if day >= 0 else naive(days)
            return row

        return forecast

    forecasters: dict[str, tuple[Forecaster, Mapping[str, Series]]] = {
        "naive (yesterday)": (naive, {}),
        "mean of 7 days": (profile, {}),
        "own, prices alone": (ahead.day_ahead, {}),
        "own, load and wind": (ahead.day_ahead, series),
        "own with trees": (Boosted(), series),
        **{f"published {column}": (as_published(column), {}) for column in PUBLISHED},
    }
    for name, (forecaster, known_before) in forecasters.items():
        once = _remembered(forecaster)
        for strategy in STRATEGIES:
            summary, _, _ = walk_days(
                ReplayMarket(rules, prices, auction), BATTERY, Fleet(BATTERY, 1, 1.0, 1), once,
                lambda start_ms: (start_ms // DAY_MS + 3) % 7, clock=time.process_time,
                known_before=known_before, first_ms=first_ms, strategy=strategy,
            )  # fmt: skip
            print(f"| {zone} | {name}, {strategy} | {_numbers(summary)} |", flush=True)


def _remembered(forecaster: Forecaster) -> Forecaster:
    """The same forecasts, made once for all kinds of orders."""
    made: dict[int, Floats] = {}

    def forecast(days: Days) -> Floats:
        if len(days.values) not in made:
            made[len(days.values)] = forecaster(days)
        return made[len(days.values)]

    return forecast


def _read(file: Path, zone: str, columns: tuple[str, ...]) -> PriceReading:
    data = file.read_bytes()
    data = gzip.decompress(data) if file.suffix == ".gz" else data
    return read_price_file(data, name=file.name, zone=zone, currency="EUR", extra=columns)


def dispatch(data: Path, zone: str) -> None:
    """Energy alone on both sets of days, by stretch too, and with regulation."""
    _energy_alone(data, "nem_5min_calm", zone)
    alone = _energy_alone(data, "nem_5min_prices_fcas", zone)
    prices, rules = _recorded(data / "nem_5min_prices_fcas", zone)
    both, _, _ = _walked(rules, prices)
    print(f"| {zone} | energy, regulation | {_numbers(both)} |", flush=True)
    uplift = (both.money - alone.money) / (both.perfect - alone.perfect)
    print(f"| {zone} | of regulation's uplift | {uplift:.1%} | | | | | |", flush=True)


def _energy_alone(data: Path, folder: str, zone: str) -> Summary:
    """Rows of energy alone on a set of days, complete and by stretch."""
    prices, rules = _recorded(data / folder, zone)
    energy = replace(rules, products=("energy",), co_optimised=False)
    summary, trace, _ = _walked(energy, prices)
    print(f"| {zone} | energy, {folder} | {_numbers(summary)} |", flush=True)
    _print_stretches(zone, prices, trace, quantile_rule_money(prices, energy, BATTERY))
    return summary


def _recorded(folder: Path, zone: str) -> tuple[Prices, MarketRules]:
    file = folder / "DISPATCHPRICE.csv"
    reading = read_price_file(file.read_bytes(), name=file.name, zone=zone)
    prices = reading.prices[zone]
    rules, _ = rules_of(prices, reading.report.format)
    return prices, rules


def _walked(rules: MarketRules, prices: Prices) -> tuple[Summary, Trace, tuple[Bid, ...]]:
    return walk(
        ReplayMarket(rules, prices), BATTERY, Fleet(BATTERY, 1, 1.0, 1),
        ReservePolicy(), clock=time.perf_counter,
    )  # fmt: skip


def _print_stretches(zone: str, prices: Prices, trace: Trace, by_rule: Floats) -> None:
    """Shares of perfect foresight of the bids and of the two-quantile rule, complete and by
    stretch without a gap."""
    every = slice(0, len(trace.start_ms))
    for rows in (every, *prices.runs()):
        known = np.isin(trace.start_ms, prices.start_ms[rows])
        perfect = trace.perfect_money[known].sum()
        first = np.datetime_as_string(prices.start_ms[rows][0].astype("datetime64[ms]"), "D")
        print(f"| {zone} | {'all' if rows is every else f'from {first}'}: bids, two-quantile rule |"
              f" {trace.money[known].sum() / perfect:.1%}, {by_rule[rows].sum() / perfect:.1%}"
              " | | | | | |", flush=True)  # fmt: skip


def _numbers(summary: Summary) -> str:
    return (
        f"{share_text(summary.share)} | {share_text(summary.share_calm)} | {summary.money:,.0f}"
        f" {summary.currency} | {summary.per_kw_month:.2f} | {summary.breaches}"
        f" | {summary.solve_p50_ms:.1f} / {summary.solve_p99_ms:.1f}"
    )


def main() -> None:
    """Print a table of them all."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("data", type=Path, help="folder with the recorded prices")
    args = options.parse_args()
    print("| zone | what | of perfect foresight | days without a price above 300 | earned"
          " | per kW and month | limits broken | solve p50 / p99, ms |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for zone in ("DE", "NP"):
        day_ahead(args.data, zone)
    for zone in ("SA1", "NSW1"):
        dispatch(args.data, zone)


if __name__ == "__main__":
    main()
