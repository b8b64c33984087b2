"""The PDF of a statement: the same bytes each time, any name, as many pages as it takes."""

import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pypdf import PdfReader

from schemas.programs import Program
from tests.support.settle_world import SHARE_60, terms
from tests.support.site_entries import entry
from vpp_streams.domain.ledger.site_entries import SiteEntry
from vpp_streams.domain.settle.storm_cost import StormBill
from vpp_streams.domain.statements.document import MonthBooks, StatementDocument, document_of
from vpp_streams.statements.pdf import pdf_of


def document(
    *entries: SiteEntry, programs: tuple[Program, ...] = (), **books: Any
) -> StatementDocument:
    facts: dict[str, Any] = {
        "zone": ZoneInfo("UTC"),
        "closed": True,
        "owed_before_micros": 0,
        "decimals": 2,
    }
    return document_of("home-1", "2025-10", entries, programs, MonthBooks(**(facts | books)))


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def test_the_same_statement_is_the_same_file_and_has_no_clock_in_it() -> None:
    pdf = pdf_of(document(entry()))
    assert pdf == pdf_of(document(entry()))
    metadata = PdfReader(io.BytesIO(pdf)).metadata
    assert metadata is not None
    assert f"{metadata.creation_date:%Y-%m-%d %H:%M}" == "2025-11-01 00:00"
    assert metadata.title == "Statement for October 2025: home-1"


@pytest.mark.parametrize("name", ["Müller & Søn", "Жители Ωμέγα", "電力 ☀ house"])
def test_a_program_may_have_any_name(name: str) -> None:
    program = terms(SHARE_60, program_id="p", name=name)
    text = text_of(pdf_of(document(entry(), programs=(program,))))
    assert name.replace("電力 ☀", "?? ?") in text


def test_many_lines_take_several_pages_and_each_is_numbered() -> None:
    many = [entry(n, program_version=n + 1) for n in range(40)]
    pages = PdfReader(io.BytesIO(pdf_of(document(*many)))).pages
    assert len(pages) > 2
    for number, page in enumerate(pages, start=1):
        assert f"home-1 · 2025-10 · page {number} of {len(pages)}" in page.extract_text()
    for version in range(1, 41):
        assert any(f"terms version {version}" in page.extract_text() for page in pages)


def test_storms_are_stated_and_are_not_in_the_total() -> None:
    told = document(entry(), storms=StormBill(1_250_000, 3))
    text = text_of(pdf_of(told))
    assert "1.2500 EUR by your tariff, for information" in text
    assert "3 intervals without a measurement are not in it" in text
    assert told.total.micros == 8_000
    one = text_of(pdf_of(document(entry(), storms=StormBill(1_250_000, 1))))
    assert "1 interval without a measurement is not in it" in one
    assert "its cost is not known" in text_of(pdf_of(document(entry())))


def test_an_empty_month_says_so() -> None:
    text = text_of(pdf_of(document()))
    assert "Nothing was settled for this home in this month." in text
