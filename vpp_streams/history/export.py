"""Writes the rows of a kind to one file: Parquet, CSV or a JSON object a line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, get_args

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vpp_streams.domain.history.kinds import Kind
from vpp_streams.errors import InputError
from vpp_streams.history.reports import History, plain_schema

Suffix = Literal[".parquet", ".csv", ".ndjson"]
SUFFIXES: tuple[Suffix, ...] = get_args(Suffix)


class _Writer(Protocol):
    def write_table(self, rows: pa.Table) -> None: ...


def export(
    history: History,
    kind: Kind,
    from_ms: int,
    to_ms: int,
    *,
    out: Path,
    on_day: Callable[[int, int], None] = lambda _done, _days: None,
) -> int:
    """Write the rows of [from, to) to ``out``, day by day; returns their number.

    The file is there completely or not at all. ``on_day`` receives the days done and all days.
    Raises `InputError`.
    """
    if out.suffix not in SUFFIXES:
        raise InputError(f"{out}: the name of the file must end with {', '.join(SUFFIXES)}")
    plain = out.suffix == ".csv"
    count, days = 0, history.days(kind, from_ms, to_ms)
    try:
        with _complete(out) as draft, _writer(out.suffix, draft, kind, plain=plain) as writer:
            for done, day in enumerate(days):
                on_day(done, len(days))
                rows = history.rows(kind, day, from_ms, to_ms, plain=plain)
                writer.write_table(rows)
                count += len(rows)
            on_day(len(days), len(days))
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from None
    return count


@contextmanager
def _complete(out: Path) -> Iterator[Path]:
    draft = out.with_name(f".{out.name}.draft")
    try:
        yield draft
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _writer(suffix: str, path: Path, kind: Kind, *, plain: bool) -> Iterator[_Writer]:
    schema = plain_schema(kind) if plain else kind.schema
    if suffix == ".parquet":
        with pq.ParquetWriter(path, schema, compression="zstd") as parquet:
            yield parquet
    elif suffix == ".csv":
        with pa.csv.CSVWriter(path, schema) as csv:
            yield csv
    else:
        with path.open("wb") as file:
            yield _JsonLines(file.write)


class _JsonLines:
    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def write_table(self, rows: pa.Table) -> None:
        for batch in rows.to_batches(max_chunksize=10_000):
            self._write(b"".join(msgspec.json.encode(row) + b"\n" for row in batch.to_pylist()))
