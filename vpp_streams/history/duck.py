"""DuckDB over a history's files: each row once, whatever was read or written twice."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from vpp_streams.domain.history.kinds import Kind
from vpp_streams.errors import InputError

MEMORY = "1GB"
_SMALLER = "choose a shorter span, a longer group, a region or a site"


@contextmanager
def connection(spill: Path | None = None, threads: int = 2) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in memory that loads no extension; ``spill`` is where it may put what is larger."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        "threads": threads,
        "temp_directory": str(spill or ""),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": False,
        "python_enable_replacements": False,  # a table is never a variable of that name
    }
    with duckdb.connect(config=config) as found:
        yield found


@contextmanager
def time_limit(db: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt what ``db`` does in the body after some seconds. Raises `InputError`."""
    timer = threading.Timer(seconds, db.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException:
        raise InputError(f"the report took more than {seconds:g} s; {_SMALLER}") from None
    except duckdb.OutOfMemoryException:
        raise InputError(f"the report needs more than {MEMORY} of memory; {_SMALLER}") from None
    finally:
        timer.cancel()


def rows_once(kind: Kind, files: Sequence[Path], exact: Sequence[Path] = ()) -> str:
    """SQL for the rows of some files, each id once, with every column of its kind.

    Of ``exact`` files every row counts: each is the only file of its day, and merged.
    """
    every = [f"SELECT * FROM {empty(kind)}"]
    if exact:
        every.append(f"SELECT * FROM {parquet(exact)}")
    if files:
        ids, order = ", ".join(kind.id), ", ".join(kind.order)
        first = f"row_number() OVER (PARTITION BY {ids} ORDER BY {order}) = 1"
        # Within a file a column of a newer version may be absent: it is null then.
        read = f"SELECT * FROM {empty(kind)} UNION ALL BY NAME SELECT * FROM {parquet(files)}"
        every.append(f"SELECT * FROM ({read}) QUALIFY {first}")
    return f"({' UNION ALL BY NAME '.join(every)})"


def empty(kind: Kind) -> str:
    """SQL for no rows, with the columns of a kind."""
    columns = ", ".join(f"NULL::{_TYPES[str(f.type)]} AS {column(f.name)}" for f in kind.schema)
    return f"(SELECT {columns} WHERE false)"


_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "list<item: double>": "DOUBLE[]",
    "list<element: double>": "DOUBLE[]",
}


def parquet(files: Sequence[Path]) -> str:
    """SQL that reads Parquet files by the names of their columns."""
    names = ", ".join(quoted(str(file)) for file in files)
    return f"read_parquet([{names}], union_by_name=true, hive_partitioning=false)"


def column(name: str) -> str:
    """A column's name in SQL, which may be one of its words."""
    return f'"{name}"'


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
