"""History on disk: ``<kind>/day=YYYY-MM-DD/<partition>-<first>-<last>-<topic>.parquet``.

Such a file holds every row of its kind and day from the offsets ``first`` to ``last`` of one Kafka
partition; ``topic`` is the beginning of the topic's id, because a topic that was deleted and
created again counts from 0 again. A merged file ``merged-<digest>.parquet`` replaces the files
whose names its digest is made of, without repeats and without older revisions. So equal names
mean equal content, and no file ever takes the place of another one.

``day_sums/<kind>/day=YYYY-MM-DD/<digest>.parquet`` holds the sums of one merged file.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import NamedTuple

import msgspec

from vpp_streams.domain.moments import HOUR_MS

SUMS_FOLDER = "day_sums"
PROGRESS_FOLDER = "_progress"
ABOUT_FILE = "_history.json"
DRAFT = ".draft"
"""End of the name of a file that is being written; readers ignore it."""
_FLUSHED = re.compile(r"(\d{1,9})-(\d{1,19})-(\d{1,19})-([0-9a-f]{8})\.parquet", re.ASCII)
_MERGED = re.compile(r"merged-([0-9a-f]{16})\.parquet", re.ASCII)
_DAY = re.compile(r"day=(\d{4}-\d\d-\d\d)", re.ASCII)


class Flushed(NamedTuple):
    """What the name of a file says that was written from the log."""

    partition: int
    first: int
    last: int
    """The last offset, which is included."""
    topic: str
    """First eight hexadecimal digits of the topic's id."""

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.partition}-{self.first:012}-{self.last:012}-{self.topic}.parquet"


def flushed(name: str) -> Flushed | None:
    """The parts of a name that `Flushed.name` built; None for any other."""
    found = _FLUSHED.fullmatch(name)
    return Flushed(int(found[1]), int(found[2]), int(found[3]), found[4]) if found else None


def merged_name(sources: Iterable[str]) -> str:
    """The name of the file that replaces these."""
    return f"merged-{sha256('/'.join(sorted(sources)).encode()).hexdigest()[:16]}.parquet"


def digest_of(name: str) -> str | None:
    """The digest in the name of a merged file; None for any other."""
    found = _MERGED.fullmatch(name)
    return found[1] if found else None


def day_folder(day: date) -> str:
    """The folder of a day."""
    return f"day={day:%Y-%m-%d}"


def day_in(folder: str) -> date | None:
    """The day of a folder; None for any other name."""
    found = _DAY.fullmatch(folder)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


class Progress(msgspec.Struct, frozen=True):
    """How far history has read a partition; written once the files up to there are durable."""

    topic_id: str
    next_offset: int
    caught_up_ms: int
    """Everything that was written before this time has been read, ms since 1970; 0 = not yet."""


class About(msgspec.Struct, frozen=True):
    """What a history began with, and what must stay: the zones that its days are of."""

    zone: str
    zones: dict[str, str]


@dataclass(frozen=True, slots=True)
class DayFiles:
    """The files of one day of a kind."""

    day: date
    names: tuple[str, ...]

    @property
    def exact(self) -> str | None:
        """The digest of the merged file, if it is the only one: then nothing is in it twice."""
        return digest_of(self.names[0]) if len(self.names) == 1 else None


def day_files(day: date, names: Iterable[str]) -> DayFiles:
    """The files of a folder that belong to history; drafts and files of others are left out."""
    return DayFiles(day, tuple(sorted(n for n in names if flushed(n) or digest_of(n))))


class FileAge(NamedTuple):
    """A file, and when it was written."""

    name: str
    written_ms: int


SETTLE_MS = 600_000
"""Files of a day that is over are merged once none has been added for this long."""
MANY = 256
"""So many files are merged without waiting."""


def to_merge(files: Sequence[FileAge], *, is_over: bool, now_ms: int) -> tuple[str, ...]:
    """The files of a day that should be merged into one now; empty = none.

    While the day lasts, those that were written from the log in earlier hours, so that an hour
    becomes a file; once it is over, all of them.
    """
    names = tuple(file.name for file in files)
    if is_over:
        settled = all(file.written_ms <= now_ms - SETTLE_MS for file in files)
        single = len(files) == 1 and digest_of(names[0]) is not None
        return names if names and not single and (settled or len(files) >= MANY) else ()
    hour_ms = now_ms - now_ms % HOUR_MS
    small = [file for file in files if digest_of(file.name) is None]
    older = tuple(f.name for f in small if f.written_ms < hour_ms or len(small) >= MANY)
    return older if len(older) > 1 else ()
