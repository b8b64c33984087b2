"""``vpp normalize FILE...``: what we make of a device's payload, or why not."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from vpp_streams.errors import InputError

if TYPE_CHECKING:
    from schemas.telemetry import Reading, Rejection


def normalize(
    files: Annotated[list[Path], typer.Argument(help="payload files, as the device sent them")],
    vendor: Annotated[
        str | None, typer.Option(help="tesla_gateway, tesla_fleet, enphase, fronius or solaredge")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a file")] = False,
) -> None:
    """Show the canonical reading of each payload, or the reason why there is none.

    The vendor is guessed from the document unless --vendor names it. Signs: battery + =
    discharging, grid + = importing. Exit code 1 where a file gives no reading.
    """
    from schemas.telemetry import Rejection
    from vpp_streams.domain.normalize import VENDORS, guess_vendor
    from vpp_streams.domain.normalize import normalize as normalize_body

    if vendor is not None and vendor not in VENDORS:
        raise InputError(f"there is no vendor {vendor!r}; choose one of {', '.join(VENDORS)}")
    refused = False
    for file in files:
        body = _read(file)
        name = vendor or guess_vendor(body)
        now_ms = time.time_ns() // 1_000_000
        found = normalize_body(name, body, None, 1000, now_ms) if name else _unknown(body)
        refused |= isinstance(found, Rejection)
        if as_json:
            answer = {"file": str(file), "vendor": name, **msgspec.to_builtins(found)}
            typer.echo(msgspec.json.encode(_no_nan(answer)).decode())
        else:
            _show(file, name, found)
    raise typer.Exit(1 if refused else 0)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None


def _unknown(body: bytes) -> "Rejection":
    from schemas.telemetry import Rejection

    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return Rejection("bad_json", f"The document is not JSON: {error}.")
    return Rejection(
        "unknown_vendor", "No vendor's telemetry looks like this; --vendor names one to try."
    )


def _no_nan(values: dict[str, object]) -> dict[str, object]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }


def _show(file: Path, vendor: str | None, found: "Reading | Rejection") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from schemas.telemetry import Rejection

    console = Console()
    title = f"[bold]{escape(str(file))}[/]  {vendor or 'vendor not known'}"
    if isinstance(found, Rejection):
        console.print(f"{title}\n  [red]no reading[/] ({found.reason}): {escape(found.detail)}")
        return
    console.print(title)
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(justify="right")
    for label, value in _lines(found):
        table.add_row(value, label)
    console.print(table)


def _lines(r: "Reading") -> list[tuple[str, str]]:
    """(what it is, its value), not measured values said as such."""
    from datetime import UTC, datetime

    from schemas.telemetry import Quality
    from vpp_streams.domain.normalize.document import balance_tolerance_w

    stamp = datetime.fromtimestamp(r.measured_at_ms / 1000, UTC)
    lines = [
        ("measured at", f"{stamp:%Y-%m-%d %H:%M:%S} UTC"),
        ("battery, + = discharging", _number(r.battery_w, "W")),
        ("grid, + = importing", _number(r.grid_w, "W")),
        ("solar", _number(r.solar_w, "W")),
        ("load", _number(r.load_w, "W")),
        ("state of charge", _number(r.soc * 100, "%")),
        ("frequency", _number(r.frequency_hz, "Hz")),
        ("voltage", _number(r.voltage_v, "V")),
        ("site is islanded", {1: "yes", 0: "no"}.get(r.islanded, "not measured")),
        ("quality", Quality(r.quality).name.lower()),
    ]
    if not math.isnan(r.balance_error_w):
        allowed_w = balance_tolerance_w(r.battery_w, r.grid_w, r.solar_w, r.load_w)
        off = f"{r.balance_error_w:,.1f} W"
        lines.append((f"off load = grid + battery + solar (±{allowed_w:,.0f} W allowed)", off))
    return lines


def _number(value: float, unit: str) -> str:
    return "not measured" if math.isnan(value) else f"{value:,.1f} {unit}"
