"""``vpp normalize FILE...``: the reading in a device's payload, or why there is none."""

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
        typer.Option(
            help=("native, tesla_gateway, tesla_fleet, enphase, fronius, solaredge or openems")
        ),
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
    from vpp_streams.cli.screens.normalize import show_outcomes, summary_table
    from vpp_streams.domain.telemetry.normalize import VENDORS

    if vendor is not None and vendor not in VENDORS:
        raise InputError(f"there is no vendor {vendor!r}; choose one of {', '.join(VENDORS)}")
    now_ms = clock.now_ms()
    outcomes = [(file, *outcome(file, vendor, now_ms)) for file in files]
    if summary:
        typer.echo(summary_table((name, found) for _, name, found in outcomes))
    else:
        show_outcomes(outcomes, as_json)
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
