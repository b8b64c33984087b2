"""The decimal mark of a table, told by all of its numbers."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paths import SHARED_DATA
from tests.support.price_tables import energy, found, read, starts
from vpp_streams.domain.files.price_files.decimals import decimal_mark, plain_number
from vpp_streams.domain.files.price_files.read import read_price_file

TABLES = SHARED_DATA / "public_reports" / "prices" / "tables"


def table(numbers: Sequence[str], delimiter: str = ";") -> str:
    """Hours with these prices; a cell with the delimiter in it is quoted."""
    cells = [f'"{number}"' if delimiter in number else number for number in numbers]
    lines = [f"2024-01-{1 + at // 24:02} {at % 24:02}:00" for at in range(len(cells))]
    body = [f"{line}{delimiter}{cell}" for line, cell in zip(lines, cells, strict=True)]
    return "\n".join([f"start{delimiter}price (EUR/MWh)", *body])


@pytest.mark.skipif(not TABLES.exists(), reason="no public_reports in ../shared/data")
@pytest.mark.parametrize("name", ["de_grouped_mixed.csv", "tab_grouped_en.csv"])
def test_reported_thousands_are_thousands(name: str) -> None:
    reading = read_price_file((TABLES / name).read_bytes(), name=name)
    prices = energy(reading)
    assert len(prices) == 24
    assert prices[17:19] == [1006, 1236]
    assert max(prices[:17] + prices[19:]) == 159
    assert "1.236 as 1236" in str(reading.report) or "1,236 as 1236" in str(reading.report)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (["12.50", "1.236"], [12.5, 1.236]),
        (["12,50", "13,50", "1.236"], [12.5, 13.5, 1236]),
        (["12.50", "13.50", "1,236"], [12.5, 13.5, 1236]),
        (["0.065", "1.236"], [0.065, 1.236]),
        (["0,065", "1,236"], [0.065, 1.236]),
        (["1.236,50", "999,5"], [1236.5, 999.5]),
        (["1,236.50", "999.5"], [1236.5, 999.5]),
        (["1.236.000", "1,5", "2,5"], [None, 1.5, 2.5]),
        (["1 236,50", "99,50"], [1236.5, 99.5]),
        (["1\u202f236,50", "99,50"], [1236.5, 99.5]),
        (["1'236.50", "99.50"], [1236.5, 99.5]),
        (["\u22125,25", "-3,5"], [-5.25, -3.5]),
        (["1.236", "20", "30"], [1236, 20, 30]),
        (["1,236", "20", "30"], [1236, 20, 30]),
        (["-1,236", "20", "30"], [-1236, 20, 30]),
        (["1.236", "1236", "20"], [1.236, 1236, 20]),
        (["1e2", "1.5"], [100, 1.5]),
        (["7", "12"], [7, 12]),
    ],
)
def test_marks_are_read_as_the_file_s_numbers_tell(
    numbers: list[str], expected: list[float | None], delimiter: str
) -> None:
    if delimiter == "," and numbers[:3] == ["1.236", "20", "30"]:
        expected = [1.236, 20, 30]  # a comma between cells: points are decimal
    got = energy(read(table(numbers, delimiter)))
    assert got == [number for number in expected if number is not None]


@pytest.mark.parametrize(
    "numbers",
    [
        ["1.236", "2.512", "45.123"],
        ["1,236", "2,512", "45,123"],
        ["1.236", "45,123", "20", "30"],
        ["12,5", "12.5", "13,5", "13.5"],
        ["12,5", "45.123", "46.512", "47.003"],
        ["1.236", "20"],
    ],
)
def test_numbers_that_leave_the_mark_open_are_refused_with_the_option(numbers: list[str]) -> None:
    failure = read(table(numbers)).report.failure
    assert "`vpp prices --decimal point`" in failure
    assert "\n" not in failure
    point, comma = (read(table(numbers), decimal=mark) for mark in (".", ","))
    assert list(zip(starts(point), energy(point), strict=True)) != list(
        zip(starts(comma), energy(comma), strict=True)
    )


def test_a_number_that_does_not_fit_is_left_out_and_said() -> None:
    numbers = [f"{at}.50" for at in range(23)] + ["12,5"]
    reading = read(table(numbers))
    assert energy(reading) == [at + 0.5 for at in range(23)]
    assert found(reading) == {"unreadable_price": (1, 1)}
    assert "'12,5'" in reading.report.of("unreadable_price")[0].examples[0]


def test_other_columns_tell_the_mark_where_prices_do_not() -> None:
    rows = [f"2024-01-01 0{at}:00;1.{at}36;10,{at}5" for at in range(3)]
    text = "\n".join(["start;price (EUR/MWh);volume", *rows])
    assert "--decimal" in read(text).report.failure
    more = text + "".join(f"\n2024-01-01 0{at}:00;2.{at}36;10,{at}" for at in range(3, 6))
    assert "--decimal" in read(more).report.failure
    wide = text.replace("volume", "volume;load").replace("5\n", "5;7,5\n") + ";7,5"
    assert energy(read(wide)) == [1036, 1136, 1236]


@given(st.lists(st.floats(-9e5, 9e5).map(lambda x: round(x, 2)), min_size=12, max_size=40))
def test_a_number_that_is_written_is_the_number_that_is_read(numbers: list[float]) -> None:
    for mark, group in ((".", ","), (",", ".")):
        swap = str.maketrans({".": mark, ",": group})
        texts = [f"{number:,.2f}".translate(swap) for number in numbers]
        told = decimal_mark(texts, comma_separates_cells=False)
        assert told == mark
        plain = [plain_number(text, mark) for text in texts]
        assert [float(each.text) for each in plain if each] == numbers
