"""Entries of the ledger as frames: an Arrow IPC stream of one ``settlement_entry.v1`` batch.

What a reader gets has been checked: a row is one transfer between two accounts, in bounds.
"""

import pyarrow as pa

from schemas.bounds import MAX_INTERVAL_MS, MAX_TIME_MS
from schemas.settlement import (
    ENTRIES_SCHEMA_NAME,
    ENTRY_KINDS,
    MAX_MICROS,
    SETTLEMENT_ENTRY_V1,
)

MAX_NUMBER = 1e15
"""No energy or price exceeds it, so sums of many stay finite."""
MAX_NAME_LENGTH = 200
_INT32 = 2**31 - 1
_LIMITS = {
    "start_ms": (0, MAX_TIME_MS),
    "interval_ms": (1, 366 * MAX_INTERVAL_MS),
    "program_version": (0, _INT32),
    "revision": (0, _INT32),
    "amount_micros": (0, MAX_MICROS),
    "window_revision": (-1, _INT32),
}
_FRACTIONS = ("coverage", "share")
_FLOATS = [field.name for field in SETTLEMENT_ENTRY_V1 if pa.types.is_floating(field.type)]
_NAMES = ("site_id", "region", "market", "program_id", "debit", "credit")
_ID = r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"
_FORMS = {
    "kind": "^(" + "|".join(ENTRY_KINDS) + ")$",
    "region": _ID,
    "debit": _ID,
    "credit": _ID,
    "currency": r"^[A-Z]{3}$",
    "period": r"^\d{4}-(0[1-9]|1[0-2])$",
    **dict.fromkeys(("site_id", "market", "program_id"), f"({_ID})|^$"),
}


def encode_entries(batch: pa.RecordBatch) -> bytes:
    """Entries as an Arrow IPC stream; the same rows give the same bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SETTLEMENT_ENTRY_V1) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow ships no types


def decode_entries(data: bytes) -> pa.RecordBatch:
    """The one batch of a record, with at least one row, all of one region.

    Raises `ValueError`, and nothing else, if the bytes are no such stream, or if a row is no
    transfer between two accounts in the bounds of the contract.
    """
    try:
        with pa.ipc.open_stream(data) as reader:
            if not reader.schema.equals(SETTLEMENT_ENTRY_V1):
                raise ValueError("its schema is another one")
            (batch,) = list(reader)
        batch.validate(full=True)
        _check(batch)
    except Exception as error:  # Arrow raises errors of many classes on arbitrary bytes
        raise ValueError(f"no entries of {ENTRIES_SCHEMA_NAME} ({str(error)[:200]})") from None
    return batch


def _check(batch: pa.RecordBatch) -> None:
    import pyarrow.compute as pc  # noqa: PLC0415 - slow, and most processes read no entries

    if not batch.num_rows:
        raise ValueError("it has no rows")
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        values = column.dictionary if pa.types.is_dictionary(column.type) else column
        if column.null_count or values.null_count:
            raise ValueError(f"column {name} has nulls")
        if name in _FORMS and not pc.all(pc.match_substring_regex(values, _FORMS[name])).as_py():
            raise ValueError(f"column {name} has a value of another form")
        if name in _NAMES and pc.max(pc.utf8_length(values)).as_py() > MAX_NAME_LENGTH:
            raise ValueError(f"column {name} has a name of more than {MAX_NAME_LENGTH} characters")
    for name, (low, high) in _LIMITS.items():
        least, most = pc.min_max(batch.column(name)).as_py().values()
        if not low <= least <= most <= high:
            raise ValueError(f"column {name} is outside {low}..{high}")
    _check_floats(batch)
    if pc.any(pc.equal(batch.column("debit"), batch.column("credit"))).as_py():
        raise ValueError("a row debits and credits the same account")
    if len(pc.unique(batch.column("region"))) != 1:
        raise ValueError("its rows are of several regions")


def _check_floats(batch: pa.RecordBatch) -> None:
    import pyarrow.compute as pc  # noqa: PLC0415 - as in `_check`

    for name in _FLOATS:
        values = batch.column(name)
        measured = values.filter(pc.invert(pc.is_nan(values)))
        low, high = (0.0, 1.0) if name in _FRACTIONS else (-MAX_NUMBER, MAX_NUMBER)
        least, most = pc.min_max(measured).as_py().values()
        if least is not None and not low <= least <= most <= high:
            raise ValueError(f"column {name} is outside {low:g}..{high:g}")
    if pc.any(pc.is_nan(batch.column("coverage"))).as_py():
        raise ValueError("a coverage is not a number")
