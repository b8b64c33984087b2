"""An export has each row once, and is there completely or not at all."""

from pathlib import Path

import msgspec
import pandas as pd
import pytest

from tests.support.history_world import HistoryWorld, at_ms, plain_rows, quarter, starts
from tests.support.web_records import region_forecast
from vpp_streams.domain.history.kinds import BY_NAME
from vpp_streams.errors import InputError
from vpp_streams.history.export import export
from vpp_streams.history.reports import History, open_history

SITES, FORECASTS = BY_NAME["site_windows"], BY_NAME["forecasts"]
FROM_MS, TO_MS = at_ms("2026-11-27"), at_ms("2026-11-29T06:00")


@pytest.fixture
def world(tmp_path: Path) -> HistoryWorld:
    made = HistoryWorld(tmp_path / "h")
    for n, revision in enumerate((0, 1, 0)):
        windows = starts("2026-11-26", "2026-11-30")
        made.write(
            "site.windows", [quarter("home-1", s, float(n), revision=revision) for s in windows]
        )
    made.write("region.forecasts", [region_forecast("north", FROM_MS)])
    return made


@pytest.fixture
def history(world: HistoryWorld) -> History:
    return open_history(world.directory.root, 0)


def inside(world: HistoryWorld) -> pd.DataFrame:
    plain = plain_rows(SITES, world.files(SITES))
    return plain[plain.start_ms.between(FROM_MS, TO_MS - 1)].reset_index(drop=True)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".ndjson"])
def test_each_row_of_the_span_is_in_the_file_once(
    world: HistoryWorld, history: History, tmp_path: Path, suffix: str
) -> None:
    out, steps = tmp_path / f"out{suffix}", []
    count = export(history, SITES, FROM_MS, TO_MS, out=out, on_day=lambda *step: steps.append(step))
    wanted = inside(world)
    assert count == len(wanted) == 2 * 96 + 24
    match suffix:
        case ".parquet":
            found = pd.read_parquet(out)
        case ".csv":
            found = pd.read_csv(out)
        case _:
            found = pd.read_json(out, lines=True)
    for name in ("site_id", "start_ms", "revision", "battery_energy_wh"):
        assert found[name].tolist() == wanted[name].tolist(), name
    assert found["solar_mean_w"].isna().all()
    assert steps[-1][0] == steps[-1][1] > 0


def test_a_list_is_a_json_text_in_csv(history: History, tmp_path: Path) -> None:
    whole = 0, 2**45
    export(history, FORECASTS, *whole, out=tmp_path / "f.csv")
    export(history, FORECASTS, *whole, out=tmp_path / "f.parquet")
    [text] = pd.read_csv(tmp_path / "f.csv")["load_mean_w"]
    [values] = pd.read_parquet(tmp_path / "f.parquet")["load_mean_w"]
    assert msgspec.json.decode(text) == list(values)


def test_an_export_that_is_stopped_leaves_no_file(history: History, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("the last one")

    def stop(done: int, _days: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(history, SITES, FROM_MS, TO_MS, out=out, on_day=stop)
    assert out.read_text() == "the last one"
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "h"}


def test_an_empty_span_is_a_file_with_columns(history: History, tmp_path: Path) -> None:
    assert export(history, SITES, 0, 1, out=tmp_path / "out.parquet") == 0
    assert pd.read_parquet(tmp_path / "out.parquet").columns.tolist() == SITES.schema.names


def test_a_file_that_cannot_be_written_is_one_line(history: History, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end with"):
        export(history, SITES, 0, 1, out=tmp_path / "out.xlsx")
    with pytest.raises(InputError, match="No such file"):
        export(history, SITES, 0, 1, out=tmp_path / "none" / "out.csv")
