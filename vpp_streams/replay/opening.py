"""What `vpp replay` is given, opened: a recording, a Parquet file, or the CSV of a home."""

from collections.abc import Callable
from pathlib import Path

from vpp_streams.domain.files.csv_home import Report
from vpp_streams.errors import InputError
from vpp_streams.replay.sources import (
    Source,
    Span,
    home_source,
    load_home,
    load_mapping,
    open_recording,
)


def speed_of(text: str) -> float | None:
    """Seconds of data per second; None for ``max``. Raises `InputError`."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise InputError(f"--speed {text}: give a number above 0, or max")
    return speed


def open_source(
    path: Path,
    mapping_file: Path | None,
    span: Span,
    *,
    strict: bool,
    on_report: Callable[[str, Report], None],
) -> Source:
    """Open a source of readings. Raises `InputError`.

    A CSV needs a mapping; ``on_report`` receives its name and what is missing or wrong in it. With
    ``strict`` it is refused if it has a bad row.
    """
    if path.suffix.lower() != ".csv":
        if mapping_file:
            raise InputError(f"--mapping is for a CSV, and {path} is not one")
        return open_recording(path, span)
    if not mapping_file:
        raise InputError(
            f"{path} needs --mapping FILE.yaml with the meaning of its columns;"
            " see the examples in docs/examples/mappings/"
        )
    mapping = load_mapping(mapping_file)
    home = load_home(path, mapping)
    on_report(path.name, home.report)
    if strict and home.report.bad:
        raise InputError(
            f"{path} has {len(home.report.bad)} bad rows (--strict); nothing was replayed"
        )
    return home_source(home, mapping, span)
