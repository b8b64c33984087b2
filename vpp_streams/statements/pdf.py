"""A statement as PDF: A4 pages, the same bytes for the same document."""

from datetime import UTC, datetime
from importlib.resources import files

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace

from vpp_streams.domain.statements.arithmetic import amount
from vpp_streams.domain.statements.document import StatementDocument, StatementRow
from vpp_streams.domain.statements.words import (
    measured_said,
    month_name,
    state_said,
    storms_said,
    sums,
    terms_said,
)

FONT = "Roboto"
_MARGIN_MM, _LINE_MM = 18, 5.2
_INK, _QUIET, _RULE = (25, 30, 38), (95, 103, 115), (205, 210, 218)
_BODY_PT, _SMALL_PT, _TITLE_PT, _HEAD_PT = 9.5, 8.5, 20, 11.5


class _Pages(FPDF):
    """A4 pages with the statement's name at the foot of each."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self._foot = foot
        self.set_margins(_MARGIN_MM, _MARGIN_MM)
        self.set_auto_page_break(auto=True, margin=22)
        fonts = files("font_roboto") / "files"
        self.add_font(FONT, "", str(fonts / "Roboto-Regular.ttf"))
        self.add_font(FONT, "B", str(fonts / "Roboto-Bold.ttf"))
        self.set_text_color(*_INK)
        self.set_draw_color(*_RULE)

    def normalize_text(self, text: str) -> str:
        """Replace characters that the font does not have, which would be blank; called for all."""
        known = self.current_font.cmap  # type: ignore[union-attr]  # only TrueType fonts are added
        return "".join(c if ord(c) in known else "?" for c in super().normalize_text(text))

    def footer(self) -> None:
        """Write the foot of a page; called by the library."""
        self.set_y(-15)
        self.set_font(FONT, "", 8)
        self.set_text_color(*_QUIET)
        self.cell(0, 5, f"{self._foot} · page {self.page_no()} of {{nb}}", align="C")
        self.set_text_color(*_INK)

    def write_line(
        self, text: str, *, pt: float = _BODY_PT, style: str = "", gap: float = 0
    ) -> None:
        """Write a paragraph over the full width."""
        self.set_font(FONT, style, pt)
        self.multi_cell(0, pt * 0.52, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")
        if gap:
            self.ln(gap)

    def quiet(self, text: str, *, gap: float = 0) -> None:
        """Write a paragraph that explains."""
        self.set_text_color(*_QUIET)
        self.write_line(text, pt=_SMALL_PT, gap=gap)
        self.set_text_color(*_INK)

    def head(self, text: str) -> None:
        """Write the heading of a part; it is never the last line of a page."""
        if self.will_page_break(3 * _LINE_MM):
            self.add_page()
        self.ln(4)
        self.write_line(text, pt=_HEAD_PT, style="B", gap=1.5)


def pdf_of(document: StatementDocument) -> bytes:
    """The statement as a PDF file."""
    title = f"Statement for {month_name(document.month)}"
    pages = _Pages(f"{document.site_id} · {document.month}")
    pages.set_title(f"{title}: {document.site_id}")
    pages.set_lang("en")
    # A clock would make each copy another file.
    pages.set_creation_date(datetime.fromtimestamp(document.ends_ms / 1000, UTC))
    pages.add_page()
    pages.write_line(title, pt=_TITLE_PT, style="B", gap=1)
    pages.write_line(f"Home {document.site_id}", pt=_HEAD_PT)
    pages.quiet(f"Months are those of {document.zone}. {state_said(document)}", gap=2)
    _rows(pages, document)
    _sums(pages, document)
    pages.head("What was measured")
    pages.write_line(measured_said(document))
    pages.head("Storms")
    pages.write_line(storms_said(document))
    pages.head("How to check it")
    for sentence in document.how_to_check:
        pages.write_line(sentence, pt=_SMALL_PT, gap=1)
    return bytes(pages.output())


def _rows(pages: _Pages, document: StatementDocument) -> None:
    pages.head("What you earned")
    if not document.rows:
        pages.write_line("Nothing was settled for this home in this month.")
    for row in document.rows:
        _row(pages, row)
    if document.corrected.micros:
        pages.quiet(
            "Of this, corrections of earlier months that had been closed:"
            f" {amount(document.corrected.micros, document.currency, 6)}.",
            gap=1,
        )


def _row(pages: _Pages, row: StatementRow) -> None:
    if pages.will_page_break(5 * _LINE_MM):
        pages.add_page()
    pages.set_font(FONT, "B", _BODY_PT)
    pages.cell(pages.epw - 45, _LINE_MM, row.said)
    total = amount(row.amount.micros, row.amount.currency, 6)
    pages.cell(45, _LINE_MM, total, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pages.write_line(row.formula.text)
    counted = f"{row.intervals:,} {'interval' if row.intervals == 1 else 'intervals'}"
    pages.quiet(f"{counted}; {terms_said(row)}.")
    if row.formula.note:
        pages.quiet(row.formula.note)
    pages.ln(1.5)
    pages.line(pages.l_margin, pages.get_y(), pages.w - pages.r_margin, pages.get_y())
    pages.ln(1.5)


def _sums(pages: _Pages, document: StatementDocument) -> None:
    lines = sums(document)
    if pages.will_page_break((len(lines) + 1) * (_LINE_MM + 1)):
        pages.add_page()
    pages.ln(2)
    pages.set_font(FONT, "", _BODY_PT)
    strong = FontFace(emphasis="BOLD")
    with pages.table(
        borders_layout="NONE",
        first_row_as_headings=False,
        col_widths=(2, 1),
        text_align=("LEFT", "RIGHT"),
        line_height=_LINE_MM + 0.8,
    ) as table:
        for number, (what, how_much) in enumerate(lines):
            row = table.row(style=strong if number in (0, len(lines) - 2) else None)
            row.cell(what)
            row.cell(how_much)
