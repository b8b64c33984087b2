"""``vpp backtest``: what a person, a browser and a program are told; mistakes are one line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.support.market_factory import duck_days
from tests.support.paths import DOCS
from vpp_streams.cli import build_app
from vpp_streams.errors import InputError

FLEET = DOCS / "examples" / "one-megapack.yaml"
DAYS = 6


@pytest.fixture
def hourly(tmp_path: Path) -> Path:
    """Day-ahead prices of one zone, without a gap."""
    return table(tmp_path / "DE.csv", "60min", duck_days(DAYS))


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A day in five minutes: cleared interval by interval."""
    return table(tmp_path / "quick.csv", "5min", QUICK)


QUICK = np.repeat(duck_days(1), 12)


def table(path: Path, step: str, energy: np.ndarray) -> Path:
    starts = np.datetime64("2024-03-04T00:00:00") + np.arange(len(energy)) * np.timedelta64(
        int(step.removesuffix("min")), "m"
    )
    rows = [f"{start}Z,{price:.2f}" for start, price in zip(starts, energy, strict=True)]
    path.write_text("\n".join(["start,price [EUR/MWh]", *rows]))
    return path


def with_load(path: Path, days: int) -> Path:
    """Day-ahead prices that a load forecast tells of, but past prices do not."""
    rng = np.random.default_rng(1)
    load = duck_days(days) + rng.normal(0, 60, days * 24)
    lines = table(path, "60min", load + rng.normal(0, 2, days * 24)).read_text().splitlines()
    rows = [f"{line},{value * 1e5:.1f}" for line, value in zip(lines[1:], load, strict=True)]
    path.write_text("\n".join([f"{lines[0]}, Load Forecast ", *rows]))
    return path


def backtest(market: Path, *words: str | Path, fleet: Path = FLEET) -> Result:
    return CliRunner().invoke(
        build_app(),
        ["backtest", "--market", str(market), "--fleet", str(fleet), *map(str, words)],
        env={"COLUMNS": "160", "NO_COLOR": "1"},
    )


def told(result: Result) -> dict[str, str]:
    """Name and value of each line of the table."""
    assert result.exit_code == 0, result.output
    found = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in result.stdout.splitlines())
    return {row[0]: row[1] for row in found if len(row) == 2}


def test_a_person_sees_what_was_earned_and_where_the_rest_went(hourly: Path) -> None:
    rows = told(backtest(hourly, "--forecast", "profile"))
    assert rows["market"] == "DE, energy"
    assert rows["span"].startswith("2024-03-05 to 2024-03-09, 120 intervals")
    assert rows["of perfect foresight"].endswith("%")
    assert rows["regret: solver"] == "0 EUR"
    assert rows["limits broken"] == "0"
    assert "between its 10 % and 90 % quantile, of a mean pinball loss of" in rows["price forecast"]
    assert rows["rungs"].startswith(("warm_lp", "fresh_lp"))
    earned, perfect = (
        float(rows[name].removesuffix(" EUR").replace(",", ""))
        for name in ("revenue", "perfect foresight")
    )
    assert 0 < earned <= perfect


def test_a_program_gets_the_same_numbers(hourly: Path) -> None:
    found = json.loads(backtest(hourly, "--forecast", "profile", "--json").stdout)
    rows = told(backtest(hourly, "--forecast", "profile"))
    assert rows["revenue"] == f"{found['money']:,.0f} EUR"
    assert rows["of perfect foresight"] == f"{found['share']:.1%}"
    assert found["intervals"] == 24 * (DAYS - 1)
    assert 0 < found["pinball"] < found["forecast_error"]
    lost = sum(found["regret"].values())
    assert found["money"] + lost == pytest.approx(found["perfect"])


