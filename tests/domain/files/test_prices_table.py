"""CSV tables of prices: recorded ones against known answers, local time, and what is wrong."""

import csv
import gzip
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pytest

from tests.support.paths import SHARED_DATA
from tests.support.price_tables import (
    HOUR_MS,
    assumed,
    energy,
    found,
    ms_of,
    read,
    starts,
    utc_rows,
)
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.errors import InputError

EPF, DERVET = SHARED_DATA / "epf_day_ahead_hourly", SHARED_DATA / "dervet_caiso_2020"
EXOGENOUS = SHARED_DATA / "epf_day_ahead_exogenous"


# Recorded tables


@pytest.mark.skipif(not EPF.exists(), reason=f"no {EPF.name} in ../shared/data")
@pytest.mark.parametrize("name", ["DE", "NP"])
def test_published_forecasts_are_read_beside_the_prices(name: str) -> None:
    with (EPF / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    reading = read_price_file(
        (EPF / f"{name}.csv").read_bytes(),
        name=f"some/where/{name}.csv",
        currency="EUR",
        extra=("LEAR Ensemble", "DNN Ensemble"),
    )
    prices = reading.prices[name]
    assert len(rows) == 17_472
    assert (prices.currency, prices.interval_ms) == ("EUR", HOUR_MS)
    assert prices.energy.tolist() == [float(r["Real price"]) for r in rows]
    assert prices.start_ms.tolist() == [ms_of(datetime.fromisoformat(r["time"])) for r in rows]
    for column in ("LEAR Ensemble", "DNN Ensemble"):
        assert reading.extra[name][column].tolist() == [float(r[column]) for r in rows]
    # 728 days, the first and the last not counted, all of 24 hours: no local time.
    assert found(reading) == {"naive_days": (726, 0)}
    assert "taken as UTC" in assumed(reading)


@pytest.mark.skipif(not EXOGENOUS.exists(), reason=f"no {EXOGENOUS.name} in ../shared/data")
@pytest.mark.parametrize(
    ("zone", "columns"),
    [
        ("DE", ("Ampirion Load Forecast", "PV+Wind Forecast")),
        ("NP", ("Grid load forecast", "Wind power forecast")),
    ],
)
def test_series_are_read_beside_the_prices(zone: str, columns: tuple[str, str]) -> None:
    """Also where names have stray spaces, and the times no name at all."""
    data = gzip.decompress((EXOGENOUS / f"{zone}.csv.gz").read_bytes())
    rows = list(csv.reader(data.decode().splitlines()))[1:]
    reading = read_price_file(data, name=f"{zone}.csv.gz", currency="EUR", extra=columns)
    assert len(rows) == 52_416
    assert energy(reading) == [float(row[1]) for row in rows]
    assert starts(reading) == [ms_of(datetime.fromisoformat(row[0])) for row in rows]
    for at, column in enumerate(columns, 2):
        assert reading.extra[zone][column].tolist() == [float(row[at]) for row in rows]
    assert set(found(reading)) == {"naive_days"}


@pytest.mark.skipif(not EPF.exists(), reason=f"no {EPF.name} in ../shared/data")
def test_days_of_24_hours_are_no_local_days() -> None:
    reading = read_price_file(
        (EPF / "DE.csv").read_bytes(), name="DE.csv", time_zone="Europe/Berlin"
    )
    assert found(reading) == {
        "unknown_column": (2, 0),
        "no_such_hour": (2, 2),
        "ambiguous_hour": (2, 2),
        "dst_day": (4, 0),
        "naive_days": (4, 0),
        "gap": (4, 4),
    }
    assert len(energy(reading)) == 17_472 - 4


@pytest.mark.skipif(not DERVET.exists(), reason=f"no {DERVET.name} in ../shared/data")
def test_prices_per_kwh_at_hours_that_end() -> None:
    file = next(DERVET.glob("*.csv"))
    with file.open() as lines:
        rows = list(csv.reader(lines))[1:]
    reading = read_price_file(file.read_bytes(), name=file.name, zone="CAISO")
    prices = reading.prices["CAISO"]
    first = ms_of(datetime(2020, 1, 1))
    assert prices.start_ms.tolist() == [first + HOUR_MS * hour for hour in range(8784)]
    assert prices.currency == "USD"
    for at, product in enumerate(("energy", "reg_up", "reg_down"), 1):
        told = [1000 * float(row[at]) for row in rows]
        assert prices.per_product[product].tolist() == pytest.approx(told)  # type: ignore[index]
    assert found(reading) == {"converted": (3, 0), "naive_days": (365, 0)}


# Headers


@pytest.mark.parametrize(
    "header",
    [
        "start,price,reg_up,reg_down,reserve",
        "Timestamp,Day-ahead price [EUR/MWh],Reg Up,Reg Down,Spin",
        "start_utc,price_eur_mwh,RegUp,RegDown,contingency",
        "start,end_volume,x\n",
        "datetime,LMP,regulation up price,regulation dn price,spinning reserve",
    ],
)
def test_headers_that_are_known(header: str) -> None:
    reading = read(f"{header}\n2024-01-01T00:00Z,1,2,3,4\n2024-01-01T01:00Z,5,6,7,8\n")
    if "volume" in header:
        assert reading.report.failure
        return
    (prices,) = reading.prices.values()
    assert {k: v.tolist() for k, v in prices.per_product.items()} == {
        "energy": [1, 5],
        "reg_up": [2, 6],
        "reg_down": [3, 7],
        "reserve": [4, 8],
    }
    assert found(reading) == {}


@pytest.mark.parametrize(
    ("column", "factor", "currency"),
    [
        ("price", 1, "XXX"),
        ("price [EUR/MWh]", 1, "EUR"),
        ("price (€/kWh)", 1000, "EUR"),
        ("price_gbp_kwh", 1000, "GBP"),
        ("price $/MWh", 1, "USD"),
        ("price (EURct/kWh)", 10, "EUR"),
        ("Price/MWh", 1, "XXX"),
        ("price per kWh", 1000, "XXX"),
    ],
)
def test_units_of_a_header(column: str, factor: float, currency: str) -> None:
    reading = read(f"start,{column}\n2024-01-01,2\n2024-01-01T01:00,3\n")
    (prices,) = reading.prices.values()
    assert prices.energy.tolist() == pytest.approx([2 * factor, 3 * factor])
    assert prices.currency == currency
    assert found(reading) == ({"converted": (1, 0)} if factor != 1 else {})
    assert ("names no currency" in assumed(reading)) == (currency == "XXX")


def test_zones_of_a_column_are_read_apart() -> None:
    rows = [
        f"2024-01-01T0{h}:00Z,{zone},{h + at}" for h in range(3) for at, zone in enumerate("AB")
    ]
    text = "\n".join(["start,zone,price", *rows])
    reading = read(text)
    assert {z: p.energy.tolist() for z, p in reading.prices.items()} == {
        "A": [0, 1, 2],
        "B": [1, 2, 3],
    }
    assert found(read(text, zone="B")) == {"other_zone": (3, 0)}
    assert "it has A, B" in read(text, zone="C").report.failure


def test_a_column_is_named_where_several_could_be_it() -> None:
    text = "start,spot price,day-ahead price\n2024-01-01T00:00Z,1,2\n2024-01-01T01:00Z,3,4\n"
    assert "'spot price', 'day-ahead price'" in read(text).report.failure
    asked = read(text, columns={"energy": "Spot Price"})
    assert energy(asked) == [1, 3]
    assert asked.report.of("unknown_column")[0].examples == ("day-ahead price",)
    assert "no column 'x'" in read(text, columns={"energy": "x"}).report.failure
    assert (
        "no column 'x'" in read(text, columns={"energy": "spot price"}, extra=("x",)).report.failure
    )


def test_a_named_column_holds_any_number_but_a_price_does_not() -> None:
    text = "start,price,load\n2024-01-01T00:00Z,1,2.5e7\n2024-01-01T01:00Z,2,inf\n"
    text += "2024-01-01T02:00Z,3,\n2024-01-01T03:00Z,2.5e7,4\n"
    reading = read(text, extra=("load",))
    assert energy(reading) == [1, 2, 3]
    np.testing.assert_array_equal(reading.extra["DE"]["load"], [2.5e7, np.nan, np.nan])
    causes = {f.what: (f.count, f.lost) for f in reading.report.of("unreadable_price")}
    assert causes == {
        "Cells of load that cannot be read.": (2, 0),
        "Cells of price that cannot be read.": (1, 1),
    }


def test_a_missing_column_is_told_with_all_that_there_are() -> None:
    names = [f"column {at}" for at in range(12)]
    text = f"start,price,{','.join(names)}\n"
    failure = read(text, extra=("load", "column 3", "wind")).report.failure
    assert failure.startswith(
        "it has no column 'load', 'wind'; it has 'start', 'price', 'column 0'"
    )
    assert failure.endswith("'column 11'")
    xml = read("<Publication_MarketDocument/>", extra=("load",))
    assert "it is XML, which has no column 'load'" in xml.report.failure


def test_a_first_column_without_a_name_is_the_time_where_no_other_is() -> None:
    rows = "2024-01-01T00:00Z,2024-02-01T00:00Z,1\n2024-01-01T01:00Z,2024-02-01T01:00Z,2\n"
    assert starts(read(f",note,price\n{rows}"))[0] == ms_of(datetime(2024, 1, 1))
    assert starts(read(f",time,price\n{rows}"))[0] == ms_of(datetime(2024, 2, 1))
    assert "names no time" in read(f"note,,price\n{rows}").report.failure


def test_semicolons_and_decimal_commas() -> None:
    reading = read("Start;Preis price EUR/MWh\n01.02.2024 00:00;12,5\n01.02.2024 01:00;-3,25\n")
    assert energy(reading) == [12.5, -3.25]
    assert starts(reading)[0] == ms_of(datetime(2024, 2, 1))
    assert found(reading) == {"converted": (2, 0)}


# Stamps


@pytest.mark.parametrize(
    "stamps",
    [
        ["2024-02-01 00:00", "2024-02-01 01:00"],
        ["2024-02-01T00:00:00Z", "2024-02-01T01:00:00+00:00"],
        ["2024-02-01T01:00+01:00", "2024-02-01T02:00+01:00"],
        ["2024/02/01 00:00:00", "2024/02/01 1:00:00"],
        ["1706745600", "1706749200"],
        ["1706745600000", "1706749200000"],
    ],
)
def test_stamps_that_are_known(stamps: Sequence[str]) -> None:
    reading = read("start,price\n" + "".join(f"{stamp},1\n" for stamp in stamps))
    assert starts(reading) == [ms_of(datetime(2024, 2, 1, hour)) for hour in (0, 1)]


def test_whether_day_or_month_comes_first_is_told_by_the_file() -> None:
    month_first = read("start,price\n1/12/2024 23:00,1\n1/13/2024 0:00,2\n")
    assert starts(month_first)[0] == ms_of(datetime(2024, 1, 12, 23))
    day_first = read("start,price\n12/1/2024 23:00,1\n13/1/2024 00:00,2\n")
    assert starts(day_first) == starts(month_first)
    unsure = read("start,price\n1/2/2024 0:00,1\n1/2/2024 1:00,2\n")
    assert not unsure.prices
    assert "2024-01-31" in unsure.report.failure


def test_a_day_may_end_at_24_hours() -> None:
    reading = read("hour ending,price\n2024-01-31 23:00,1\n2024-01-31 24:00,2\n")
    assert starts(reading) == [ms_of(datetime(2024, 1, 31, hour)) for hour in (22, 23)]


def test_there_must_be_such_a_time_zone_and_currency() -> None:
    with pytest.raises(InputError, match="Europe/Berlin"):
        read("start,price\n", time_zone="Berlin")
    with pytest.raises(InputError, match="EUR"):
        read("start,price\n", currency="Euro")


# Local time


# Resolutions


def test_a_price_with_another_within_its_hour_is_not_certain() -> None:
    hours = utc_rows(datetime(2025, 1, 1), 60, 5)
    reading = read("\n".join(["start,price", *hours, "2025-01-01T02:30Z,9"]))
    assert energy(reading) == [0, 1, 3, 4]
    assert reading.report.lost >= 1


def test_off_the_grid_is_left_out() -> None:
    hours = utc_rows(datetime(2025, 1, 1), 60, 5)
    off = utc_rows(datetime(2025, 1, 3, 0, 20), 60, 2)
    reading = read("\n".join(["start,price", *hours, *off]))
    assert energy(reading) == [0, 1, 2, 3, 4]
    assert found(reading)["off_grid"] == (2, 2)


def test_one_row_does_not_tell_its_interval() -> None:
    text = "start,price\n2025-01-01T00:00Z,7\n"
    assert found(read(text)) == {"mixed_resolution": (1, 1)}
    assert read(text).report.failure
    assert energy(read(text, interval_ms=HOUR_MS)) == [7]


def test_a_zone_without_a_time_costs_the_others_nothing() -> None:
    rows = "2024-01-01T00:00Z,B,1\n2024-01-01T01:00Z,B,2\nnever,A,3\n"
    reading = read(f"start,zone,price\n{rows}")
    assert energy(reading) == [1, 2]
    assert found(reading) == {"unreadable_row": (1, 1)}


# What is wrong, in any mixture
