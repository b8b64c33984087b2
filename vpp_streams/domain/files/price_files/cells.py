"""Splits text into lines, lines into cells, and reads cells as prices; notes unreadable ones."""

import csv
import math
from collections.abc import Iterator, Sequence

from vpp_streams.domain.files.price_files.report import Notes

MAX_PRICE = 1e6
"""Largest absolute value of a price (`schemas.market.Price`)."""


def lines_of(text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The number and cells of each line that is not empty.

    A cell does not span lines: a stray quote costs its line, not the rest of the file.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, [cell.strip() for cell in _cells(line, delimiter)]


def _cells(line: str, delimiter: str) -> list[str]:
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return [line]


def price_of(text: str, factor: float = 1.0) -> float:
    """The price in a cell, times ``factor``; NaN where it holds no number that can be a price."""
    value = number_of(text) * factor
    return value if abs(value) <= MAX_PRICE else math.nan


def number_of(text: str) -> float:
    """The number in a cell; NaN where it holds none, or one that is not finite."""
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def note_row(notes: Notes, line: int, why: str) -> None:
    """Note a row that cannot be read."""
    what = "Rows that cannot be read."
    notes.add("unreadable_row", what, "left out", lost=1, examples=[f"line {line}: {why[:60]}"])


def note_prices(
    notes: Notes, values: Sequence[float], texts: Sequence[str], names: Sequence[str], line: int
) -> None:
    """Note the cells of a row that cannot be read; without the first, energy, the row is lost."""
    for at, value in enumerate(values):
        if math.isnan(value):
            example = f"line {line}: {texts[at][:20]!r}"
            what = f"Cells of {names[at][:40]} that cannot be read."
            done = "left out" if at else "their intervals are left out"
            notes.add("unreadable_price", what, done, lost=int(at == 0), examples=[example])