def test_a_page_has_the_same_numbers_and_its_pictures(hourly: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    result = backtest(hourly, "--forecast", "profile", "--html", file)
    assert f"report: {file}" in result.stdout.replace("\n", "")
    page = file.read_text()
    assert told(result)["revenue"] in page
    assert page.count("<svg") >= 3
    assert "nan" not in page.lower()
    assert "http" not in re.sub(r"xmlns='[^']*'", "", page)  # it works without a network


def test_names_from_a_file_are_text_on_the_page(hourly: Path, tmp_path: Path) -> None:
    file, zone = tmp_path / "report.html", "<script>alert(1)</script>"
    lines = hourly.read_text().splitlines()
    hourly.write_text("\n".join([f"{lines[0]},zone", *(f"{row},{zone}" for row in lines[1:])]))
    assert backtest(hourly, "--forecast", "profile", "--html", file).exit_code == 0
    assert "<script" not in file.read_text()


@pytest.mark.parametrize(
    "energy",
    [
        QUICK[12 * 8 : 12 * 18],  # the cheapest hours, and the first of the dear ones
        pytest.param(QUICK, marks=pytest.mark.nightly),
    ],
)
def test_short_intervals_are_bid_one_by_one_and_what_devices_withhold_is_told(
    energy: np.ndarray, tmp_path: Path
) -> None:
    quick = table(tmp_path / "quick.csv", "5min", energy)
    options = ("--answers", "0.8", "--efficiency", "0.9", "--wear", "5")
    found = json.loads(backtest(quick, *options, "--json").stdout)
    assert found["intervals"] == len(energy)
    assert found["regret"]["delivery"] != 0  # of one day, luck may make it a gain
    assert found["breaches"] == 0
    whole = json.loads(backtest(quick, "--efficiency", "0.9", "--wear", "5", "--json").stdout)
    assert whole["regret"]["delivery"] == 0
    assert whole["money"] == pytest.approx(found["money"] + found["regret"]["delivery"])


def test_gaps_are_told_and_no_price_is_made_up(hourly: Path) -> None:
    lines = hourly.read_text().splitlines()
    del lines[50:53]
    hourly.write_text("\n".join(lines))
    result = backtest(hourly, "--forecast", "profile")
    assert "(3): gaps: nothing filled in" in result.stderr
    assert told(result)["span"].split(", ")[1] == "96 intervals"  # the day with the gap is left out


def test_a_column_that_was_known_before_the_gate_makes_bids_better(tmp_path: Path) -> None:
    file = with_load(tmp_path / "DE.csv", 60)
    words = ("--score-from", "2024-04-23", "--json")  # the last ten days
    blind = json.loads(backtest(file, *words).stdout)
    result = backtest(file, *words, "--known-before-gate", "load forecast")
    found = json.loads(result.stdout)
    assert blind["intervals"] == found["intervals"] == 240
    assert found["share"] > blind["share"] + 0.1
    assert found["forecast_error"] < 0.9 * blind["forecast_error"]
    assert "cannot be read" not in result.stderr  # a load of millions is no price, but a load


def test_a_zone_of_time_shifts_the_first_day(tmp_path: Path) -> None:
    """A day in Berlin begins an hour before the day in UTC, where it is winter all year."""
    file = with_load(tmp_path / "DE.csv", 10)
    rows = told(backtest(file, "--forecast", "naive", "--score-from", "2024-03-12"))
    assert rows["span"].startswith("2024-03-12 to 2024-03-13, 48 intervals")
    berlin = ("--forecast", "naive", "--time-zone", "Europe/Berlin", "--score-from", "2024-03-13")
    rows = told(backtest(file, *berlin))
    # The stamps are UTC, so the last day in Berlin lacks an hour and is left out.
    assert rows["span"].startswith("2024-03-12 to 2024-03-13, 24 intervals")


def test_a_column_that_is_not_there_is_one_line_with_those_that_are(tmp_path: Path) -> None:
    file = with_load(tmp_path / "DE.csv", 3)
    error = str(backtest(file, "--known-before-gate", "Wind").exception)
    assert "it has no column 'Wind'; it has 'start', 'price [EUR/MWh]', 'Load Forecast'" in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "words",
    [
        ("--known-before-gate", "load"),
        ("--score-from", "2024-03-04"),
        ("--orders", "loop"),
        ("--overnight",),
    ],
)
def test_a_market_that_is_not_day_ahead_has_no_day_that_only_trains(
    quick: Path, words: tuple[str, ...]
) -> None:
    header, *rows = quick.read_text().replace("price [EUR/MWh]", "price").splitlines()
    quick.write_text("\n".join([f"{header},load", *(f"{row},1" for row in rows)]))
    result = backtest(quick, *words)
    assert isinstance(result.exception, InputError), result.output
    assert "is no day-ahead market" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--score-from", "2030-01-01"), "no complete day"),
        (("--known-before-gate", "price [EUR/MWh]"), "is a price that is read already"),
        (("--reserve", "much"), "write quantile:0.1, flat:0.1 or n-1:0.2"),
        (("--reserve", "flat:1.5"), "write quantile:0.1, flat:0.1 or n-1:0.2"),
        (("--country", "XQ"), "write a code such as DE, FR or AU"),
        (("--time-zone", "Mars/Base"), "Mars/Base"),
        (("--html", "/no/such/folder/report.html"), "cannot write"),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(
    hourly: Path, words: tuple[str, ...], says: str
) -> None:
    result = backtest(hourly, "--forecast", "profile", *words)
    assert isinstance(result.exception, InputError), result.output
    assert says in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_fleet_without_batteries_and_a_file_without_prices_are_told(
    hourly: Path, tmp_path: Path
) -> None:
    solar = tmp_path / "solar.yaml"
    solar.write_text(
        "sites:\n  - site_id: s\n    region: r\n    devices:\n"
        "      - {device_id: d, kind: solar, rated_solar_w: 5000, token: change-me}\n"
    )
    no_battery = backtest(hourly, fleet=solar)
    assert isinstance(no_battery.exception, InputError), no_battery.output
    assert "no battery" in str(no_battery.exception)
    empty = tmp_path / "empty.csv"
    empty.write_text("start,price [EUR/MWh]\n")
    result = backtest(empty)
    assert isinstance(result.exception, InputError), result.output
    one_day = table(tmp_path / "one.csv", "60min", duck_days(1))
    assert "no complete day" in str(backtest(one_day).exception)
