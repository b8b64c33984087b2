"""Times that people write as options."""

import pytest

from vpp_streams.domain.files.spoken_time import utc_ms
from vpp_streams.errors import InputError


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        (None, None),
        ("2024-03-01", 1_709_251_200_000),
        ("2024-03-01T12:00", 1_709_294_400_000),
        ("2024-03-01T12:00+02:00", 1_709_287_200_000),
    ],
)
def test_an_iso_time_is_utc_unless_it_names_a_zone(text: str | None, ms: int | None) -> None:
    assert utc_ms("--at", text) == ms


def test_what_is_no_time_is_one_line_with_the_option() -> None:
    with pytest.raises(InputError, match=r"^--at tomorrow: give a time like 2024-03-01 or"):
        utc_ms("--at", "tomorrow")
