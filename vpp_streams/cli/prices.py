"""``vpp prices FILE...``: what is in a price file, and what is wrong with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vpp_streams.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.market import Product
    from vpp_streams.domain.files.price_files.report import Finding, PriceReading
    from vpp_streams.domain.market.rules import Prices

MOST_BYTES = 256 * 1024 * 1024
"""Of a price file, unpacked: a year of five-minute prices of a market is a tenth of it."""

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
    from vpp_streams.domain.files.price_files.read import read_price_file

    interval_ms, columns = _interval_ms(interval), _columns(column or [])
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
        lost += reading.report.lost
        if reading.report.failure:
            failures.append(f"{file}: {reading.report.failure}")
        if as_json:
            typer.echo(_as_json(file, reading))
        elif reading.prices or reading.report.findings:
            _show(file, reading)
    if failures:
        raise InputError("\n  ".join(failures))
    if strict and lost:
        raise typer.Exit(1)


def price_bytes(file: Path) -> bytes:
    """A file's content, unpacked where it is packed with gzip. Raises `InputError`."""
    import gzip
    import zlib

    try:
        with file.open("rb") as plain:
            packed = plain.peek(2).startswith(b"\x1f\x8b")
            unpacked = gzip.GzipFile(fileobj=plain) if packed else plain
            data = unpacked.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{file}: it cannot be unpacked: it is cut or damaged") from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise InputError(
            f"{file}: it holds more than {MOST_BYTES >> 20} MiB, which is no price file"
        )
    return data


def _interval_ms(text: str | None) -> int | None:
    from vpp_streams.domain.files.spoken_time import duration_s

    if text is None:
        return None
    try:
        return max(1, round(duration_s(text) * 1000))
    except ValueError as error:
        raise InputError(f"--interval: {error}") from None


def _columns(pairs: "Sequence[str]") -> "dict[Product, str]":
    from schemas.market import PRODUCTS

    by_name = {product: product for product in PRODUCTS}
    columns: dict[Product, str] = {}
    for pair in pairs:
        product, equals, name = pair.partition("=")
        if product not in by_name or not equals or not name:
            raise InputError(
                f"--column {pair!r}: write PRODUCT=COLUMN with one of {', '.join(PRODUCTS)}"
            )
        columns[by_name[product]] = name
    return columns


def _as_json(file: Path, reading: "PriceReading") -> str:
    import msgspec

    report = reading.report
    document: dict[str, Any] = {
        "file": str(file),
        "format": report.format,
        "failure": report.failure,
        "zones": report.zones,
        "lost": report.lost,
        "prices": [
            {
                "zone": zone,
                "currency": each.currency,
                "interval_ms": each.interval_ms,
                "intervals": len(each.start_ms),
                "start_ms": int(each.start_ms[0]),
                "end_ms": int(each.start_ms[-1]) + each.interval_ms,
                "products": {
                    product: dict(zip(("min", "mean", "max", "known"), numbers, strict=True))
                    for product, numbers in _numbers(each)
                },
            }
            for zone, each in reading.prices.items()
        ],
        "findings": report.findings,
    }
    return msgspec.json.encode(document).decode()


def _numbers(prices: "Prices") -> "list[tuple[str, tuple[float, float, float, int]]]":
    """Each product's least, mean and greatest price, and how many there are."""
    import numpy as np

    found = []
    for product, column in prices.per_product.items():
        known = column[~np.isnan(column)]
        if len(known):
            least, mean, greatest = float(known.min()), float(known.mean()), float(known.max())
            found.append((str(product), (least, mean, greatest, len(known))))
    return found


def _show(file: Path, reading: "PriceReading") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from vpp_streams.domain.files.price_files.intervals import spoken_length, spoken_time

    console = Console()
    console.print(f"[bold]{escape(str(file))}[/]  {escape(reading.report.format)}", soft_wrap=True)
    for zone, each in reading.prices.items():
        first, last = int(each.start_ms[0]), int(each.start_ms[-1]) + each.interval_ms
        count, length = len(each.start_ms), spoken_length(each.interval_ms)
        span = f"{spoken_time(first)} to {spoken_time(last)}, {count:,} intervals of {length}"
        console.print(f"\n[bold]{escape(zone)}[/]  {span}", soft_wrap=True)
        table = Table("product", "", box=None, padding=(0, 1))
        for name in ("least", "mean", "greatest", "known"):
            table.add_column(name, justify="right")
        for product, (least, mean, greatest, known) in _numbers(each):
            unit = f"{each.currency}/MWh" if product == "energy" else f"{each.currency}/MW/h"
            numbers = (f"{least:,.2f}", f"{mean:,.2f}", f"{greatest:,.2f}", f"{known:,}")
            table.add_row(product, unit, *numbers)
        console.print(table)
    console.print()
    _show_findings(console, reading.report.findings)


def _show_findings(console: Any, findings: "Sequence[Finding]") -> None:
    from rich.markup import escape
    from rich.table import Table

    if not findings:
        console.print("nothing was found that is wrong with it")
        return
    table = Table(box=None, padding=(0, 1))
    table.add_column("count", justify="right")
    for name in ("found", "done", "such as"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        style = "yellow" if finding.lost else ""
        table.add_row(
            f"{finding.count:,}",
            escape(f"{finding.kind}: {finding.what}"),
            escape(finding.done),
            escape("; ".join(finding.examples)),
            style=style,
        )
    console.print(table)
