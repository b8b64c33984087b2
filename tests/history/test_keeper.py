"""Merging equals what pandas makes of all files, whenever it is cut; retention deletes days."""

import errno
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import msgspec
import pandas as pd
import pytest

from tests.support.history_world import (
    BERLIN,
    HistoryWorld,
    at_ms,
    plain_rows,
    quarter,
    region_quarter,
    starts,
)
from tests.support.market_feed import bid
from vpp_streams.domain.history.days import Zones
from vpp_streams.domain.history.kinds import BY_NAME, Kind
from vpp_streams.domain.history.layout import day_files
from vpp_streams.history.directory import HistoryDirectory
from vpp_streams.history.keeper import as_os_error

SITES = BY_NAME["site_windows"]
DAY = date(2026, 11, 28)


def scattered(world: HistoryWorld, seed: int) -> None:
    """Windows of a day in many files: in any order, some twice, some with later revisions."""
    rng = random.Random(seed)
    windows = [
        quarter(f"home-{n}", start, 10.0 * n + revision, revision=revision)
        for start in starts("2026-11-28", "2026-11-29")
        for n in range(5)
        for revision in range(rng.choice((1, 1, 1, 3)))
    ]
    windows += rng.sample(windows, 50)
    rng.shuffle(windows)
    for at in range(0, len(windows), 60):
        world.write("site.windows", windows[at : at + 60])


def once(directory: HistoryDirectory, kind: Kind) -> pd.DataFrame:
    """All rows of the one file of a day."""
    files = directory.files(kind, DAY)
    assert files.exact, files
    return pd.read_parquet(directory.day(kind, DAY) / files.names[0])


@pytest.mark.parametrize("seed", range(3))
def test_a_merged_day_is_what_pandas_makes_of_all_files(tmp_path: Path, seed: int) -> None:
    world = HistoryWorld(tmp_path)
    scattered(world, seed)
    plain = plain_rows(SITES, world.files(SITES))
    assert len(world.files(SITES)) > 5
    world.keep(SITES)
    pd.testing.assert_frame_equal(once(world.directory, SITES), plain)
    assert plain.groupby(["site_id", "start_ms"]).size().eq(1).all()


class Killed(BaseException):
    """The end of the process, at this moment."""


@contextmanager
def killed_when(monkeypatch: pytest.MonkeyPatch, calls: int) -> Iterator[None]:
    """Die before the n-th file of a merge is deleted."""
    unlink, left = Path.unlink, [calls]

    def unlink_or_die(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            if not left[0]:
                raise Killed
            left[0] -= 1
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink_or_die)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize("deleted", [0, 1, 4])
def test_a_merge_that_is_killed_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: int
) -> None:
    world = HistoryWorld(tmp_path)
    scattered(world, seed=7)
    plain = plain_rows(SITES, world.files(SITES))
    with killed_when(monkeypatch, deleted):
        world.keep(SITES)
    pd.testing.assert_frame_equal(plain_rows(SITES, world.files(SITES)), plain)
    world.keep(SITES)
    pd.testing.assert_frame_equal(once(world.directory, SITES), plain)


