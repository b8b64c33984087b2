"""``vpp backtest``: what the Autobidder would have earned on recorded prices."""

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vpp_streams.cli.prices import MARKS, Decimal, price_bytes
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vpp_streams.domain.arrays import Floats
    from vpp_streams.domain.files.price_files.report import PriceReading
    from vpp_streams.domain.market.backtest.days import Forecaster
    from vpp_streams.domain.market.backtest.delivery import Fleet
    from vpp_streams.domain.market.backtest.result import Summary, Trace
    from vpp_streams.domain.market.forecast.series import Series
    from vpp_streams.domain.market.replay_market import ReplayMarket
    from vpp_streams.domain.market.reserve import ReservePolicy
    from vpp_streams.domain.market.rules import Storage

    Result = tuple[Summary, Trace]

ForecastName = Literal["lear", "profile", "naive", "boosted"]
Orders = Literal["hourly", "loop", "exclusive"]
SEED = 1


def backtest(
    market: Annotated[Path, typer.Option(help="price file: see `vpp prices`")],
    fleet: Annotated[Path, typer.Option(help="asset file of the batteries: see `vpp assets`")],
    zone: Annotated[
        str | None, typer.Option(help="which of the file's zones; needed where it has several")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="of local times in the file and of the auction's days, as Europe/Berlin"),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="of a price file that names none, such as EUR")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="of a table's energy prices, such as EUR/MWh or ct/kWh")
    ] = None,
    decimal: Annotated[
        Decimal | None, typer.Option(help="decimal mark of a table whose numbers leave it open")
    ] = None,
    efficiency: Annotated[float, typer.Option(help="round trip, 0..1", min=0.2, max=1.0)] = 0.85,
    wear: Annotated[float, typer.Option(help="cost of a cycle, per MWh given", min=0)] = 0.0,
    energy_only: Annotated[
        bool, typer.Option("--energy-only", help="without regulation, where it has prices")
    ] = False,
    reserve: Annotated[
        str, typer.Option(help="kept back: quantile:0.1, flat:0.1 or n-1:SHARE of the largest part")
    ] = "quantile:0.1",
    answers: Annotated[
        float, typer.Option(help="chance that a site answers in an interval", min=0.01, max=1.0)
    ] = 1.0,
    impact: Annotated[
        float, typer.Option(help="price falls by this much for each MW that is sold", min=0)
    ] = 0.0,
    imbalance: Annotated[
        str | None, typer.Option(help="column of the price file with imbalance prices per MWh")
    ] = None,
    orders: Annotated[
        Orders | None,
        typer.Option(
            help="of a day-ahead market; exclusive is an upper estimate", show_default="the best"
        ),
    ] = None,
    overnight: Annotated[
        bool, typer.Option("--overnight", help="keep energy from one auction day to the next")
    ] = False,
    forecast: Annotated[
        ForecastName, typer.Option(help="of a day-ahead market; boosted needs LightGBM")
    ] = "lear",
    known_before_gate: Annotated[
        list[str] | None,
        typer.Option(
            help="name of a column of the price file with what was published of a day before its"
            " gate closed, such as a load, wind or solar forecast: lear and boosted then forecast"
            " the day's prices from it too; never a measured value. May be repeated (day-ahead)"
        ),
    ] = None,
    score_from: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="first day to bid for; the days before it only train the forecast (day-ahead)",
        ),
    ] = None,
    country: Annotated[
        str | None, typer.Option(help="whose holidays count as Sundays, such as DE (day-ahead)")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="write a report with charts here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="only the numbers, as JSON")] = False,
) -> None:
    """Bid a fleet into recorded prices, walking forward, and say what it earned.

    Each bid is made from what was public before its gate. Perfect foresight is the best that the
    same batteries could have earned had all prices been known. Markets with intervals of 15
    minutes and more are taken as day-ahead auctions, in which each day begins and ends empty
    (for perfect foresight too) unless energy is kept overnight; shorter ones as they are cleared,
    interval by interval.

      vpp backtest --market DISPATCHPRICE.csv --zone SA1 --fleet docs/examples/one-megapack.yaml

      vpp backtest --market DE.csv --currency EUR --country DE --fleet FILE --html report.html

      vpp backtest --market DE.csv --currency EUR --fleet FILE --score-from 2016-01-04
      --known-before-gate "Load Forecast" --known-before-gate "Wind Forecast"
    """
    from vpp_streams.domain.files.price_files.read import read_price_file

    known_before = known_before_gate or []
    extra = (*known_before, imbalance) if imbalance else tuple(known_before)
    reading = read_price_file(
        price_bytes(market),
        name=market.name,
        zone=zone,
        time_zone=time_zone,
        currency=currency,
        unit=unit,
        decimal=decimal and MARKS[decimal],
        extra=extra,
    )
    _check(reading, market)
    storage, devices = _storage(fleet, efficiency, wear)
    replayed = _market(reading, energy_only, impact, time_zone, imbalance)
    _warn_of_days(replayed, reading, time_zone)
    answering, policy = _fleet(storage, devices, answers), _policy(reserve)
    if replayed.auction == "day":
        ahead = _DayAhead(
            forecast=_forecaster(forecast),
            kind_of=_kind_of(country, replayed),
            known_before=_series(reading, known_before),
            first_ms=None if score_from is None else _first_ms(score_from, replayed),
            orders=orders,
            overnight=overnight,
        )
        result = _walk_days(replayed, storage, answering, ahead)
    elif known_before or score_from or orders or overnight:
        raise InputError(f"{market} is no day-ahead market: its intervals are bid for one by one,"
                         " so --known-before-gate, --score-from, --orders and --overnight"
                         " mean nothing")  # fmt: skip
    else:
        result = _walk(replayed, storage, answering, policy)
    _report(result, replayed, html, as_json)


