"""Content negotiation: the weights of a header decide, the most specific range of each offer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_streams.web.accept import preferred

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
