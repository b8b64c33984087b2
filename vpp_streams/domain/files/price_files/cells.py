"""Text to lines, lines to cells, cells to prices; what cannot be read is noted."""

import csv
import math
from collections.abc import Iterator, Sequence

from vpp_streams.domain.files.price_files.report import Notes

MAX_PRICE = 1e6
"""No price is further from 0 (`schemas.market.Price`)."""


def lines_of(text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The cells of the lines that are not empty, with their numbers.

    A cell does not go over lines: a stray quote costs its line, not the rest of the file.
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
    """A price cell; NaN where it holds no number that can be a price."""
    try:
        value = math.nan if "_" in text else float(text) * factor
    except ValueError:
        return math.nan
    return value if abs(value) <= MAX_PRICE else math.nan


def note_row(notes: Notes, line: int, why: str) -> None:
    """Notes a row that cannot be read."""
    what = "Rows that cannot be read."
    notes.add("unreadable_row", what, "left out", lost=1, examples=[f"line {line}: {why[:60]}"])


def note_prices(
    notes: Notes, values: Sequence[float], texts: Sequence[str], names: Sequence[str], line: int
) -> None:
    """Notes the cells of a row that are no price; without the first one, energy, it is lost."""
    for at, value in enumerate(values):
        if math.isnan(value):
            example = f"line {line}: {texts[at][:20]!r}"
            what = f"Cells of {names[at][:40]} that hold no price."
            done = "left out" if at else "their intervals are left out"
            notes.add("unreadable_price", what, done, lost=int(at == 0), examples=[example])