def _check(reading: "PriceReading", file: Path) -> None:
    """Print the findings of a reading on stderr; refuse one without prices of exactly one zone."""
    if reading.report.failure:
        raise InputError(f"{file}: {reading.report.failure}")
    if len(reading.prices) > 1:
        raise InputError(f"{file} has several zones; choose one with --zone: "
                         f"{', '.join(sorted(reading.prices))}")  # fmt: skip
    for finding in reading.report.findings:
        typer.echo(f"{file.name}: {finding.what} ({finding.count}): {finding.done}", err=True)


def _storage(file: Path, efficiency: float, wear: float) -> "tuple[Storage, int]":
    from dataclasses import replace

    from vpp_streams.cli.assets import read_sites
    from vpp_streams.domain.market.backtest.setting import storage_of_fleet
    from vpp_streams.domain.registry.registry import Registry

    storage, devices = storage_of_fleet(read_sites(file, Registry()), efficiency)
    if storage.energy_wh <= 0 or storage.discharge_w <= 0:
        raise InputError(f"{file}: there is no battery with energy above its reserve in it")
    return replace(storage, wear_per_mwh=wear), devices


def _market(
    reading: "PriceReading",
    energy_only: bool,
    impact: float,
    time_zone: str | None,
    imbalance: str | None,
) -> "ReplayMarket":
    from dataclasses import replace
    from zoneinfo import ZoneInfo

    from vpp_streams.domain.market.backtest.setting import rules_of
    from vpp_streams.domain.market.replay_market import ReplayMarket

    name, prices = next(iter(reading.prices.items()))
    rules, auction = rules_of(prices, reading.report.format)
    if energy_only:
        rules = replace(rules, products=("energy",), co_optimised=False)
    settled: Floats | None = None
    if imbalance is not None:
        settled = reading.extra.get(name, {}).get(imbalance)
        if settled is None:
            raise InputError(f"--imbalance {imbalance!r}: only CSV tables have further columns")
    return ReplayMarket(rules, prices, auction, impact, ZoneInfo(time_zone or "UTC"), settled)


def _warn_of_days(market: "ReplayMarket", reading: "PriceReading", time_zone: str | None) -> None:
    """Say where the auction's days are taken as those of UTC; local days of 24 hours are no doubt.

    (A file of a fixed number of hours a day over the years has local days already.)
    """
    if market.auction == "day" and time_zone is None and not reading.report.of("naive_days"):
        typer.echo(
            "the auction's days are taken to begin at midnight UTC; where they begin at another "
            "zone's, give it with --time-zone, such as Europe/Berlin",
            err=True,
        )


def _fleet(storage: "Storage", devices: int, answers: float) -> "Fleet":
    from vpp_streams.domain.market.backtest.delivery import Fleet

    return Fleet(storage, devices, answers, SEED)


def _policy(text: str) -> "ReservePolicy":
    from vpp_streams.domain.market.reserve import ReservePolicy

    kind, _, value = text.partition(":")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if 0.0 <= share < 1.0:
        if kind == "quantile":
            return ReservePolicy(kind="quantile", value=share)
        if kind == "flat":
            return ReservePolicy(kind="flat", value=share)
        if kind == "n-1":
            return ReservePolicy(kind="n_minus_1", value=share)
    raise InputError(f"--reserve {text!r}: write quantile:0.1, flat:0.1 or n-1:0.2")


