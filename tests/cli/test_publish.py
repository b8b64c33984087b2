"""``vpp publish``: which files can be published, as which records, and what of them is refused."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from schemas.published import PublishedSeries
from vpp_streams import clock
from vpp_streams.cli import build_app
from vpp_streams.errors import InputError
from vpp_streams.market import publishing
from vpp_streams.settings import Settings

HOUR_MS = 3_600_000
START_MS = 1_711_756_800_000
"""2024-03-30 00:00 UTC; clocks go forward in Berlin the night after."""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[PublishedSeries]:
    """The records that the command wrote, without Kafka."""
    records: list[PublishedSeries] = []

    async def write(_settings: Settings, new: list[PublishedSeries], _shown: object) -> None:
        records.extend(new)

    monkeypatch.setattr(publishing, "write", write)
    return records


def file(tmp_path: Path, column: str, hours: int = 24, leave_out: int | None = None) -> Path:
    path = tmp_path / "forecast.csv"
    rows = [
        f"2024-03-{30 + hour // 24} {hour % 24:02}:00,{100.5 + hour}\n"
        for hour in range(hours)
        if hour != leave_out
    ]
    path.write_text(f"start,{column}\n" + "".join(rows))
    return path


def publish(*args: Any) -> Result:
    return CliRunner().invoke(build_app(), ["publish", *map(str, args)], env={"COLUMNS": "200"})


def refusal(*args: Any) -> str:
    result = publish(*args)
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def test_prices_are_published_as_of_now_a_record_for_each_stretch(
    tmp_path: Path, written: list[PublishedSeries]
) -> None:
    path = file(tmp_path, "price (ct/kWh)", leave_out=5)
    before_ms = clock.now_ms()
    result = publish(path, "--market", "sim", "--currency", "EUR")
    assert result.exit_code == 0, result.output
    assert "published 23 values in 2 series of price about sim" in result.output
    first, second = written
    assert (first.unit, first.kind, first.source) == ("EUR/MWh", "price", "forecast.csv")
    assert first.values[:2] == (1005.0, 1015.0)
    assert (first.start_ms, len(first.values)) == (START_MS, 5)
    assert (second.start_ms, len(second.values)) == (START_MS + 6 * HOUR_MS, 18)
    assert before_ms <= first.published_ms <= clock.now_ms()


def test_a_history_is_published_as_of_before_each_local_day(
    tmp_path: Path, written: list[PublishedSeries]
) -> None:
    path = file(tmp_path, "Wind (GW)", hours=48)
    publish(path, "--market", "de", "--kind", "wind", "--column", "wind (GW)", "--ahead", "12h",
            "--time-zone", "Europe/Berlin")  # fmt: skip
    midnight_ms = START_MS - HOUR_MS
    assert [record.start_ms for record in written] == [midnight_ms, midnight_ms + 24 * HOUR_MS]
    assert [len(record.values) for record in written] == [24, 23]
    gates_ms = [record.published_ms - record.start_ms for record in written]
    assert gates_ms == [-12 * HOUR_MS] * 2
    assert (written[0].unit, written[0].values[0]) == ("MW", 100_500.0)


@pytest.mark.parametrize(
    ("column", "unit", "why"),
    [
        ("Load", None, "it is not said"),
        ("Load (MWh)", None, "'mwh' is no unit of power"),
        ("Load (%)", "MW", "'%' is no unit of power"),
        ("Load (kW)", "MW", "it is said to be kw and mw"),
        ("Load", "EUR/MWh", "'eur/mwh' is no unit of power"),
    ],
)
def test_a_unit_of_power_that_is_not_certain_is_refused_with_the_way_out(
    tmp_path: Path, written: list[PublishedSeries], column: str, unit: str | None, why: str
) -> None:
    given = ["--unit", unit] if unit else []
    said = refusal(file(tmp_path, column), "--market", "de", "--kind", "load",
                   "--column", column, *given)  # fmt: skip
    assert why in said
    assert "load (MW), or give --unit MW" in said
    assert "\n" not in said
    assert written == []


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    path = file(tmp_path, "price (MWh)")
    assert "--currency, such as EUR" in refusal(path, "--market", "sim")
    load = file(tmp_path, "Load (MW)")
    assert "--column NAME" in refusal(load, "--market", "sim", "--kind", "load")
    assert "no column 'x'; it has" in refusal(
        load, "--market", "sim", "--kind", "load", "--column", "x"
    )
    price = file(tmp_path, "price (EUR/MWh)")
    assert "give one of them" in refusal(price, "--market", "m", "--at", "18:00", "--ahead", "1h")
    assert "after it was written" in refusal(price, "--market", "m", "--at", "9000-01-01T00:00")
    assert "not a duration" in refusal(price, "--market", "m", "--ahead", "often")
    assert "at `$.market`" in refusal(price, "--market", "a market")


def test_a_dry_run_writes_nothing(tmp_path: Path, written: list[PublishedSeries]) -> None:
    path = file(tmp_path, "price (EUR/MWh)")
    assert "nothing was published" in publish(path, "--market", "m", "--dry-run").output
    assert written == []
