"""``vpp prices``: what a person and a program are told of a price file."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpp_streams.cli import build_app
from vpp_streams.errors import InputError
from vpp_streams.process import user_files

HEAD = "SETTLEMENTDATE,RUNNO,REGIONID,INTERVENTION,RRP,RAISEREGRRP"
ROWS = [
    f"2024/07/01 10:{minute:02}:00,1,{zone},0,{price},2.5"
    for minute, price in ((5, 40), (10, 60), (20, 110))
    for zone in ("SA1", "NSW1")
]
GERMAN = "Zeit time,price [EUR/MWh]\n" + "".join(
    f"2024-10-{day} {hour:02}:00,{hour}\n" for day in (26, 27) for hour in range(24)
)


@pytest.fixture
def aemo(tmp_path: Path) -> Path:
    path = tmp_path / "prices.csv"
    path.write_text("\n".join([HEAD, *ROWS]))
    return path


def prices(*args: str | Path) -> Result:
    result = CliRunner().invoke(
        build_app(), ["prices", *map(str, args)], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )
    if isinstance(result.exception, InputError):
        return result
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_person_sees_zones_span_prices_and_findings(aemo: Path) -> None:
    told = prices(aemo).stdout
    assert "AEMO dispatch prices" in told
    assert "NSW1  2024-07-01 00:00 UTC to 2024-07-01 00:20 UTC, 3 intervals of 5 min" in told
    energy = next(line for line in told.splitlines() if line.split()[:1] == ["energy"])
    assert energy.split() == ["energy", "AUD/MWh", "40.00", "70.00", "110.00", "3"]
    gap = next(line for line in told.splitlines() if "gap:" in line)
    assert gap.split()[0] == "2"
    assert "nothing filled in" in gap


def test_a_clean_file_is_said_to_be(aemo: Path) -> None:
    aemo.write_text("\n".join([HEAD, *ROWS[:4]]))
    assert "nothing was found that is wrong" in prices(aemo).stdout


def test_a_program_gets_one_object_a_file(aemo: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(aemo.read_bytes()))
    first, second = map(json.loads, prices(aemo, packed, "--json").stdout.splitlines())
    assert first["zones"] == ["NSW1", "SA1"]
    assert first["lost"] == 2
    assert first["prices"][1]["zone"] == "SA1"
    assert first["prices"][1]["products"]["energy"] == {
        "min": 40,
        "mean": 70,
        "max": 110,
        "known": 3,
    }
    assert [finding["kind"] for finding in first["findings"]] == ["gap"]
    assert second == {**first, "file": str(packed)}


def test_strict_is_1_only_where_prices_are_missing(aemo: Path) -> None:
    assert prices(aemo).exit_code == 0
    assert prices(aemo, "--strict").exit_code == 1
    aemo.write_text("\n".join([HEAD + ",NEW", *(f"{row},1" for row in ROWS[:4])]))
    told = prices(aemo, "--strict")
    assert "unknown_column" in told.stdout
    assert told.exit_code == 0


def test_a_wrong_zone_lists_those_there_are(aemo: Path) -> None:
    error = prices(aemo, "--zone", "WA").exception
    assert isinstance(error, InputError)
    assert str(error) == f"{aemo}: there is no zone 'WA' in it; it has NSW1, SA1"


def test_what_is_no_price_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all,\nprices will rise.\n")
    error = prices(path).exception
    assert isinstance(error, InputError)
    assert "no price file that is known here" in str(error)
    assert "\n" not in str(error)


def test_good_files_are_shown_beside_one_that_is_not(aemo: Path, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all,\n")
    result = prices(path, aemo)
    assert isinstance(result.exception, InputError)
    assert "AEMO dispatch prices" in result.stdout


def test_local_times_are_read_in_their_zone(tmp_path: Path) -> None:
    path = tmp_path / "DE_LU.csv"
    path.write_text(GERMAN)
    told = prices(path, "--time-zone", "Europe/Berlin")
    assert "DE_LU  2024-10-25 22:00 UTC to 2024-10-27 23:00 UTC, 47 intervals" in told.stdout
    assert "ambiguous_hour" in told.stdout


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--time-zone", "Mars"), "no time zone 'Mars'"),
        (("--interval", "often"), "not a duration"),
        (("--interval", "15m"), "it has no prices of 15 min"),
        (("--column", "price=RRP"), "PRODUCT=COLUMN"),
        (("--column", "energy=NONE"), "NONE"),
        (("--currency", "euro"), "three letters"),
        (("--currency", "EUR"), "its prices are in AUD"),
        (("--unit", "foo/kWh"), "is no unit of price: 'foo' in it is not known here"),
    ],
)
def test_wrong_options_say_the_way_out(aemo: Path, option: tuple[str, str], told: str) -> None:
    error = prices(aemo, *option).exception
    assert isinstance(error, InputError)
    assert told in str(error)


def test_another_column_is_read_where_it_is_named(aemo: Path) -> None:
    told = json.loads(prices(aemo, "--column", "energy=RAISEREGRRP", "--json").stdout)
    assert told["prices"][0]["products"]["energy"]["mean"] == 2.5


def test_a_file_that_cannot_be_opened_or_unpacked_is_one_line(tmp_path: Path) -> None:
    missing = prices(tmp_path / "none.csv").exception
    assert isinstance(missing, InputError)
    assert "No such file" in str(missing)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"start,price\n" * 100)[:-20])
    damaged = prices(cut).exception
    assert isinstance(damaged, InputError)
    assert "cannot be unpacked" in str(damaged)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_files, "MOST_PRICE_BYTES", 1 << 20)
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(b"0" * (64 << 20)))
    assert bomb.stat().st_size < 1 << 20
    error = prices(bomb).exception
    assert isinstance(error, InputError)
    assert "more than 1 MiB" in str(error)


def test_unit_and_decimal_mark_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "tariff.csv"
    path.write_text("start;price\n2024-01-01 00:00;21.236\n2024-01-01 01:00;22.512\n")
    assert "--decimal" in str(prices(path).exception)
    told = json.loads(prices(path, "--decimal", "point", "--unit", "p/kWh", "--json").stdout)
    (found,) = told["prices"]
    assert (found["currency"], found["products"]["energy"]["max"]) == ("GBP", 225.12)
