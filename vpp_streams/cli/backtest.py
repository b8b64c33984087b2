"""``vpp backtest``: what the Autobidder would have earned on recorded prices."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.market import Bid
    from vpp_streams.domain.market.backtest.days import Forecaster
    from vpp_streams.domain.market.backtest.delivery import Fleet
    from vpp_streams.domain.market.backtest.result import Summary, Trace
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
    """
    prices, format_ = _prices(market, zone, time_zone, currency)
    storage, devices = _storage(fleet, efficiency, wear)
    replayed = _market(prices, format_, energy_only, impact, time_zone)
    result = _run(
        replayed,
        storage,
        _fleet(storage, devices, answers),
        _policy(reserve),
        _forecaster(forecast),
        _kind_of(country),
    )
    _tell(result, replayed, html, as_json)


def _prices(
    file: Path, zone: str | None, time_zone: str | None, currency: str | None
) -> "tuple[Prices, str]":
    from vpp_streams.cli.prices import price_bytes
    from vpp_streams.domain.files.price_files.read import read_price_file

    reading = read_price_file(
        price_bytes(file), name=file.name, zone=zone, time_zone=time_zone, currency=currency
    )
    if reading.report.failure:
        raise InputError(f"{file}: {reading.report.failure}")
    if len(reading.prices) > 1:
        raise InputError(f"{file} has several zones; choose one with --zone: "
                         f"{', '.join(sorted(reading.prices))}")  # fmt: skip
    for finding in reading.report.findings:
        typer.echo(f"{file.name}: {finding.what} ({finding.count}): {finding.done}", err=True)
    return next(iter(reading.prices.values())), reading.report.format


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
    prices: "Prices", format_: str, energy_only: bool, impact: float, time_zone: str | None
) -> "ReplayMarket":
    from dataclasses import replace
    from datetime import UTC, datetime
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
    from vpp_streams.domain.market.forecast.days import naive, profile
    from vpp_streams.domain.market.forecast.lear import lear

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
    return naive if name == "naive" else lear


def _kind_of(country: str | None) -> "Callable[[int], int]":
    from datetime import UTC, datetime

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


def _run(
    market: "ReplayMarket",
    storage: "Storage",
    fleet: "Fleet",
    policy: "ReservePolicy",
    forecast: "Forecaster",
    kind_of: "Callable[[int], int]",
) -> "Result":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from vpp_streams.domain.market.backtest.days import walk_days
    from vpp_streams.domain.market.backtest.run import walk

    recorded = market.recorded
    by_day = market.auction == "day"
    span_ms = int(recorded.start_ms[-1] - recorded.start_ms[0])
    total = span_ms // DAY_MS if by_day else sum(r.stop - r.start for r in recorded.runs())
    if not by_day and not fleet.always_answers:
        total *= 2  # walked again, as if all answered
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days" if by_day else "intervals"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("bidding", total=total)

        def moved() -> None:
            progress.advance(task)

        try:
            if by_day:
                return walk_days(
                    market,
                    storage,
                    fleet,
                    forecast,
                    kind_of,
                    clock=time.perf_counter,
                    on_day=moved,
                )
            return walk(market, storage, fleet, policy, clock=time.perf_counter, on_interval=moved)
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
