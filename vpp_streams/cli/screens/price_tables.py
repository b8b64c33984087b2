"""What is in a price file, for a terminal and as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vpp_streams.cli.screens.tables import console
from vpp_streams.domain.files.price_files.intervals import spoken_length, spoken_time
from vpp_streams.domain.files.price_files.report import Finding, PriceReading
from vpp_streams.domain.market.rules import Prices


def show_reading(file: Path, reading: PriceReading, as_json: bool) -> None:
    """Print a reading as tables (nothing where nothing was found), or as one JSON object."""
    if as_json:
        typer.echo(msgspec.json.encode(_document(file, reading)).decode())
    elif reading.prices or reading.report.findings:
        _print_reading(console(), file, reading)


def _document(file: Path, reading: PriceReading) -> dict[str, Any]:
    report = reading.report
    return {
        "file": str(file),
        "format": report.format,
        "failure": report.failure,
        "zones": report.zones,
        "lost": report.lost,
        "prices": [_document_of_zone(zone, each) for zone, each in reading.prices.items()],
        "findings": report.findings,
    }


def _document_of_zone(zone: str, prices: Prices) -> dict[str, Any]:
    return {
        "zone": zone,
        "currency": prices.currency,
        "interval_ms": prices.interval_ms,
        "intervals": len(prices.start_ms),
        "start_ms": int(prices.start_ms[0]),
        "end_ms": int(prices.start_ms[-1]) + prices.interval_ms,
        "products": {
            product: dict(zip(("min", "mean", "max", "known"), numbers, strict=True))
            for product, numbers in _numbers(prices)
        },
    }


def _numbers(prices: Prices) -> list[tuple[str, tuple[float, float, float, int]]]:
    """Each product's least, mean and greatest price, and how many there are."""
    found = []
    for product, column in prices.per_product.items():
        known = column[~np.isnan(column)]
        if len(known):
            least, mean, greatest = float(known.min()), float(known.mean()), float(known.max())
            found.append((str(product), (least, mean, greatest, len(known))))
    return found


def _print_reading(shown: Console, file: Path, reading: PriceReading) -> None:
    shown.print(f"[bold]{escape(str(file))}[/]  {escape(reading.report.format)}", soft_wrap=True)
    for zone, prices in reading.prices.items():
        first, last = int(prices.start_ms[0]), int(prices.start_ms[-1]) + prices.interval_ms
        count, length = len(prices.start_ms), spoken_length(prices.interval_ms)
        span = f"{spoken_time(first)} to {spoken_time(last)}, {count:,} intervals of {length}"
        shown.print(f"\n[bold]{escape(zone)}[/]  {span}", soft_wrap=True)
        shown.print(_table_of(prices))
    shown.print()
    if reading.report.findings:
        shown.print(_table_of_findings(reading.report.findings))
    else:
        shown.print("nothing was found that is wrong with it")


def _table_of(prices: Prices) -> Table:
    """A row for each product."""
    table = Table("product", "", box=None, padding=(0, 1))
    for name in ("least", "mean", "greatest", "known"):
        table.add_column(name, justify="right")
    for product, (least, mean, greatest, known) in _numbers(prices):
        unit = f"{prices.currency}/MWh" if product == "energy" else f"{prices.currency}/MW/h"
        numbers = (f"{least:,.2f}", f"{mean:,.2f}", f"{greatest:,.2f}", f"{known:,}")
        table.add_row(product, unit, *numbers)
    return table


def _table_of_findings(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, padding=(0, 1))
    table.add_column("count", justify="right")
    for name in ("found", "done", "such as"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        table.add_row(
            f"{finding.count:,}",
            escape(f"{finding.kind}: {finding.what}"),
            escape(finding.done),
            escape("; ".join(finding.examples)),
            style="yellow" if finding.lost else "",
        )
    return table
