"""Recorded homes through a real fleet worker: daily energies as pandas has them, at any speed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from schemas.windows import SiteWindow
from tests.support.kafka_groups import wait_for_group
from tests.support.kafka_world import Worker, read_all, until, workers
from tests.support.paths import ROOT
from tests.support.window_frames import windows_in
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.replay.replay import Pacer, replay
from vpp_streams.replay.sources import Source, Span, home_source, load_home, load_mapping
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

DATA = ROOT.parent / "shared" / "data"
QUARTER_S = 900

Published = tuple[int, int, tuple[tuple[str, bytes], ...], bytes]
"""Partition, offset, headers and value."""
Home = Callable[[str, str], tuple[Source, pd.DataFrame]]


def recorded(path: Path, first: str, last: str, mapping: str) -> Source:
    """The days from first to last (excluded), UTC, of a recorded home."""
    if not path.exists():
        pytest.skip(f"needs the recorded home {path.name} beside the repository")
    span = Span(*(pd.Timestamp(day, tz="UTC").value // 1_000_000 for day in (first, last)))
    by = load_mapping(ROOT / "docs" / "examples" / "mappings" / f"{mapping}.yaml")
    return home_source(load_home(path, by), by, span)


def emhass(first: str, last: str) -> tuple[Source, pd.DataFrame]:
    """The home, and its daily Wh by pandas."""
    path = DATA / "emhass_home" / "home_30min_2024.csv"
    source = recorded(path, first, last, "emhass")
    file = pd.read_csv(path, parse_dates=["time_utc"])
    file = file[(file.time_utc >= first) & (file.time_utc < last)]
    daily = file.groupby(file.time_utc.dt.floor("D"))[["load_w", "pv_w"]].sum(min_count=1) * 0.5
    return source, daily.set_axis(["load", "solar"], axis=1)


def ausgrid(first: str, last: str) -> tuple[Source, pd.DataFrame]:
    path = DATA / "ausgrid_home_30min" / "customer12_2011-07_to_11.csv"
    source = recorded(path, first, last, "ausgrid")
    file = pd.read_csv(path, parse_dates=["time_local"])
    stamp = file.time_local.dt.tz_localize("Australia/Sydney", nonexistent="NaT")
    file["day"] = stamp.dt.tz_convert("UTC").dt.floor("D")
    file = file[(file.day >= first) & (file.day < last)]
    daily = file.groupby("day")[["GC", "GG"]].sum() * 500
    return source, daily.set_axis(["load", "solar"], axis=1)


async def windows_of(settings: Settings) -> list[Published]:
    """Topic site.windows as it stands: (partition, offset, headers, value)."""
    records = await read_all(settings, topics.SITE_WINDOWS.full(settings.namespace))
    return [(r.partition, r.offset, r.headers, r.value) for r in records]


async def replay_and_close(
    settings: Settings, source: Source, pacer: Pacer, log_dir: Path
) -> list[Published]:
    """Replay, let a fleet worker read all of it, and return what it published."""
    await ensure_topics(KafkaClients(settings))
    await replay(settings, source, pacer)
    with workers(settings, log_dir) as start:
        worker = start("fleet")
        await wait_for_group(settings, "fleet", topics.TELEMETRY)
        worker.stop()
    return await windows_of(settings)


def daily_wh(published: list[Published]) -> pd.DataFrame:
    """Daily energy from the newest revision of every window of 15 minutes."""
    newest: dict[str, SiteWindow] = {}
    for window in (w for _, _, headers, value in published for w in windows_in(value, headers)):
        if window.size_s == QUARTER_S:
            known = newest.get(window.window_id)
            if known is None or known.revision < window.revision:
                newest[window.window_id] = window
    rows = [
        {
            "day": pd.Timestamp(w.start_ms, unit="ms", tz="UTC").floor("D"),
            "load": w.load.energy_wh if w.load else np.nan,
            "solar": w.solar.energy_wh if w.solar else np.nan,
        }
        for w in newest.values()
    ]
    return pd.DataFrame(rows).groupby("day")[["load", "solar"]].sum(min_count=1)


@pytest.mark.parametrize(
    ("home", "first", "last"),
    [(emhass, "2024-03-05", "2024-03-10"), (ausgrid, "2011-09-30", "2011-10-04")],
    ids=["emhass", "ausgrid"],
)  # fmt: skip
async def test_daily_energies_are_those_of_pandas(
    settings: Settings, tmp_path: Path, home: Home, first: str, last: str
) -> None:
    """Both spans hold dirt: EMHASS's gaps of many hours, Ausgrid's change of clocks."""
    source, expected = home(first, last)
    ours = daily_wh(await replay_and_close(settings, source, Pacer(None), tmp_path))
    expected = expected.dropna(how="all")
    assert ours.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(ours.to_numpy(), expected.to_numpy(), rtol=1e-9, equal_nan=True)


async def test_windows_are_the_same_bytes_at_any_speed(settings: Settings, tmp_path: Path) -> None:
    """Once read when all was there, once while it was being written."""
    source, _ = emhass("2024-03-01", "2024-03-03")
    fast = settings.model_copy(update={"namespace": f"{settings.namespace}-fast"})
    slow = settings.model_copy(update={"namespace": f"{settings.namespace}-slow"})
    at_max = await replay_and_close(fast, source, Pacer(None), tmp_path / "fast")
    await ensure_topics(KafkaClients(slow))
    with workers(slow, tmp_path / "slow") as start:
        running: list[Worker] = []

        async def wait_for_the_worker(_seconds: float) -> None:
            if not running:
                running.append(start("fleet"))
                await until(
                    lambda: running[0].answers("/sites/emhass-home/twin"), "the fleet worker"
                )

        await replay(slow, source, Pacer(60, lambda: 0.0, wait_for_the_worker))
        await wait_for_group(slow, "fleet", topics.TELEMETRY)
        running[0].stop()
    assert at_max
    assert at_max == await windows_of(slow)
