"""What the Autobidder earns on recorded prices, as a share of perfect foresight.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.backtests ../shared/data    # about an hour

A battery of 1 MW and 2 MWh with a round trip of 85 %. Day-ahead (hourly prices of DE and NP): own
forecasts, the simplest ones, and those published with the prices, each with every kind of order
(a group of exclusive schedules is an upper estimate), on the two years of the published ones; the
years before them train. Their times are of the CPU, the forecast's included.
Dispatch at 5 minutes (AEMO, SA1 and NSW1, five months' recorded days): energy alone, and energy
with regulation, whose uplift is compared with that of perfect foresight.
"""

import argparse
import gzip
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vpp_streams.cli.screens.backtest import share_text
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.report import PriceReading
from vpp_streams.domain.market.backtest.day_bids import Strategy
from vpp_streams.domain.market.backtest.days import Forecaster, walk_days
from vpp_streams.domain.market.backtest.delivery import Fleet
from vpp_streams.domain.market.backtest.result import Summary
from vpp_streams.domain.market.backtest.run import walk
from vpp_streams.domain.market.backtest.setting import rules_of
from vpp_streams.domain.market.forecast import day_ahead as ahead
from vpp_streams.domain.market.forecast.boosted import Boosted
from vpp_streams.domain.market.forecast.days import Days, naive, profile
from vpp_streams.domain.market.forecast.series import Series
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import Storage

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
    """Energy alone, and with regulation."""
    file = data / "nem_5min_prices_fcas" / "DISPATCHPRICE.csv"
    reading = read_price_file(file.read_bytes(), name=file.name, zone=zone)
    prices = reading.prices[zone]
    rules, auction = rules_of(prices, reading.report.format)
    found = []
    for name, traded in (
        ("energy", replace(rules, products=("energy",), co_optimised=False)),
        ("energy, regulation", rules),
    ):
        summary, _, _ = walk(
            ReplayMarket(traded, prices, auction), BATTERY, Fleet(BATTERY, 1, 1.0, 1),
            ReservePolicy(), clock=time.perf_counter,
        )  # fmt: skip
        found.append(summary)
        print(f"| {zone} | {name} | {_numbers(summary)} |", flush=True)
    alone, both = found
    uplift = (both.money - alone.money) / (both.perfect - alone.perfect)
    print(f"| {zone} | of regulation's uplift | {uplift:.1%} | | | | | |", flush=True)


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
