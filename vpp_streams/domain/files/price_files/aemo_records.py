"""The tables of an AEMO file: one in a flat CSV export, several in raw MMS records.

MMS records are lines of CSV: C comments (the last one counts the lines), I the columns of a
table, D its rows. A table may be in parts with other columns.
"""

from dataclasses import dataclass, field

from vpp_streams.domain.files.price_files.cells import lines_of
from vpp_streams.domain.files.price_files.report import Notes


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a table, with the columns of the header line above them."""

    header: list[str]
    """Names of the columns in capitals; empty for a cell that is not a column."""
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    """The line of a row in the file, and its cells."""


def is_records(text: str) -> bool:
    """Whether a file begins like MMS records."""
    return text[:100].lstrip().upper().startswith(("C,", "I,", "D,"))


def flat_table(text: str) -> Part:
    """The table of a flat export: a header, then rows."""
    lines = lines_of(text)
    _, header = next(lines, (0, []))
    return Part([cell.upper() for cell in header], list(lines))


def record_tables(text: str, notes: Notes) -> dict[str, list[Part]]:
    """The parts of each table of MMS records by its name (``DISPATCH,PRICE``)."""
    tables: dict[str, list[Part]] = {}
    strays: list[str] = []
    open_: tuple[str, str, str] | None = None
    number, count_text = 0, ""
    for number, cells in lines_of(text):
        kind, name, version = cells[0].upper(), ",".join(cells[1:3]).upper(), "".join(cells[3:4])
        if kind == "I":
            open_ = (kind, name, version)
            header = ["", "", "", "", *(cell.upper() for cell in cells[4:])]
            tables.setdefault(name, []).append(Part(header))
        elif kind == "D" and open_ is not None and open_[1:] == (name, version):
            tables[name][-1].rows.append((number, cells))
        elif kind == "C":
            if len(cells) > 2 and cells[1].upper() == "END OF REPORT":
                count_text = cells[2]
        else:
            strays.append(f"line {number}: {','.join(cells)[:40]}")
    what = "Lines that are no row of the table that was announced before them."
    notes.add(
        "unreadable_row", what, "left out", count=len(strays), lost=len(strays), examples=strays[:3]
    )
    _check_count(count_text, number, notes)
    return tables


def _check_count(count_text: str, lines: int, notes: Notes) -> None:
    """Compare the number of lines with the count in the last line, which includes itself."""
    if not count_text:
        what = (
            "The last line (END OF REPORT, with the count of lines) is not there: the file is cut."
        )
        notes.add("row_count", what, "what is there was read", lost=1)
    elif count_text != str(lines):
        what = f"END OF REPORT counts {count_text[:20]} lines; the file has {lines}."
        is_number = count_text.isdecimal() and len(count_text) < 10
        missing = max(1, int(count_text) - lines) if is_number else 1
        notes.add("row_count", what, "what is there was read", lost=missing)
