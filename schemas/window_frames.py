"""Site windows by columns: the windows of one size and start of many sites, as one Arrow batch.

A row means the same as a `SiteWindow` of its values. The record's header `HEADER_CONTENT_TYPE` says
that it is of this form; without it a record is one `SiteWindow` in JSON, as older versions wrote.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.bounds import MAX_COUNT, MAX_TIME_MS
from schemas.encoding import check_names, decode_stream
from schemas.raw_frames import ARROW, HEADER_CONTENT_TYPE
from schemas.windows import PowerStats, SiteWindow, SocStats

SCHEMA_NAME = "site_window.columns.v1"
HEADERS = {HEADER_CONTENT_TYPE: ARROW, "schema": SCHEMA_NAME.encode()}
"""Kafka headers of such a record."""
POWERS = ("battery", "grid", "solar", "load")
STATISTICS = tuple(field.name for field in msgspec.structs.fields(PowerStats))
SOC = tuple(field.name for field in msgspec.structs.fields(SocStats))
COUNTS = ("revision", "readings", "estimated", "bad")
POWER_COLUMNS = tuple(f"{power}_{name}" for power in POWERS for name in STATISTICS)
SOC_COLUMNS = tuple(f"soc_{name}" for name in SOC)
_MEASURES = {
    "energy_wh": "net energy",
    "positive_wh": "energy of the positive readings (discharge, import)",
    "negative_wh": "energy of the negative readings, >= 0 (charge, export)",
    "mean_w": "energy over the covered time",
    "min_w": "smallest reading, a bound where the site has several devices",
    "max_w": "largest reading, a bound where the site has several devices",
}


def _field(name: str, dtype: pa.DataType, doc: str) -> pa.Field:
    return pa.field(name, dtype, nullable=False, metadata={"doc": doc})


SITE_WINDOWS_V1 = pa.schema(
    [
        _field("site_id", pa.string(), "premise with one grid connection"),
        _field("region", pa.string(), "its region"),
        _field("start_ms", pa.int64(), "start of the window, UTC; the same in every row"),
        _field("size_s", pa.int64(), "length of the window; the same in every row"),
        _field("revision", pa.int64(), "0 = first close; n = n-th correction by late readings"),
        _field("readings", pa.int64(), "readings counted once each, across the site's devices"),
        _field("coverage", pa.float64(), "covered time / window, mean over the devices, 0..1"),
        _field("estimated", pa.int64(), "readings whose quality was not ok"),
        _field("bad", pa.int64(), "of these the bad ones, which are in no sum"),
        *(
            _field(f"{power}_{name}", pa.float64(), f"{power}: {_MEASURES[name]}; NaN = none")
            for power in POWERS
            for name in STATISTICS
        ),
        *(
            _field(f"soc_{name}", pa.float64(), f"state of charge, {name}; NaN = not known")
            for name in SOC
        ),
    ],
    metadata={"schema": SCHEMA_NAME},
)  # fmt: skip
_SCHEMA = SITE_WINDOWS_V1.serialize().to_pybytes()
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"  # RE2's "$" is the end of the text
_MOST = {name: 1e15 if name.endswith("_wh") else 1e12 for name in STATISTICS}
_MOST_RATIO = 1e6


def encode_windows(batch: pa.RecordBatch) -> bytes:
    """A batch of `SITE_WINDOWS_V1` as an Arrow IPC stream, compressed; equal rows, equal bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SITE_WINDOWS_V1, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow ships no types


def decode_windows(data: bytes) -> pa.RecordBatch:
    """The rows of a frame, each by the contract of `SiteWindow`, of one size and start.

    Raises `ValueError`, and nothing else, whatever the bytes.
    """
    return decode_stream(data, SITE_WINDOWS_V1, _SCHEMA, _check, SCHEMA_NAME)


def by_contract(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Which rows a `SiteWindow` could have: ids, counts and finite numbers within their bounds."""
    good = np.ones(batch.num_rows, np.bool_)
    for name in ("site_id", "region"):
        good &= pc.match_substring_regex(batch.column(name), _ID).to_numpy(zero_copy_only=False)
    limits = {"start_ms": (0, MAX_TIME_MS), "size_s": (1, 86_400), "coverage": (0, _MOST_RATIO)}
    for name, (low, high) in (limits | dict.fromkeys(COUNTS, (0, MAX_COUNT))).items():
        values = batch.column(name).to_numpy()
        good &= (values >= low) & (values <= high)
    for power in POWERS:
        found = np.stack([batch.column(f"{power}_{name}").to_numpy() for name in STATISTICS])
        most = np.array([_MOST[name] for name in STATISTICS])[:, None]
        good &= _all_or_none(found, (found >= -most) & (found <= most))
    soc = np.stack([batch.column(name).to_numpy() for name in SOC_COLUMNS])
    return good & _all_or_none(soc, (soc >= 0) & (soc <= _MOST_RATIO))


def _all_or_none(values: NDArray[np.float64], within: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each column: whether all values are within bounds, or none was measured."""
    complete: NDArray[np.bool_] = np.logical_and.reduce(within, axis=0)
    absent: NDArray[np.bool_] = np.logical_and.reduce(np.isnan(values), axis=0)
    return complete | absent


def windows_of(record: SiteWindow | pa.RecordBatch) -> Iterator[SiteWindow]:
    """The windows that a record holds: the rows of a batch in their order, or itself."""
    if isinstance(record, SiteWindow):
        yield record
    else:
        yield from _rows_of(record)


def _rows_of(batch: pa.RecordBatch) -> Iterator[SiteWindow]:
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    groups = {
        name: zip(*(columns[f"{name}_{part}"] for part in parts), strict=True)
        for name, parts in (*((power, STATISTICS) for power in POWERS), ("soc", SOC))
    }
    for row, values in enumerate(zip(*groups.values(), strict=True)):
        *powers, soc = values
        site_id, size_s, start_ms = (columns[n][row] for n in ("site_id", "size_s", "start_ms"))
        stats = (PowerStats(*of) if of[0] == of[0] else None for of in powers)  # NaN is no equal
        battery, grid, solar, load = stats
        yield SiteWindow(
            window_id=f"{site_id}|{size_s}|{start_ms}",
            site_id=site_id,
            region=columns["region"][row],
            start_ms=start_ms,
            size_s=size_s,
            coverage=columns["coverage"][row],
            **{name: columns[name][row] for name in COUNTS},
            battery=battery,
            grid=grid,
            solar=solar,
            load=load,
            soc=SocStats(*soc) if soc[0] == soc[0] else None,
        )


def _check(batch: pa.RecordBatch) -> None:
    check_names(batch)
    if not batch.num_rows:
        raise ValueError("it has no rows")
    for name in ("start_ms", "size_s"):
        values = batch.column(name).to_numpy()
        if (values != values[0]).any():
            raise ValueError(f"its rows have several values of {name}")
    good = by_contract(batch)
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(f"row {row} ({batch.column('site_id')[row]}) is outside the contract")