def _forecaster(name: ForecastName) -> "Forecaster":
    from vpp_streams.domain.market.forecast.day_ahead import day_ahead
    from vpp_streams.domain.market.forecast.days import naive, profile

    if name == "boosted":
        try:
            from vpp_streams.domain.market.forecast.boosted import Boosted
        except ImportError:
            raise InputError(
                "--forecast boosted needs LightGBM: pip install lightgbm, or leave it out"
            ) from None
        return Boosted()
    if name == "profile":
        return profile
    return naive if name == "naive" else day_ahead


def _first_ms(day: datetime, market: "ReplayMarket") -> int:
    """The start of a local day of the market."""
    return round(day.replace(tzinfo=market.zone).timestamp() * 1000)


def _series(reading: "PriceReading", names: "Sequence[str]") -> "Mapping[str, Series]":
    """The named columns, by name."""
    from vpp_streams.domain.market.forecast.series import Series

    ((zone, prices),) = reading.prices.items()
    return {name: Series(prices.start_ms, reading.extra[zone][name]) for name in names}


def _kind_of(country: str | None, market: "ReplayMarket") -> "Callable[[int], int]":
    """A function that gives the weekday of a local day by its start; a holiday is a Sunday."""
    import holidays

    if country is None:
        known: set[object] | holidays.HolidayBase = set()
    else:
        try:
            known = holidays.country_holidays(country.upper())
        except NotImplementedError:
            raise InputError(f"--country {country!r}: write a code such as DE, FR or AU") from None

    def kind_of(start_ms: int) -> int:
        day = datetime.fromtimestamp(start_ms / 1e3, market.zone).date()
        return 6 if day in known else day.weekday()

    return kind_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _DayAhead:
    """What only a day-ahead market has."""

    forecast: "Forecaster"
    kind_of: "Callable[[int], int]"
    known_before: "Mapping[str, Series]"
    first_ms: int | None
    """Start of the first day to bid for."""
    orders: Orders | None
    overnight: bool


def _walk_days(
    market: "ReplayMarket", storage: "Storage", fleet: "Fleet", ahead: _DayAhead
) -> "Result":
    from vpp_streams.domain.market.backtest.day_walk import ERROR_DAYS
    from vpp_streams.domain.market.backtest.days import walk_days

    begins_ms, ends_ms = (int(ms) for ms in market.recorded.start_ms[[0, -1]])
    if ahead.first_ms is not None:
        begins_ms = max(begins_ms, ahead.first_ms - ERROR_DAYS * DAY_MS)
    with _progress("days", max(ends_ms - begins_ms, 0) // DAY_MS) as moved:
        summary, trace, _ = walk_days(
            market,
            storage,
            fleet,
            ahead.forecast,
            ahead.kind_of,
            clock=time.perf_counter,
            known_before=ahead.known_before,
            first_ms=ahead.first_ms,
            on_day=moved,
            strategy=ahead.orders,
            overnight=ahead.overnight,
        )
    return summary, trace


def _walk(
    market: "ReplayMarket", storage: "Storage", fleet: "Fleet", policy: "ReservePolicy"
) -> "Result":
    from vpp_streams.domain.market.backtest.run import walk

    total = sum(run.stop - run.start for run in market.recorded.runs())
    if not fleet.always_answers:
        total *= 2  # walked again, as if all answered
    with _progress("intervals", total) as moved:
        summary, trace, _ = walk(
            market, storage, fleet, policy, clock=time.perf_counter, on_interval=moved
        )
    return summary, trace


@contextmanager
def _progress(unit: str, total: int) -> "Iterator[Callable[[], None]]":
    """Show progress on stderr; yields the function to call after each unit.

    A `ValueError` of the walk is about the user's input.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("bidding", total=total)
        try:
            yield lambda: progress.advance(task)
        except ValueError as error:
            raise InputError(str(error)) from None


def _report(result: "Result", market: "ReplayMarket", html: Path | None, as_json: bool) -> None:
    import msgspec
    from rich.console import Console

    from vpp_streams.cli.screens.backtest import summary_table
    from vpp_streams.cli.screens.backtest_page import page

    summary, trace = result
    if html is not None:
        try:
            html.write_text(page(summary, trace, market), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {html}: {error.strerror}") from None
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(summary)).decode())
        return
    Console().print(summary_table(summary, trace, market))
    if html is not None:
        typer.echo(f"report: {html}")
