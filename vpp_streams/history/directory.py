"""A history's directory: its files by kind and day, and how far the log was read."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.encoding import encode_json
from vpp_streams.domain.history.days import Zones, parse_zones
from vpp_streams.domain.history.kinds import Kind
from vpp_streams.domain.history.layout import (
    ABOUT_FILE,
    DRAFT,
    PROGRESS_FOLDER,
    SUMS_FOLDER,
    About,
    DayFiles,
    FileAge,
    Progress,
    day_files,
    day_folder,
    day_in,
)
from vpp_streams.errors import InputError
from vpp_streams.process.durable_files import rename_durably, sync_directory, write_durably

_FULL = {errno.ENOSPC, errno.EDQUOT}


class HistoryDirectory:
    """The files of a history; writing is safe against a kill at any moment."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def day(self, kind: Kind, day: date) -> Path:
        """The folder of a kind's day."""
        return self.root / kind.name / day_folder(day)

    def sums(self, kind: Kind, files: DayFiles) -> Path | None:
        """The file with the sums of a day's merged file; None where the day has not one file."""
        folder = self.root / SUMS_FOLDER / kind.name / day_folder(files.day)
        return folder / f"{files.exact}.parquet" if files.exact else None

    def days(self, kind: Kind) -> list[date]:
        """The days of a kind, oldest first; empty where there is no history."""
        return sorted(day for name in _names(self.root / kind.name) if (day := day_in(name)))

    def files(self, kind: Kind, day: date) -> DayFiles:
        """The files of a kind's day."""
        return day_files(day, _names(self.day(kind, day)))

    def ages(self, kind: Kind, files: DayFiles) -> list[FileAge]:
        """The files of a day with the time when each was written; one that is gone is left out."""
        found = []
        for name in files.names:
            try:
                written_ns = (self.day(kind, files.day) / name).stat().st_mtime_ns
            except FileNotFoundError:
                continue
            found.append(FileAge(name, written_ns // 1_000_000))
        return found

    def write(self, kind: Kind, day: date, name: str, rows: pa.Table) -> None:
        """Write a file of a kind's day durably. Raises `OSError`."""
        with self.new_file(self.day(kind, day) / name) as draft:
            pq.write_table(rows, draft, compression="zstd")

    @contextmanager
    def new_file(self, path: Path) -> Iterator[Path]:
        """The path to write to in the body; after it, the file has its name and is durable."""
        _make(path.parent)
        draft = path.with_name(f".{path.name}-{os.getpid()}{DRAFT}")
        try:
            yield draft
            rename_durably(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def delete_day(self, kind: Kind, day: date) -> None:
        """Delete a kind's day and its sums, for readers all at once."""
        for folder in (self.day(kind, day), self.root / SUMS_FOLDER / kind.name / day_folder(day)):
            if folder.is_dir():
                gone = folder.with_name(f".{folder.name}-{os.getpid()}{DRAFT}")
                folder.rename(gone)
                shutil.rmtree(gone)

    def delete_drafts(self, before_ms: int) -> None:
        """Delete what a killed process left half written before a time."""
        for draft in (*self.root.glob(f"*/.*{DRAFT}"), *self.root.glob(f"**/day=*/.*{DRAFT}")):
            try:
                if draft.stat().st_mtime_ns // 1_000_000 >= before_ms:
                    continue
            except FileNotFoundError:
                continue
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)

    def progress(self, topic: str, partition: int) -> Progress | None:
        """How far a partition was read; None where it was not. Raises `InputError`."""
        path = self._progress_file(topic, partition)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Progress)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, OSError) as error:
            raise InputError(
                f"{path} cannot be read ({error}); delete it, and the partition is read again"
            ) from None

    def save_progress(self, topic: str, partition: int, progress: Progress) -> None:
        """Write how far a partition was read, once its files are durable. Raises `OSError`."""
        write_durably(self._progress_file(topic, partition), encode_json(progress))

    def caught_up_ms(self, topic: str, partitions: int) -> int:
        """Everything that was written to a topic before this time is in history; 0 = not known."""
        found = [self.progress(topic, partition) for partition in range(partitions)]
        return min((one.caught_up_ms if one else 0 for one in found), default=0)

    def _progress_file(self, topic: str, partition: int) -> Path:
        return self.root / PROGRESS_FOLDER / f"{topic}-{partition}.json"


def spill_of(draft: Path) -> Path:
    """A directory of its own for what does not fit into memory while a file is written."""
    return draft.with_name(draft.name.removesuffix(DRAFT) + f"-spill{DRAFT}")


def zones_of(root: Path) -> Zones | None:
    """The zones whose days a history is kept by; None where there is no history.

    Raises `InputError`.
    """
    try:
        about = msgspec.json.decode((root / ABOUT_FILE).read_bytes(), type=About)
        return parse_zones(about.zone, ",".join(f"{k}={v}" for k, v in about.zones.items()))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise InputError(f"{root / ABOUT_FILE} cannot be used ({error})") from None


def begin(root: Path, zones: Zones) -> HistoryDirectory:
    """Begin a history, or continue one that is kept by the same zones. Raises `InputError`."""
    try:
        _make(root / PROGRESS_FOLDER)
        known = zones_of(root)
        if known is None or known.default == zones.default:
            wanted = About(zones.default.key, {n: z.key for n, z in zones.by_name.items()})
            changed = known and [n for n, z in known.by_name.items() if zones.by_name.get(n) != z]
            if not changed:
                write_durably(root / ABOUT_FILE, encode_json(wanted))
                return HistoryDirectory(root)
    except OSError as error:
        raise InputError(not_written(root, error)) from None
    raise InputError(
        f"the days of {root} are those of other zones (they are in its {ABOUT_FILE}): set"
        " VPP_HISTORY_ZONE and VPP_HISTORY_ZONES to these, or VPP_HISTORY to another directory"
    )


def not_written(root: Path, error: OSError) -> str:
    """One line that says why history was not written, and what to do."""
    full = error.errno in _FULL
    remedy = "free space there" if full else "make it writable"
    return (
        f"cannot write history to {root} ({error.strerror or error}): {remedy}, or set VPP_HISTORY"
        " to another directory; nothing is lost, it continues where it stopped"
    )


def _make(folder: Path) -> None:
    """Create a folder and those above it, durably."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_directory(folder.parent)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
