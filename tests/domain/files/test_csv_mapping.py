"""Recorded homes: what a CSV and its mapping give, on real files and on bad ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from schemas.encoding import decode_frame, encode_frame
from schemas.telemetry import POWER_COLUMNS, TELEMETRY_V1, Quality
from tests.support.paths import ROOT
from vpp_streams.domain.files.csv_home import BadRow, RecordedHome, read_home
from vpp_streams.domain.files.csv_mapping import HomeMapping, parse_mapping
from vpp_streams.errors import InputError
from vpp_streams.replay.sources import load_home, load_mapping

DATA = ROOT.parent / "shared" / "data"
STANDBY = DATA / "public_reports" / "replay"
MAPPINGS = ROOT / "docs" / "examples" / "mappings"
FILES = {
    "emhass": DATA / "emhass_home" / "home_30min_2024.csv",
    "ausgrid": DATA / "ausgrid_home_30min" / "customer12_2011-07_to_11.csv",
    "uci": DATA / "uci_household_1min" / "2007-04_to_05.csv",
}


def recorded_home(name: str) -> RecordedHome:
    if not FILES[name].exists():
        pytest.skip(f"needs the recorded home {FILES[name].name} beside the repository")
    return load_home(FILES[name], load_mapping(MAPPINGS / f"{name}.yaml"))


def daily_wh(batch: pa.RecordBatch) -> pd.DataFrame:
    """Energy by UTC day: sum of power x the time it stands for."""
    frame = batch.to_pandas()
    day = pd.to_datetime(frame.measured_at_ms, unit="ms", utc=True).dt.floor("D")
    return frame[list(POWER_COLUMNS)].mul(frame.interval_ms / 3.6e6, axis=0).groupby(day).sum()


def assert_same(ours: pd.Series, theirs: pd.Series) -> None:
    theirs = theirs.reindex(ours.index, fill_value=0.0)
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), rtol=1e-12)


class TestRealHomes:
    def test_emhass_daily_energy_is_that_of_pandas(self) -> None:
        home = recorded_home("emhass")
        file = pd.read_csv(FILES["emhass"], parse_dates=["time_utc"])
        theirs = file.groupby(file.time_utc.dt.floor("D"))[["load_w", "pv_w"]].sum() * 0.5
        ours = daily_wh(home.batch)
        assert_same(ours.load_w, theirs.load_w)
        assert_same(ours.solar_w, theirs.pv_w)
        assert theirs.load_w.sum() == pytest.approx(ours.load_w.sum())  # no day is missing

    def test_emhass_pv_that_was_not_measured_is_nan_and_so_is_the_grid(self) -> None:
        home = recorded_home("emhass")
        file = pd.read_csv(FILES["emhass"])
        batch = home.batch.to_pandas()
        told = file.load_w.notna() | file.pv_w.notna()
        assert home.report.rows == len(file)
        assert home.report.readings == len(batch) == told.sum()
        assert home.report.empty == (~told).sum()
        lacking = batch.solar_w.isna()
        assert lacking.sum() == (file.pv_w.isna() & told).sum() == 4999
        assert batch.grid_w[lacking].isna().all()
        assert (batch.quality[lacking] == Quality.OK).all()
        assert (batch.quality[~lacking] == Quality.ESTIMATED).all()
        balance = (batch.load_w - batch.grid_w - batch.solar_w)[~lacking]
        assert balance.abs().max() < 1e-9

    def test_ausgrid_daily_energy_is_that_of_pandas(self) -> None:
        home = recorded_home("ausgrid")
        file = pd.read_csv(FILES["ausgrid"], parse_dates=["time_local"])
        zone = file.time_local.dt.tz_localize("Australia/Sydney", nonexistent="NaT")
        theirs = file.groupby(zone.dt.tz_convert("UTC").dt.floor("D"))[["GC", "GG"]].sum() * 500
        ours = daily_wh(home.batch)
        assert_same(ours.load_w, theirs.GC)
        assert_same(ours.solar_w, theirs.GG)
        assert_same(ours.grid_w, theirs.GC - theirs.GG)
        # The file's two half hours that never were hold nothing, so no energy is lost.
        assert ours.load_w.sum() == pytest.approx(file.GC.sum() * 500)

    def test_ausgrid_has_two_half_hours_that_never_were(self) -> None:
        report = recorded_home("ausgrid").report
        assert [bad.line for bad in report.bad] == [4470, 4471]
        assert "never was in Australia/Sydney" in report.bad[0].reason
        assert report.gaps == []

    def test_uci_is_told_by_the_minute_with_its_voltage(self) -> None:
        home = recorded_home("uci")
        file = pd.read_csv(FILES["uci"])
        batch = home.batch.to_pandas()
        assert home.report.bad == []
        np.testing.assert_allclose(batch.load_w, file.Global_active_power * 1000)
        np.testing.assert_array_equal(batch.voltage_v, file.Voltage)
        np.testing.assert_allclose(batch.grid_w, batch.load_w)
        assert batch.solar_w.isna().all()
        first = pd.Timestamp("2007-04-15", tz="Europe/Paris").value // 1_000_000
        assert batch.measured_at_ms[0] == first


def document(**changes: Any) -> dict[str, Any]:
    return {
        "time": {"column": "t", "interval_s": 1800, "timezone": "UTC"},
        "columns": {"load_w": {"column": "load", "unit": "W"}},
        "site": {
            "site_id": "home",
            "region": "r",
            "devices": [{"device_id": "home-meter", "kind": "solar"}],
        },
        **changes,
    }


def mapping(**changes: Any) -> HomeMapping:
    return parse_mapping(document(**changes), "home.yaml")


def read(text: str, **changes: Any) -> RecordedHome:
    return read_home(text.splitlines(keepends=True), mapping(**changes), "home.csv")


def utc(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value // 1_000_000


def test_received_is_the_end_of_the_interval_and_the_batch_is_canonical() -> None:
    home = read("t,load\n2024-01-01 00:00,5\n2024-01-01 00:30,6\n")
    rows = home.batch.to_pylist()
    assert [r["measured_at_ms"] for r in rows] == [utc("2024-01-01"), utc("2024-01-01 00:30")]
    assert rows[0]["received_at_ms"] == utc("2024-01-01 00:30")
    assert [r["seq"] for r in rows] == [0, 1]
    assert home.batch.schema.equals(TELEMETRY_V1)
    assert decode_frame(encode_frame(home.batch)).num_rows == 2


def test_a_stamp_at_the_end_of_its_interval() -> None:
    time = {"column": "t", "interval_s": 1800, "timezone": "UTC", "stamp": "end"}
    home = read("t,load\n2024-01-01 00:30,5\n", time=time)
    assert home.batch["measured_at_ms"].to_pylist() == [utc("2024-01-01")]


@pytest.mark.parametrize(
    ("unit", "watts"), [("W", 3.0), ("kW", 3000.0), ("Wh", 6.0), ("kWh", 6000.0)]
)
def test_units_of_power(unit: str, watts: float) -> None:
    columns = {"load_w": {"column": "load", "unit": unit}}
    assert read("t,load\n2024-01-01,3\n", columns=columns).batch["load_w"].to_pylist() == [watts]


def test_columns_add_up_with_their_signs() -> None:
    columns = {
        "grid_w": [
            {"column": "import", "unit": "kWh"},
            {"column": "export", "unit": "kWh", "sign": -1},
        ],
        "soc": {"column": "soc", "unit": "percent"},
    }
    home = read("t,import,export,soc\n2024-01-01,0.5,2,40\n", columns=columns)
    assert home.batch["grid_w"].to_pylist() == [-3000.0]
    assert home.batch["soc"].to_pylist() == [0.4]


def test_clocks_back_the_first_time_is_the_earlier_one() -> None:
    time = {"column": "t", "interval_s": 1800, "timezone": "Europe/Paris"}
    stamps = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    lines = "".join(f"2024-10-27 {stamp},{i}\n" for i, stamp in enumerate(stamps))
    home = read("t,load\n" + lines, time=time)
    start = utc("2024-10-26 23:30")
    expected = [start + i * 1_800_000 for i in range(6)]
    assert home.batch["measured_at_ms"].to_pylist() == expected
    assert home.batch["load_w"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert (home.report.ambiguous, home.report.gaps, home.report.bad) == (4, [], [])


def test_an_hour_that_comes_twice_with_the_same_value_is_no_duplicate() -> None:
    time = {"column": "t", "interval_s": 3600, "timezone": "Europe/Paris"}
    home = read("t,load\n2024-10-27 02:00,5\n2024-10-27 02:00,5\n", time=time)
    assert home.batch["measured_at_ms"].to_pylist() == [utc("2024-10-27"), utc("2024-10-27 01:00")]
    assert home.report.duplicates == []


def test_clocks_forward_a_time_that_never_was_is_a_bad_row() -> None:
    time = {"column": "t", "interval_s": 1800, "timezone": "Europe/Paris"}
    home = read("t,load\n2024-03-31 01:30,1\n2024-03-31 02:30,2\n2024-03-31 03:00,3\n", time=time)
    assert home.batch["load_w"].to_pylist() == [1, 3]
    assert home.report.gaps == []
    assert [bad.line for bad in home.report.bad] == [3]


def test_an_offset_in_the_stamp_wins_over_the_timezone() -> None:
    time = {"column": "t", "interval_s": 1800, "timezone": "Europe/Paris"}
    home = read("t,load\n2024-03-31T02:30:00-07:00,1\n", time=time)
    assert home.batch["measured_at_ms"].to_pylist() == [utc("2024-03-31 09:30")]


def test_every_row_that_gives_no_reading_is_told() -> None:
    text = (
        "t,load\n"
        "2024-01-01 00:00,1\n"
        "2024-01-01 00:30,oops\n"
        "2024-01-01 01:00,-200\n"
        "yesterday,3\n"
        "2024-01-01 02:00\n"
        "2024-01-01 00:00,1\n"
        "2024-01-01 00:00,9\n"
        "2024-01-01 00:10,4\n"
        "2024-01-01 02:30,NaN\n"
        "2024-01-01 03:00,inf\n"
        "2024-01-01 03:30,7\n"
    )
    home = read(text)
    report = home.report
    assert home.batch["load_w"].to_pylist() == [1, 7]
    assert report.rows == 11
    assert report.duplicates == [7]
    assert report.empty == 1
    assert report.gaps == [(utc("2024-01-01 00:30"), utc("2024-01-01 03:30"))]
    assert report.bad == [
        BadRow(3, "load_w: 'oops' is not a number"),
        BadRow(4, "load_w is -200; it cannot be below 0 (is the sign right?)"),
        BadRow(5, "'yesterday' is not an ISO 8601 time"),
        BadRow(6, "1 cells where the header has 2"),
        BadRow(8, "stands for the same time as line 2, which is kept"),
        BadRow(9, "overlaps the interval of line 2, which is kept"),
        BadRow(11, "load_w: 'inf' is not a number (nor among not_measured)"),
    ]
    counted = report.readings + report.empty + len(report.duplicates) + len(report.bad)
    assert counted == report.rows


def test_standby_and_rounding_are_clamped_as_live_readings_are() -> None:
    """A file lost half of its rows to an inverter's standby of -4.2 W and a SoC of 100.4 %."""
    columns = {
        "load_w": {"column": "load", "unit": "W"},
        "solar_w": {"column": "pv", "unit": "W"},
        "soc": {"column": "soc", "unit": "percent"},
    }
    rows = ("400,-4.2,50", "400,0,100.4", "400,-49,-1", "400,-51,50", "400,0,103", "2000,-99,7")
    text = "t,load,pv,soc\n" + "".join(f"2024-01-01 0{i}:00,{row}\n" for i, row in enumerate(rows))
    home = read(text, columns=columns, derive_grid=True)
    assert home.batch["solar_w"].to_pylist() == [0, 0, 0, 0]
    assert home.batch["soc"].to_pylist() == [0.5, 1.0, 0.0, 0.07]
    assert home.batch["grid_w"].to_pylist() == [400, 400, 400, 2000]
    assert [bad.line for bad in home.report.bad] == [5, 6]


