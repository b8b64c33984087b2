"""``vpp publish``: a forecast that others publish, for the running optimizer."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vpp_streams import clock
from vpp_streams.cli.prices import MARKS, Decimal, price_bytes
from vpp_streams.errors import InputError
from vpp_streams.settings import Settings, load_settings

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from schemas.published import PublishedSeries
    from vpp_streams.domain.files.price_files.report import PriceReading
    from vpp_streams.domain.files.series_records import Published
    from vpp_streams.domain.market.rules import Prices

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
    from vpp_streams.domain.files.series_records import Published, at_once, day_by_day

    if at is not None and ahead is not None:
        raise InputError("--at and --ahead both say when it was published; give one of them")
    what = Published(market, kind, file.name[:200])
    values = _values(file, what, _read(
        file, kind, column, zone=zone, time_zone=time_zone, currency=currency, unit=unit,
        decimal=decimal,
    ))  # fmt: skip
    now_ms = clock.now_ms()
    if ahead is None:
        records = at_once(values, what, _at_ms(at, now_ms))
    else:
        records = day_by_day(values, what, _ahead_ms(ahead), _zone(time_zone))
    _check(file, records, now_ms)
    count = f"{len(values.start_ms):,} values in {len(records):,} series of {kind}"
    if dry_run:
        typer.echo(f"{file} is valid: {count}; nothing was published")
        return
    asyncio.run(_write(load_settings(), records))
    typer.echo(f"published {count} about {market}")


def _read(
    file: Path,
    kind: Kind,
    column: str | None,
    *,
    zone: str | None,
    time_zone: str | None,
    currency: str | None,
    unit: str | None,
    decimal: Decimal | None,
) -> "PriceReading":
    from vpp_streams.domain.files.price_files.read import read_power_file, read_price_file

    mark = decimal and MARKS[decimal]
    if kind != "price":
        if column is None:
            raise InputError(f"give the column of {file} with the {kind}: --column NAME")
        return read_power_file(
            price_bytes(file), name=file.name, column=column, zone=zone, time_zone=time_zone,
            unit=unit, decimal=mark,
        )  # fmt: skip
    return read_price_file(
        price_bytes(file), name=file.name, zone=zone, time_zone=time_zone, currency=currency,
        unit=unit, decimal=mark, columns={"energy": column} if column else None,
    )  # fmt: skip


def _values(file: Path, what: "Published", reading: "PriceReading") -> "Prices":
    """The values of the file's one zone; prints what was found."""
    from vpp_streams.domain.files.price_files.table_units import NO_CURRENCY

    if reading.report.failure:
        raise InputError(f"{file}: {reading.report.failure}")
    if len(reading.prices) > 1:
        zones = ", ".join(sorted(reading.prices))
        raise InputError(f"{file} has several zones; choose one with --zone: {zones}")
    for finding in reading.report.findings:
        typer.echo(f"{file.name}: {finding.what} ({finding.count}): {finding.done}", err=True)
    (values,) = reading.prices.values()
    if what.kind == "price" and values.currency == NO_CURRENCY:
        raise InputError(f"{file} names no currency; give it with --currency, such as EUR")
    return values


def _at_ms(at: str | None, now_ms: int) -> int:
    from datetime import UTC, datetime

    from vpp_streams.domain.files.spoken_time import moment_ms

    if at is None:
        return now_ms
    try:
        return moment_ms(at, datetime.fromtimestamp(now_ms / 1000, UTC))
    except ValueError as error:
        raise InputError(f"--at: {error}") from None


def _ahead_ms(ahead: str) -> int:
    from vpp_streams.domain.files.spoken_time import duration_s

    try:
        return round(duration_s(ahead) * 1000)
    except ValueError as error:
        raise InputError(f"--ahead: {error}") from None


def _zone(time_zone: str | None) -> "ZoneInfo":
    from zoneinfo import ZoneInfo

    return ZoneInfo(time_zone or "UTC")


def _check(file: Path, records: "list[PublishedSeries]", now_ms: int) -> None:
    """Raise `InputError` where the optimizer would refuse a record."""
    import msgspec

    from schemas.published import PublishedSeries
    from vpp_streams.domain.market.forecast.publications import flaw

    for record in records:
        reason = flaw(record, now_ms)
        if reason is None:
            try:
                msgspec.json.decode(msgspec.json.encode(record), type=PublishedSeries)
                continue
            except msgspec.ValidationError as error:
                reason = str(error)
        raise InputError(f"{file} cannot be published: {reason}; nothing was written")


async def _write(settings: Settings, records: "list[PublishedSeries]") -> None:
    from aiokafka.errors import KafkaError
    from rich.progress import track

    from vpp_streams.errors import BrokerError
    from vpp_streams.kafka import topics
    from vpp_streams.kafka.admin import ensure_topics
    from vpp_streams.kafka.clients import KafkaClients, producing
    from vpp_streams.kafka.outlet import Outlet

    clients = KafkaClients(settings)
    await ensure_topics(clients)
    shown = track(records, "publishing", disable=len(records) < 100, transient=True)
    try:
        async with producing(clients) as producer:
            outlet = Outlet(producer, settings.namespace)
            sent = [await outlet.send(topics.MARKET_PUBLISHED, record) for record in shown]
            await asyncio.gather(*sent)
    except KafkaError as error:
        raise BrokerError(
            f"Kafka did not take all of it ({error!r}); publish the same file again"
        ) from None
