"""Recorded homes: gaps are gaps for who learns, and a day is paid for as it should be."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import home_plan
from benchmarks.home_plan_cases import cases
from benchmarks.home_plan_data import DATA, emhass_home
from tests.support.paths import SHARED_DATA

pytestmark = pytest.mark.skipif(
    not (SHARED_DATA / "emhass_home").exists(), reason="no recorded homes in ../shared/data"
)


def test_gaps_of_the_recorded_home() -> None:
    home = emhass_home()
    assert DATA == SHARED_DATA
    assert len(home.load_w) % home.per_day == 0
    assert 200 < np.isnan(home.load_w).sum() < 297
    load, solar = home.filled()
    assert np.isfinite(load).all()
    assert np.isfinite(solar).all()
    night = np.arange(len(solar)) % 48 < 8
    assert solar[night].mean() < 1.0


def test_a_day_ahead_price_is_known_from_13_00() -> None:
    case = next(case for case in cases() if case.day_ahead)
    per_day = case.recorded.per_day
    tomorrow = slice(31 * per_day, 32 * per_day)
    truth = case.tariff.buy[tomorrow]
    for hour, known in ((12.5, False), (13.0, True)):
        step = 30 * per_day + int(hour * per_day / 24)
        ahead = case.known_prices(step).buy[31 * per_day - step :][:per_day]
        assert np.array_equal(ahead, truth[: len(ahead)]) == known
        assert np.isfinite(ahead).all()


def test_the_benchmark_prints_ratios_and_nothing_beats_foresight(tmp_path: Path) -> None:
    file = tmp_path / "tables.json"
    home_plan.main(["--days", "1", "--homes", "1", "--json", str(file)])
    money, effort = json.loads(file.read_text())["tables"]
    assert "x " in money["columns"][1]
    (row,) = money["rows"]
    ratio, own, old, ours, foresight = row[1:6]
    assert ratio == pytest.approx(ours / own)
    assert foresight <= min(own, old, ours) + 1e-9
    assert effort["rows"][0][2] == 72