def test_two_processes_that_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    scattered(world, seed=3)
    plain = plain_rows(SITES, world.files(SITES))
    one, other = world.keeper(), world.keeper()
    names = tuple(path.name for path in world.files(SITES))
    # Each has its own list of files, as if the other's had come later.
    one._merge(SITES, DAY, names[: len(names) // 2])  # noqa: SLF001 - the moment between two listings
    other._merge(SITES, DAY, names)  # noqa: SLF001 - the same: half of its files are gone
    pd.testing.assert_frame_equal(plain_rows(SITES, world.files(SITES)), plain)
    world.keep(SITES, other)
    pd.testing.assert_frame_equal(once(world.directory, SITES), plain)


def test_a_late_revision_of_a_merged_day_wins(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    noon = at_ms("2026-11-28T12:00")
    world.write("site.windows", [quarter("home-1", s) for s in starts("2026-11-28", "2026-11-29")])
    keeper = world.keeper()
    world.keep(SITES, keeper)
    world.write("site.windows", [quarter("home-1", noon, 999.0, revision=2)])
    world.write("site.windows", [quarter("home-1", noon, 1.0, revision=1)])
    [row] = world.rows("energy", "2026-11-28", "2026-11-28", site="home-1")
    assert row["battery_discharge_wh"] == 95 * 100 + 999
    world.keep(SITES, keeper)
    found = once(world.directory, SITES)
    assert len(found) == 96
    assert found.set_index("start_ms").loc[noon, "battery_energy_wh"] == 999.0
    assert world.rows("energy", "2026-11-28", "2026-11-28", site="home-1") == [row]


def test_of_records_without_a_revision_the_first_counts(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    first = bid(at_ms("2026-11-28T12:00"))
    world.write("market.bids", [first])
    world.write("market.bids", [msgspec.structs.replace(first, expected_w=-1.0)])
    world.keep(BY_NAME["bids"])
    assert once(world.directory, BY_NAME["bids"])["expected_w"].tolist() == [first.expected_w]


def test_a_complete_day_is_added_up_and_again_after_a_correction(tmp_path: Path) -> None:
    world, kind = HistoryWorld(tmp_path), BY_NAME["region_windows"]
    windows = [region_quarter("north", s) for s in starts("2026-11-28", "2026-11-29")]
    world.write("region.windows", windows)
    keeper = world.keeper()
    world.keep(kind, keeper)
    sums = world.directory.sums(kind, world.directory.files(kind, DAY))
    assert sums is not None
    assert pd.read_parquet(sums)["battery_discharge_wh"].tolist() == [9600.0]
    world.write("region.windows", [region_quarter("north", windows[0].start_ms, 0.5, revision=9)])
    # The sums are of a file that is not alone any more: they do not count.
    assert world.directory.sums(kind, world.directory.files(kind, DAY)) is None
    world.keep(kind, keeper)
    again = world.directory.sums(kind, world.directory.files(kind, DAY))
    assert again is not None
    assert again != sums
    assert not sums.exists()
    assert pd.read_parquet(again)["battery_discharge_wh"].tolist() == [9500.5]


def test_a_day_that_lasts_is_not_added_up(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    world.write("site.windows", [quarter("home-1", at_ms("2026-11-28T00:00"))])
    world.keep(SITES, world.keeper(now_ms=at_ms("2026-11-29T03:00")))
    assert len(world.files(SITES)) == 1
    assert not (tmp_path / "day_sums").exists()


def test_retention_deletes_complete_days_of_its_kind(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    for day in ("2026-11-26", "2026-11-27", "2026-11-28"):
        world.write("site.windows", [quarter("home-1", at_ms(f"{day}T12:00"))])
        world.write("region.windows", [region_quarter("north", at_ms(f"{day}T12:00"))])
    keeper = world.keeper("site_windows=1", now_ms=at_ms("2026-11-28T13:00"))
    for name in ("site_windows", "region_windows"):
        world.keep(BY_NAME[name], keeper)
    assert world.directory.days(SITES) == [date(2026, 11, 27), DAY]
    assert len(world.directory.days(BY_NAME["region_windows"])) == 3
    assert world.counters["days_deleted"] == 1
    assert not list(tmp_path.glob("**/*.draft"))


def test_what_a_killed_deletion_left_is_deleted_later(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    world.write("site.windows", [quarter("home-1", at_ms("2026-11-28T12:00"))])
    folder = world.directory.day(SITES, DAY)
    folder.rename(folder.with_name(f".{folder.name}-1.draft"))
    assert world.directory.days(SITES) == []
    world.directory.delete_drafts(before_ms=2**62)
    assert [path.name for path in (tmp_path / "site_windows").iterdir()] == []


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path, Zones(BERLIN))
    world.write("site.windows", [quarter("home-1", at_ms("2026-11-28T12:00"))])
    notes = world.directory.day(SITES, DAY) / "notes.txt"
    notes.write_text("mine")
    world.keep(SITES)
    assert notes.read_text() == "mine"
    assert len(day_files(DAY, [path.name for path in world.files(SITES)]).names) == 1


def test_a_day_that_cannot_be_merged_is_counted_and_others_go_on(tmp_path: Path) -> None:
    world = HistoryWorld(tmp_path)
    for day in ("2026-11-27", "2026-11-28"):
        for n in range(2):
            world.write("site.windows", [quarter(f"home-{n}", at_ms(f"{day}T12:00"))])
    damaged = world.files(SITES)[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    world.keep(SITES)
    assert world.counters["merges_failed"] == 1
    assert damaged.exists()
    assert len(once(world.directory, SITES)) == 2
    assert not list(tmp_path.glob("**/.*"))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("IO Error: No files found that match the pattern", FileNotFoundError),
        ("IO Error: Could not write file: No space left on device", OSError),
        ("IO Error: something else", duckdb.IOException),
    ],
)
def test_duckdbs_words_become_the_systems_errors(words: str, kind: type[Exception]) -> None:
    found = as_os_error(duckdb.IOException(words))
    assert type(found) is kind
    if kind is OSError:
        assert isinstance(found, OSError)
        assert found.errno == errno.ENOSPC
