"""Reads the cells of a table as prices, by the decimal mark that all of its numbers show."""

from collections.abc import Callable, Sequence
from itertools import chain

from vpp_streams.domain.files.price_files.cells import note_prices, number_of, price_of
from vpp_streams.domain.files.price_files.decimals import Mark, Plain, decimal_mark, plain_number
from vpp_streams.domain.files.price_files.report import Notes, RefusedError, Wanted
from vpp_streams.domain.files.price_files.table_header import Layout

Row = tuple[int, list[str]]
"""The number of a line in the file, and its cells."""
Values = tuple[float, ...]
"""A row's value of each column of `Layout.values`; NaN = not known."""


def mark_of(
    layout: Layout,
    times: Sequence[int | None],
    rows: Sequence[Row],
    comma_cells: bool,
    wanted: Wanted,
) -> Mark:
    """The decimal mark of a table. Raises `RefusedError` where its numbers leave it open."""
    if wanted.decimal is not None:
        return wanted.decimal
    prices = [column.at for column in layout.values]
    others = [at for at in range(layout.width) if at not in {*prices, *times, layout.zone}]
    for columns in (prices, prices + others):
        cells = chain.from_iterable((cells[at] for at in columns) for _, cells in rows)
        mark = decimal_mark(cells, comma_cells)
        if mark is not None:
            return mark
    raise RefusedError(
        "its numbers leave open whether 1.236 is one or a thousand and more; give the decimal mark:"
        " `vpp prices --decimal point` or `--decimal comma`"
    )


def values_reader(
    layout: Layout, mark: Mark, factors: Sequence[float], notes: Notes
) -> Callable[[Row], Values]:
    """A function that reads the values of a row, and notes how it read them."""

    traded = len(layout.products)

    def read(row: Row) -> Values:
        line, cells = row
        texts = [cells[column.at] for column in layout.values]
        plain = [plain_number(text, mark) for text in texts]
        for text, number in zip(texts, plain, strict=True):
            _note(text, number, mark, notes)
        numbers = [number.text if number else "" for number in plain]
        prices = map(price_of, numbers[:traded], factors[:traded])
        values = (*prices, *map(number_of, numbers[traded:]))
        note_prices(notes, values, texts, [column.name for column in layout.values], line)
        return values

    return read


def _note(text: str, number: Plain | None, mark: Mark, notes: Notes) -> None:
    if number is None:
        return
    if mark == "," and mark in text:
        notes.add("converted", "Prices with a decimal comma.", "read so", examples=[text[:20]])
    if number.is_grouped:
        what, example = "Prices with marks between thousands.", f"{text[:20]} as {number.text[:20]}"
        notes.add("converted", what, "read without the marks", examples=[example])
