"""Normalised payloads for a terminal: a reading as a table, and outcomes by vendor."""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.telemetry import Quality, Reading, Rejection
from vpp_streams.domain.telemetry.normalize.balance import balance_tolerance_w

Outcome = Reading | Rejection


def summary_table(outcomes: Iterable[tuple[str | None, Outcome]]) -> str:
    """A Markdown table: each vendor's documents, readings, and rejections by reason."""
    by_vendor: dict[str, list[Outcome]] = {}
    for name, found in outcomes:
        by_vendor.setdefault(name or "not known", []).append(found)
    lines = ["| vendor | files | readings | rejected, by reason |", "| --- | --- | --- | --- |"]
    for name, results in sorted(by_vendor.items()):
        reasons = Counter(r.reason for r in results if isinstance(r, Rejection))
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        readings = len(results) - reasons.total()
        lines.append(f"| {name} | {len(results)} | {readings} | {why or 'none'} |")
    return "\n".join(lines)


def show_outcomes(outcomes: Iterable[tuple[Path, str | None, Outcome]], as_json: bool) -> None:
    """Print each payload file with its vendor and its reading, or why there is none."""
    for file, vendor, found in outcomes:
        if as_json:
            kind = "rejection" if isinstance(found, Rejection) else "reading"
            # msgspec writes NaN as null, the form of "not measured" on the wire.
            document = {"file": str(file), "vendor": vendor, kind: found}
            typer.echo(msgspec.json.encode(document).decode())
        else:
            show_outcome(file, vendor, found)


def show_outcome(file: Path, vendor: str | None, found: Outcome) -> None:
    """Print the reading of a payload file, or the reason why there is none."""
    console = Console()
    console.print(f"[bold]{escape(str(file))}[/]  {vendor or 'vendor not known'}")
    if isinstance(found, Rejection):
        console.print(f"  [red]no reading[/] ({found.reason}): {escape(found.detail)}")
        return
    table = Table(box=None, show_header=False, padding=(0, 2))
    for label, value in _lines(found):
        table.add_row(label, value)
    console.print(table)


def _lines(r: Reading) -> list[tuple[str, str]]:
    """(label, value) of each quantity; missing values are shown as not measured."""
    measured_at = datetime.fromtimestamp(r.measured_at_ms / 1000, UTC)
    return [
        ("measured at", f"{measured_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("battery (+ = discharging)", _number(r.battery_w, "W")),
        ("grid (+ = importing)", _number(r.grid_w, "W")),
        ("solar", _number(r.solar_w, "W")),
        ("load", _number(r.load_w, "W")),
        ("load - (grid + battery + solar)", _balance(r)),
        ("state of charge", _number(r.soc * 100, "%")),
        ("frequency", _number(r.frequency_hz, "Hz")),
        ("voltage, line to neutral", _number(r.voltage_v, "V")),
        ("battery temperature", _number(r.temperature_c, "°C")),
        ("off grid", {1: "yes", 0: "no"}.get(r.islanded, "not measured")),
        ("quality", Quality(r.quality).name.lower()),
    ]


def _balance(r: Reading) -> str:
    if math.isnan(r.balance_error_w):
        return "not all four measured"
    allowed_w = balance_tolerance_w(r.battery_w, r.grid_w, r.solar_w, r.load_w)
    return f"{_number(r.balance_error_w, 'W')}, ±{allowed_w:,.0f} W allowed"


def _number(value: float, unit: str) -> str:
    return "not measured" if math.isnan(value) else f"{value:,.1f} {unit}"
