"""``vpp backtest``: what the Autobidder would have earned on recorded prices."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from schemas.market import Bid
    from vpp_streams.domain.market.backtest.days import Forecaster
    from vpp_streams.domain.market.backtest.delivery import Fleet
    from vpp_streams.domain.market.backtest.result import Summary, Trace
    from vpp_streams.domain.market.forecast.series import Series
    from vpp_streams.domain.market.replay_market import ReplayMarket
    from vpp_streams.domain.market.reserve import ReservePolicy
    from vpp_streams.domain.market.rules import Prices, Storage

    Result = tuple[Summary, Trace, tuple[Bid, ...]]

ForecastName = Literal["lear", "profile", "naive", "boosted"]
SEED = 1


def backtest(
    market: Annotated[Path, typer.Option(help="price file: see `vpp prices`")],
    fleet: Annotated[Path, typer.Option(help="asset file of the batteries: see `vpp assets`")],
    zone: Annotated[
        str | None, typer.Option(help="which of the file's zones; needed where it has several")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="of local times in the price file, such as Europe/Berlin")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="of a price file that names none, such as EUR")
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
    minutes and more are taken as day-ahead auctions, in which each day begins and ends empty;
    shorter ones as they are cleared, interval by interval.

      vpp backtest --market DISPATCHPRICE.csv --zone SA1 --fleet docs/examples/one-megapack.yaml

      vpp backtest --market DE.csv --currency EUR --country DE --fleet FILE --html report.html

      vpp backtest --market DE.csv --currency EUR --fleet FILE --score-from 2016-01-04
      --known-before-gate "Load Forecast" --known-before-gate "Wind Forecast"
    """
    prices, format_, known_before = _prices(
        market, zone, time_zone, currency=currency, columns=known_before_gate or []
    )
    storage, devices = _storage(fleet, efficiency, wear)
    replayed = _market(prices, format_, energy_only, impact, time_zone)
    answering, policy = _fleet(storage, devices, answers), _policy(reserve)
    if replayed.auction == "day":
        first_ms = None if score_from is None else _first_ms(score_from, replayed)
        ahead = _DayAhead(_forecaster(forecast), _kind_of(country), known_before, first_ms)
        result = _run_days(replayed, storage, answering, ahead)
    elif known_before_gate or score_from:
        raise InputError(f"{market} is no day-ahead market: its intervals are bid for one by one,"
                         " so --known-before-gate and --score-from mean nothing")  # fmt: skip
    else:
        result = _run(replayed, storage, answering, policy)
    _tell(result, replayed, html, as_json)


def _prices(
    file: Path, zone: str | None, time_zone: str | None, *, currency: str | None, columns: list[str]
) -> "tuple[Prices, str, Mapping[str, Series]]":
    """The prices of a file, its format, and the named columns."""
    from vpp_streams.cli.prices import price_bytes
    from vpp_streams.domain.files.price_files.read import read_price_file
    from vpp_streams.domain.market.forecast.series import Series

    reading = read_price_file(
        price_bytes(file),
        name=file.name,
        zone=zone,
        time_zone=time_zone,
        currency=currency,
        extra=tuple(columns),
    )
    if reading.report.failure:
        raise InputError(f"{file}: {reading.report.failure}")
    if len(reading.prices) > 1:
        raise InputError(f"{file} has several zones; choose one with --zone: "
                         f"{', '.join(sorted(reading.prices))}")  # fmt: skip
    for finding in reading.report.findings:
        typer.echo(f"{file.name}: {finding.what} ({finding.count}): {finding.done}", err=True)
    ((found, prices),) = reading.prices.items()
    extra = reading.extra[found] if columns else {}
    known_before = {name: Series(prices.start_ms, each) for name, each in extra.items()}
    return prices, reading.report.format, known_before


