"""``vpp normalize FILE...``: the reading in a device's payload, or why there is none."""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpp_streams import clock
from vpp_streams.errors import InputError

if TYPE_CHECKING:
    from schemas.telemetry import Reading, Rejection

    Outcome = Reading | Rejection


def normalize(
    files: Annotated[list[Path], typer.Argument(help="payload files, as the device sent them")],
    vendor: Annotated[
        str | None,
        typer.Option(help="native, tesla_gateway, tesla_fleet, enphase, fronius or solaredge"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a file")] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="count outcomes by vendor, as a Markdown table")
    ] = False,
) -> None:
    """Show the canonical reading of each payload, or the reason why there is none.

    The vendor is guessed from the document, else from the file's path, unless --vendor names it.
    Signs: battery + = discharging, grid + = importing. Exit code 1 if a file gives no reading.
    """
    from schemas.telemetry import Reading
    from vpp_streams.domain.telemetry.normalize import VENDORS

    if vendor is not None and vendor not in VENDORS:
        raise InputError(f"there is no vendor {vendor!r}; choose one of {', '.join(VENDORS)}")
    now_ms = clock.now_ms()
    outcomes = [(file, *outcome(file, vendor, now_ms)) for file in files]
    if summary:
        typer.echo(summary_table((name, found) for _, name, found in outcomes))
    for file, name, found in () if summary else outcomes:
        if as_json:
            typer.echo(_as_json(file, name, found))
        else:
            _show(file, name, found)
    if not all(isinstance(found, Reading) for _, _, found in outcomes):
        raise typer.Exit(1)


def outcome(file: Path, vendor: str | None, now_ms: int) -> tuple[str | None, "Outcome"]:
    """The vendor of a payload file (``vendor``, or guessed), and the reading or rejection.

    Raises `InputError` if the file cannot be read.
    """
    from schemas.telemetry import Rejection
    from vpp_streams.domain.telemetry.normalize import guess_vendor
    from vpp_streams.domain.telemetry.normalize import normalize as normalize_body

    try:
        body = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    name = vendor or guess_vendor(body, str(file))
    if name is None:
        detail = "No known vendor has documents of this form; --vendor names one to try."
        return None, Rejection("unknown_vendor", detail)
    return name, normalize_body(name, body, None, 1000, now_ms)


def summary_table(outcomes: Iterable[tuple[str | None, "Outcome"]]) -> str:
    """A Markdown table: each vendor's documents, readings, and rejections by reason."""
    from schemas.telemetry import Rejection

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


def _as_json(file: Path, vendor: str | None, found: "Outcome") -> str:
    import msgspec

    from schemas.telemetry import Rejection

    kind = "rejection" if isinstance(found, Rejection) else "reading"
    # msgspec writes NaN as null, the form of "not measured" on the wire.
    return msgspec.json.encode({"file": str(file), "vendor": vendor, kind: found}).decode()


def _show(file: Path, vendor: str | None, found: "Outcome") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from schemas.telemetry import Rejection

    console = Console()
    console.print(f"[bold]{escape(str(file))}[/]  {vendor or 'vendor not known'}")
    if isinstance(found, Rejection):
        console.print(f"  [red]no reading[/] ({found.reason}): {escape(found.detail)}")
        return
    table = Table(box=None, show_header=False, padding=(0, 2))
    for label, value in _lines(found):
        table.add_row(label, value)
    console.print(table)


def _lines(r: "Reading") -> list[tuple[str, str]]:
    """(label, value) of each quantity; missing values are shown as not measured."""
    from schemas.telemetry import Quality

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


def _balance(r: "Reading") -> str:
    from vpp_streams.domain.telemetry.normalize.balance import balance_tolerance_w

    if math.isnan(r.balance_error_w):
        return "not all four measured"
    allowed_w = balance_tolerance_w(r.battery_w, r.grid_w, r.solar_w, r.load_w)
    return f"{_number(r.balance_error_w, 'W')}, ±{allowed_w:,.0f} W allowed"


def _number(value: float, unit: str) -> str:
    return "not measured" if math.isnan(value) else f"{value:,.1f} {unit}"
