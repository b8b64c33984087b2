"""``vpp publish``: a forecast that others publish, for the running optimizer."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from vpp_streams import clock
from vpp_streams.cli.prices import MARKS, Decimal
from vpp_streams.settings import load_settings

Kind = Literal["price", "load", "wind", "solar", "wind_solar"]


def publish(
    file: Annotated[Path, typer.Argument(help="price file (see `vpp prices`), or a CSV table")],
    market: Annotated[str, typer.Option(help="the market that it is about, such as sim")],
    kind: Annotated[Kind, typer.Option(help="what is forecast; wind_solar is their sum")] = "price",
    column: Annotated[
        str | None, typer.Option(help="column of a table with the values; of power always needed")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="which of the file's zones; needed where it has several")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="of local times and days, such as Europe/Berlin; else UTC")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="of a price file that names none, such as EUR")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="of a column that does not say it: EUR/MWh, or MW, kW, GW")
    ] = None,
    decimal: Annotated[
        Decimal | None, typer.Option(help="decimal mark of a table whose numbers leave it open")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="when it was published (ISO time)", show_default="now")
    ] = None,
    ahead: Annotated[
        str | None,
        typer.Option(help="each day was published this long before it began: 12h; for a history"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check the file only; needs no Kafka")
    ] = False,
) -> None:
    """Publish a forecast of prices, load, wind or solar power to the optimizer.

    A bid uses it from when it arrives in Kafka on, never before the time of publication, and
    `vpp explain` shows the same. Publish again when there is a newer one: it corrects the last,
    interval by interval. One that stops arriving is left out of bids, and they say so.

    Prices of the market's currency replace the expected ones of the coming day. Load, wind and
    solar power are for markets with a day-ahead auction, whose forecast learns from weeks of them:
    give these once, with --ahead.

      vpp publish predispatch.csv --market sim --currency USD

      vpp publish load.csv --market sim-day --kind load --column "Load (MW)" --ahead 12h
    """
    from rich.progress import track

    from vpp_streams.market.publishing import Publication, forecast_of, write

    publication = Publication(
        file=file,
        market=market,
        kind=kind,
        column=column,
        zone=zone,
        time_zone=time_zone,
        currency=currency,
        unit=unit,
        decimal=decimal and MARKS[decimal],
        at=at,
        ahead=ahead,
    )
    forecast = forecast_of(publication, clock.now_ms(), lambda line: typer.echo(line, err=True))
    count = f"{forecast.intervals:,} values in {len(forecast.records):,} series of {kind}"
    if dry_run:
        typer.echo(f"{file} is valid: {count}; nothing was published")
        return
    few = len(forecast.records) < 100
    asyncio.run(
        write(
            load_settings(),
            forecast.records,
            lambda records: track(records, "publishing", disable=few, transient=True),
        )
    )
    typer.echo(f"published {count} about {market}")
