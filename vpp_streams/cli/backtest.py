"""``vpp backtest``: what the Autobidder would have earned on recorded prices."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from vpp_streams.cli.prices import MARKS, Decimal
from vpp_streams.replay.backtest_settings import BacktestSettings, ForecastName, Orders


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
    from vpp_streams.cli.screens.backtest_run import progress, show_result
    from vpp_streams.replay.backtest import run_backtest

    settings = BacktestSettings(
        market=market,
        fleet=fleet,
        zone=zone,
        time_zone=time_zone,
        currency=currency,
        unit=unit,
        decimal=decimal and MARKS[decimal],
        efficiency=efficiency,
        wear_per_mwh=wear,
        energy_only=energy_only,
        reserve=reserve,
        answers=answers,
        impact_per_mw=impact,
        imbalance=imbalance,
        orders=orders,
        overnight=overnight,
        forecast=forecast,
        known_before_gate=tuple(known_before_gate or ()),
        score_from=score_from,
        country=country,
    )
    result = run_backtest(settings, say=lambda line: typer.echo(line, err=True), progress=progress)
    show_result(result, html, as_json)
