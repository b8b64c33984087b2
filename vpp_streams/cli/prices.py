"""``vpp prices FILE...``: what is in a price file, and what is wrong with it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vpp_streams.errors import InputError

Decimal = Literal["point", "comma"]
MARKS: dict[Decimal, Literal[".", ","]] = {"point": ".", "comma": ","}


def prices(
    files: Annotated[list[Path], typer.Argument(help="price files; packed with gzip is fine")],
    zone: Annotated[
        str | None, typer.Option(help="only this zone; or the zone of a table that names none")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="of local times in a table, such as Europe/Berlin; else they are UTC"),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(help="only prices of this resolution: 5m, 15m, 1h")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="PRODUCT=COLUMN, such as reserve=RAISE6SECRRP; may be repeated"),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="of a table that names none, such as EUR")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="of energy prices in a table that does not say it, such as EUR/MWh"),
    ] = None,
    decimal: Annotated[
        Decimal | None, typer.Option(help="mark in a table's numbers that do not tell it")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a file")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="exit code 1 where prices are missing")
    ] = False,
) -> None:
    """Check price files: what they are, their zones, span and prices, and all that was found.

    Reads AEMO's price tables (raw MMS records or CSV), ENTSO-E's day-ahead XML, and CSV tables
    with a time and a price. Nothing is repaired silently: each finding says what was done, and
    a price that is not certain is left out. A unit, decimal mark or contract that is not certain
    is refused, with what to do. Energy is per MWh, capacity per MW and hour.
    """
    from vpp_streams.cli.screens.price_tables import show_reading
    from vpp_streams.domain.files.price_files.read import read_price_file
    from vpp_streams.domain.files.price_files.spoken import columns_of, interval_ms_of
    from vpp_streams.process.user_files import price_bytes

    interval_ms, columns = interval_ms_of(interval), columns_of(column or [])
    failures: list[str] = []
    lost = 0
    for file in files:
        reading = read_price_file(
            price_bytes(file),
            name=file.name,
            zone=zone,
            time_zone=time_zone,
            currency=currency,
            unit=unit,
            decimal=decimal and MARKS[decimal],
            interval_ms=interval_ms,
            columns=columns,
        )
        show_reading(file, reading, as_json)
        lost += reading.report.lost
        if reading.report.failure:
            failures.append(f"{file}: {reading.report.failure}")
    if failures:
        raise InputError("\n  ".join(failures))
    if strict and lost:
        raise typer.Exit(1)
