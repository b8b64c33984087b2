"""Raw frames by columns: the same outcome as the NDJSON lines that their rows stand for."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Device, Site
from schemas.raw_frames import MEASURED, RAW_COLUMNS_V1, decode_raw, encode_raw, has_columns
from schemas.telemetry import TELEMETRY_V1
from tests.support.compiled_kernels import numpy_only
from vpp_streams.domain import kernels
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import (
    MAX_LINES,
    WHOLE_FRAME,
    Canonical,
    Source,
    canonicalize,
    canonicalize_columns,
)
from vpp_streams.domain.telemetry.column_rows import LinesOfRows

T = 1_800_000_000_000
SOURCE = Source("raw.powerwall", 3, 42, T)
REGISTRY = Registry(
    Site(f"home-{i}", "north", (Device(f"pw-{i}", "powerwall", "", 13_500.0, 5000.0, 5000.0),))
    for i in range(6)
)
PLAIN: dict[str, Any] = {
    "device_id": "pw-1",
    "boot": 0xB7F2,
    "seq": 7,
    "received_at_ms": T,
    "measured_at_ms": T - 100,
    "interval_ms": 1000,
    **dict.fromkeys(MEASURED, np.nan),
    "battery_w": -1200.5,
    "grid_w": 3200.5,
    "load_w": 2000.0,
    "solar_w": 0.0,
    "soc": 0.5,
    "islanded": 0,
}


def frame(*rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=RAW_COLUMNS_V1)


def compare(batch: pa.RecordBatch) -> Canonical:
    """Assert that a frame has one outcome in both forms, compiled or not, and return it."""
    if kernels.COMPILED is not None:
        with numpy_only():
            compare(batch)
    found = canonicalize_columns(encode_raw(batch), SOURCE, REGISTRY, 8)
    lines = b"\n".join(LinesOfRows(batch)[i] for i in range(batch.num_rows))
    expected = canonicalize(lines, SOURCE, REGISTRY, 8)
    assert found.rejected == expected.rejected
    assert found.not_believed == expected.not_believed
    assert list(found.batches) == list(expected.batches)
    for partition, there in expected.batches.items():
        for name in TELEMETRY_V1.names:
            ours, theirs = found.batches[partition].column(name), there.column(name)
            if ours.type == "double":
                np.testing.assert_array_equal(ours.to_numpy(), theirs.to_numpy(), name)
            else:
                assert ours.equals(theirs), name
    return found


def test_a_plain_row_becomes_a_reading_with_its_values() -> None:
    found = compare(frame(PLAIN, PLAIN | {"device_id": "pw-2", "seq": 8}))
    rows = [row for batch in found.batches.values() for row in batch.to_pylist()]
    assert {row["site_id"]: row["seq"] for row in rows} == {"home-1": 7, "home-2": 8}
    assert {row["battery_w"] for row in rows} == {-1200.5}
    assert not found.rejected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"device_id": "pw-9"}, "unknown_device"),
        ({"device_id": ""}, "bad_line"),
        ({"device_id": "x" * 200}, "bad_line"),
        ({"seq": -1}, "bad_line"),
        ({"received_at_ms": -5}, "bad_line"),
        ({"measured_at_ms": 5}, "bad_time"),
        ({"measured_at_ms": T + 700_000}, "bad_time"),
        ({"interval_ms": 0}, "bad_line"),
        ({"islanded": 7}, "bad_line"),
        ({"battery_w": np.inf}, "absurd_value"),
        ({"soc": -np.inf}, "absurd_value"),
        ({"battery_w": 5e8, "load_w": np.nan}, "not_believed"),
        (dict.fromkeys(MEASURED, np.nan), "no_measurement"),
    ],
)
def test_a_bad_row_is_refused_alone_and_as_its_line_is(change: Any, reason: str) -> None:
    found = compare(frame(PLAIN, PLAIN | change, PLAIN | {"seq": 8}))
    assert [(letter.reason, letter.line) for letter in found.rejected] == [(reason, 1)]
    assert sum(batch.num_rows for batch in found.batches.values()) == 2


NUMBERS = st.one_of(
    st.floats(-6000, 6000), st.floats(), st.just(np.nan), st.sampled_from([0.0, 0.5, 51.0, 1e9])
)
ROWS = st.fixed_dictionaries(
    {
        "device_id": st.sampled_from(["pw-1", "pw-2", "pw-3", "pw-9", ""]),
        "boot": st.integers(0, 2**32 - 1),
        "seq": st.one_of(st.integers(0, 100), st.integers(-(2**63), 2**63 - 1)),
        "received_at_ms": st.one_of(st.just(T), st.integers(-(2**63), 2**63 - 1)),
        "measured_at_ms": st.one_of(st.just(T - 100), st.integers(T - 10**6, T + 10**6)),
        "interval_ms": st.one_of(st.just(1000), st.integers(-(2**31), 2**31 - 1)),
        **dict.fromkeys(MEASURED, NUMBERS),
        "islanded": st.integers(-2, 2),
    }
)


@given(st.lists(st.one_of(ROWS, ROWS.map(lambda row: PLAIN | {"soc": row["soc"]})), max_size=6))
def test_any_rows_have_the_outcome_of_their_lines(rows: list[dict[str, Any]]) -> None:
    compare(frame(*rows))


@given(st.data())
def test_damaged_bytes_are_one_dead_letter_or_rows(data: st.DataObject) -> None:
    value = bytearray(encode_raw(frame(PLAIN, PLAIN | {"seq": 8})))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(value[: data.draw(st.integers(0, len(value)))])
    found = canonicalize_columns(cut, SOURCE, REGISTRY, 8)
    if [letter.line for letter in found.rejected] == [WHOLE_FRAME]:
        assert found.rejected[0].reason == "bad_columns"
        assert not found.batches


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        encode_raw(frame(PLAIN | {"device_id": "x" * 600})),
        encode_raw(frame(PLAIN))[:-50],
    ],
)
def test_what_is_no_frame_is_a_dead_letter(value: bytes) -> None:
    (letter,) = canonicalize_columns(value, SOURCE, REGISTRY, 8).rejected
    assert (letter.reason, letter.line) == ("bad_columns", WHOLE_FRAME)


def test_too_many_rows_are_refused_as_too_many_lines_are() -> None:
    rows = frame(PLAIN).take(pa.array([0] * (MAX_LINES + 1)))
    (letter,) = canonicalize_columns(encode_raw(rows), SOURCE, REGISTRY, 8).rejected
    assert (letter.reason, letter.line) == ("too_large", WHOLE_FRAME)


def test_a_stream_of_another_writer_is_read() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, RAW_COLUMNS_V1) as writer:
        writer.write_batch(frame(PLAIN))
        writer.write_batch(frame(PLAIN | {"seq": 8}))
    assert decode_raw(sink.getvalue().to_pybytes()).column("seq").to_pylist() == [7, 8]


def test_the_header_states_the_form() -> None:
    assert has_columns([("schema", b"x"), ("content-type", b"application/vnd.apache.arrow.stream")])
    assert not has_columns([("content-type", b"application/x-ndjson")])
    assert not has_columns([])