def _storage(file: Path, efficiency: float, wear: float) -> "tuple[Storage, int]":
    from vpp_streams.cli.assets import read_sites
    from vpp_streams.domain.market.backtest.setting import storage_of_fleet
    from vpp_streams.domain.registry.registry import Registry

    storage, devices = storage_of_fleet(read_sites(file, Registry()), efficiency)
    if storage.energy_wh <= 0 or storage.discharge_w <= 0:
        raise InputError(f"{file}: there is no battery with energy above its reserve in it")
    return replace(storage, wear_per_mwh=wear), devices


def _market(
    prices: "Prices", format_: str, energy_only: bool, impact: float, time_zone: str | None
) -> "ReplayMarket":
    from zoneinfo import ZoneInfo

    from vpp_streams.domain.market.backtest.setting import rules_of
    from vpp_streams.domain.market.replay_market import ReplayMarket

    rules, auction = rules_of(prices, format_)
    if energy_only:
        rules = replace(rules, products=("energy",), co_optimised=False)
    begins_ms = 0
    if time_zone is not None:
        # The zone's winter time all year: every day then has 24 hours.
        winter = datetime.fromtimestamp(float(prices.start_ms[0]) / 1e3, UTC).replace(
            month=1, day=1
        )
        offset = winter.astimezone(ZoneInfo(time_zone)).utcoffset()
        begins_ms = -round(offset.total_seconds() * 1000) if offset else 0
    return ReplayMarket(rules, prices, auction, impact, begins_ms)


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
    """The start of a day as the market counts days."""
    return round(day.replace(tzinfo=UTC).timestamp() * 1000) + market.day_begins_ms


def _kind_of(country: str | None) -> "Callable[[int], int]":
    import holidays

    if country is None:
        known: set[object] | holidays.HolidayBase = set()
    else:
        try:
            known = holidays.country_holidays(country.upper())
        except NotImplementedError:
            raise InputError(f"--country {country!r}: write a code such as DE, FR or AU") from None

    def kind_of(start_ms: int) -> int:
        # The day's noon: its date is the same in every zone near.
        day = datetime.fromtimestamp(start_ms / 1e3 + 43_200, UTC).date()
        return 6 if day in known else day.weekday()

    return kind_of


@dataclass(frozen=True, slots=True)
class _DayAhead:
    """What only a day-ahead market has."""

    forecast: "Forecaster"
    kind_of: "Callable[[int], int]"
    known_before: "Mapping[str, Series]"
    first_ms: int | None
    """Start of the first day to bid for."""


def _run_days(
    market: "ReplayMarket", storage: "Storage", fleet: "Fleet", ahead: _DayAhead
) -> "Result":
    from vpp_streams.domain.market.backtest.days import ERROR_DAYS, walk_days

    begins_ms, ends_ms = (int(ms) for ms in market.recorded.start_ms[[0, -1]])
    if ahead.first_ms is not None:
        begins_ms = max(begins_ms, ahead.first_ms - ERROR_DAYS * DAY_MS)
    with _bidding(max(ends_ms - begins_ms, 0) // DAY_MS, "days") as moved:
        return walk_days(
            market,
            storage,
            fleet,
            ahead.forecast,
            ahead.kind_of,
            clock=time.perf_counter,
            known_before=ahead.known_before,
            first_ms=ahead.first_ms,
            on_day=moved,
        )


def _run(
    market: "ReplayMarket", storage: "Storage", fleet: "Fleet", policy: "ReservePolicy"
) -> "Result":
    from vpp_streams.domain.market.backtest.run import walk

    total = sum(run.stop - run.start for run in market.recorded.runs())
    if not fleet.always_answers:
        total *= 2  # walked again, as if all answered
    with _bidding(total, "intervals") as moved:
        return walk(market, storage, fleet, policy, clock=time.perf_counter, on_interval=moved)


@contextmanager
def _bidding(total: int, unit: str) -> "Iterator[Callable[[], None]]":
    """A bar on stderr, moved by calling what is given; a backtest's `ValueError` is the user's."""
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


def _tell(result: "Result", market: "ReplayMarket", html: Path | None, as_json: bool) -> None:
    import msgspec
    from rich.console import Console

    from vpp_streams.cli.screens.backtest import summary_table
    from vpp_streams.cli.screens.backtest_page import page

    summary, trace, _ = result
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