@pytest.mark.skipif(not STANDBY.exists(), reason="no public_reports in ../shared/data")
def test_a_reported_home_in_standby_loses_no_row() -> None:
    home = load_home(STANDBY / "negpv.csv", load_mapping(STANDBY / "map.yaml"))
    assert (home.report.rows, home.report.readings, home.report.bad) == (96, 96, [])
    assert home.batch["solar_w"].to_pylist()[0] == 0
    assert max(home.batch["soc"].to_pylist()) == 1.0


def test_rows_out_of_order_are_told_in_order() -> None:
    home = read("t,load\n2024-01-01 00:30,2\n2024-01-01 00:00,1\n")
    assert home.batch["load_w"].to_pylist() == [1, 2]
    assert home.report.gaps == []


def test_a_measured_balance_is_checked_not_used() -> None:
    columns = {
        name: {"column": name, "unit": "W"} for name in ("load_w", "grid_w", "solar_w", "battery_w")
    }
    text = "t,load_w,grid_w,solar_w,battery_w\n2024-01-01,100,70,20,5\n"
    batch = read(text, columns=columns, derive_grid=True).batch
    assert batch["balance_error_w"].to_pylist() == [5]
    assert batch["quality"].to_pylist() == [Quality.OK]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colums": {}}, "unknown field `colums`"),
        ({"columns": {"power": {"column": "load", "unit": "W"}}}, "no canonical field 'power'"),
        ({"columns": {"load_w": {"column": "load", "unit": "MW"}}}, "must be one of W, kW, Wh"),
        ({"columns": {"soc": {"column": "load", "unit": "percent"}}}, "maps no power"),
        ({"columns": {"grid_w": {"column": "g", "unit": "W"}}, "derive_grid": True}, "load_w"),
        ({"time": {"column": "t", "interval_s": 60, "timezone": "Mars/Base"}}, "no timezone"),
        ({"time": {"column": "t", "interval_s": 60, "timezone": "../x"}}, "no timezone"),
        ({"time": {"column": "t", "interval_s": 0, "timezone": "UTC"}}, ">= 1"),
        ({"site": {"site_id": "home", "region": "r"}}, "has 0 devices"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_says_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=r"home\.yaml: ") as caught:
        mapping(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(InputError, match=r"no column 'load', .*it has 't', 'Load'"):
        read("t,Load\n2024-01-01,1\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("t,load\n", "no row gives"), ("t,load\nx,1\n", "line 2: 'x' is not")],
)
def test_a_file_that_gives_nothing_is_an_error(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(text)


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the mapping"):
        load_mapping(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("time: [")
    with pytest.raises(InputError, match="is not YAML") as caught:
        load_mapping(broken)
    assert "\n" not in str(caught.value)
    binary = tmp_path / "home.csv"
    binary.write_bytes(b"t,load\n2024-01-01,\xff\xfe\n2024-01-01,\x001\n2024-01-02,1\n")
    home = load_home(binary, mapping())
    assert [bad.line for bad in home.report.bad] == [2, 3]


def test_the_examples_are_mappings() -> None:
    for path in MAPPINGS.glob("*.yaml"):
        assert load_mapping(path).columns
        assert yaml.safe_load(path.read_text())["about"]
