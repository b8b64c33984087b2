"""The format that a client gets, by the header that it sends."""

import pytest

from vpp_streams.web.accepts import format_of
from vpp_streams.web.problems import ApiError


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("application/pdf", "pdf"),
        ("text/csv;q=0.9, application/pdf;q=0.5", "csv"),
        ("image/png, application/PDF ; q=0.1", "pdf"),
    ],
)
def test_the_preferred_format_is_chosen(accept: str, format_: str) -> None:
    assert format_of(accept) == format_


@pytest.mark.parametrize("accept", ["image/png", "application/pdf;q=0", "text/csv;q=x"])
def test_a_header_that_names_none_of_ours_is_refused(accept: str) -> None:
    with pytest.raises(ApiError, match="there is no statement as"):
        format_of(accept)
