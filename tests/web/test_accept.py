"""Content negotiation: the weights of a header decide, the most specific range of each offer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.serving.problems import ApiError
from vpp_streams.web.accept import format_for, preferred

JSON, CSV, PARQUET = OFFERS = "application/json", "text/csv", "application/vnd.apache.parquet"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("text/*", CSV),
        ("TEXT/CSV;charset=utf-8", CSV),
        ("application/vnd.apache.parquet", PARQUET),
        ("application/*", JSON),
        ("application/json;q=0.5, text/csv;q=0.9", CSV),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("*/*;q=0.1, application/json;q=0, text/csv;q=0", PARQUET),
        ("application/*;q=0.2, application/json;q=0.1", PARQUET),
        ("text/csv;q=0", None),
        ("text/html", None),
        ("text/csv;q=2, text/html", None),
        ("text/csv;q=, image/png", None),
        ("csv", None),
        ("*/*;q=nan", None),
    ],
)
def test_the_preferred_type_is_chosen(accept: str | None, chosen: str | None) -> None:
    assert preferred(accept, OFFERS) == chosen


@given(st.text(max_size=60))
def test_no_header_is_an_error(accept: str) -> None:
    assert preferred(accept, OFFERS) in (*OFFERS, None)


FORMATS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "pdf": "application/pdf",
}


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("application/pdf", "pdf"),
        ("text/csv;q=0.9, application/pdf;q=0.5", "csv"),
        ("image/png, application/PDF ; q=0.1", "pdf"),
    ],
)
def test_the_preferred_format_is_chosen(accept: str | None, format_: str) -> None:
    assert format_for(accept, FORMATS, "statement") == format_


@pytest.mark.parametrize("accept", ["image/png", "application/pdf;q=0", "text/csv;q=x"])
def test_a_header_that_names_none_of_ours_is_refused(accept: str) -> None:
    with pytest.raises(ApiError, match="a statement is none of"):
        format_for(accept, FORMATS, "statement")
