"""`vpp report` and `vpp export`: as a user runs them."""

import json
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tests.support.history_world import HistoryWorld, quarter, starts
from vpp_streams.cli import build_app
from vpp_streams.domain.history.kinds import KINDS
from vpp_streams.errors import InputError

DAY = ("--from", "2026-11-28", "--to", "2026-11-28")


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    world = HistoryWorld(tmp_path / "h")
    world.write("site.windows", [quarter("home-1", s) for s in starts("2026-11-28", "2026-11-29")])
    monkeypatch.setenv("VPP_HISTORY", str(tmp_path / "h"))
    return tmp_path / "h"


def vpp(*words: str) -> Result:
    return CliRunner().invoke(build_app(), list(words))


def test_a_table_for_people() -> None:
    found = vpp("report", "energy", *DAY, "--site", "home-1", "--group", "day")
    assert found.exit_code == 0, found.output
    head, row = found.stdout.splitlines()[:2]
    assert head.split()[:3] == ["start", "region", "site_id"]
    assert "9,600.00" in row
    assert " - " in row, "solar power was not measured"
    assert "1 rows" in found.stderr


def test_formats_for_programs() -> None:
    asked = ("report", "energy", *DAY, "--site", "*", "--group", "hour")
    csv = vpp(*asked, "--format", "csv").stdout.splitlines()
    assert len(csv) == 25
    document = json.loads(vpp(*asked, "--format", "json").stdout)
    assert [row["battery_discharge_wh"] for row in document["rows"]] == [400.0] * 24
    table = pq.read_table(BytesIO(vpp(*asked, "--format", "parquet").stdout_bytes))
    assert table.num_rows == 24


def test_an_export_and_the_list_of_kinds(tmp_path: Path) -> None:
    found = vpp("export", "site_windows", *DAY, "--out", str(tmp_path / "w.parquet"))
    assert found.exit_code == 0, found.output
    assert "96 rows" in found.stdout
    assert pq.read_table(tmp_path / "w.parquet").num_rows == 96
    listed = vpp("export", "list").stdout
    assert all(kind.name in listed for kind in KINDS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("report", "weather"), "there are energy"),
        (("report", "energy", "--group", "week"), "there are interval"),
        (("report", "energy", "--format", "xml"), "there are table"),
        (("report", "energy", "--from", "x"), "neither a date"),
        (("export", "weather", "--out", "x.csv"), "there are site_windows"),
        (("export", "bids"), "--out bids.parquet"),
        (("export", "bids", "--out", "x.doc"), "must end with"),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(words: tuple[str, ...], said: str) -> None:
    found = vpp(*words)
    assert isinstance(found.exception, InputError)
    assert said in str(found.exception)


def test_without_history_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPP_HISTORY", str(tmp_path / "none"))
    for words in (("report", "energy"), ("export", "list")):
        found = vpp(*words)
        assert isinstance(found.exception, InputError)
        assert "vpp worker historian" in str(found.exception)
