"""Compiled and numpy's reading of raw lines: the same outcome, whatever the bytes."""

import json
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Device, Site
from schemas.telemetry import TELEMETRY_V1
from tests.support.compiled_kernels import compiled, numpy_only
from tests.support.damage import damaged
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import Canonical, Source, canonicalize
from vpp_streams.domain.telemetry.compiled_rows import read_compiled
from vpp_streams.domain.telemetry.plain_rows import read_plain

T = 1_800_000_000_000
SOURCE = Source("raw.powerwall", 3, 42, T)
REGISTRY = Registry(
    [
        *(
            Site(
                f"home-{i}",
                "north",
                (Device(f"pw-{i}", "powerwall", "", 13_500.0, 5000.0, 5000.0),),
                export_limit_w=10_000.0,
            )
            for i in range(6)
        ),
        Site("a" * 64, "north", (Device("d" * 64, "solar"),)),
    ]
)
LINE = (
    b'{"device_id":"pw-1","received_at_ms":1800000000000,"seq":7,"boot":"b7f2","body":'
    b'{"t":1799999999900,"p":-1200.5,"g":200.25,"pv":3000.0,"l":1999.75,"soc":0.5132,'
    b'"hz":50.01,"v":231.4,"tc":24.5,"isl":false}}'
)
NUMBERS = [
    "0", "-0", "-0.0", "1", "1.0", "1e3", "1E+3", "12.5e-1", "0.1", "0.30000000000000004",
    "9007199254740993", "123456789012345678", "1234567890123456789012", "1.7976931348623157e308",
    "1e999", "5e-324", "1e-999", "0.000000000000000000000000123", "00", "01", "-", ".5", "5.",
    "1.e3", "+1", "1e", "NaN", "Infinity", "null", "true", '"1"', "[1]", "{}",
    "4611686018427387904", "4611686018427387905", "-1", "253402300799000", "253402300799001",
    "86400000", "86400001", "1800000000000", "1799999999900", "0.5", "1.0000000000000002", "50",
    "1000.0", "51000", "1e9", "9999999999999999.5", "99999999999999999999",
]  # fmt: skip
STRINGS = [
    "pw-1", "pw-2", "pw-", "", "pw-\\u0031", "pw-1\\n", "ünbekannt", "d" * 64, "d" * 63, "d" * 130,
    "0", "b7f2", "B7F2", "123456789", "g", "ffffffff",
]  # fmt: skip
KEYS = ["t", "p", "g", "pv", "l", "soc", "hz", "v", "tc", "isl", "iv", "vendor", "x", "", "P"]
TOP = ["device_id", "received_at_ms", "seq", "boot", "body", "more"]


def same(found: Canonical, expected: Canonical) -> None:
    """Compare two outcomes of a frame, every value by its bits."""
    assert found.rejected == expected.rejected
    assert found.not_believed == expected.not_believed
    assert list(found.batches) == list(expected.batches)
    for partition, batch in expected.batches.items():
        assert found.batches[partition].schema.equals(TELEMETRY_V1)
        for name in TELEMETRY_V1.names:
            ours, theirs = found.batches[partition].column(name), batch.column(name)
            if ours.type == "double":
                assert ours.to_numpy().tobytes() == theirs.to_numpy().tobytes(), name
            else:
                assert ours.equals(theirs), name


def both(frame: bytes, kernels: ModuleType) -> None:
    """Assert that a frame has one outcome, and that what C calls plain is plain."""
    found = canonicalize(frame, SOURCE, REGISTRY, 8)
    with numpy_only():
        expected = canonicalize(frame, SOURCE, REGISTRY, 8)
    same(found, expected)
    raws = frame.split(b"\n")
    plain = read_compiled(kernels, frame, len(raws), REGISTRY).plain
    with numpy_only():
        _, there = read_plain(raws, REGISTRY)
    assert not (plain & ~there).any()


def test_a_plain_line_is_read_in_c() -> None:
    plain = read_compiled(compiled(), LINE, 1, REGISTRY)
    assert plain.plain.all()
    assert plain.believed
    assert plain.columns["battery_w"].tolist() == [-1200.5]
    assert plain.columns["boot"].tolist() == [0xB7F2]
    assert plain.columns["site_id"].to_pylist() == ["home-1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b",", b" ,\t").replace(b":", b" :\r"),
        lambda line: b"  " + line + b" \r",
        lambda line: line.replace(b'"soc":0.5132', b'"soc":null,"new":"text","other":1e3'),
        lambda line: line.replace(b'"p":-1200.5', b'"p":1.5,"p":-1200.5'),
        lambda line: line.replace(b"-1200.5", b"-1200.49999999999999"),
    ],
)
def test_usual_variants_are_read_in_c(change: Callable[[bytes], bytes]) -> None:
    line = change(LINE)
    assert read_compiled(compiled(), line, 1, REGISTRY).plain.all()
    both(line, compiled())


@pytest.mark.parametrize("key", KEYS)
def test_every_number_means_the_same(key: str) -> None:
    lines = [LINE]
    for number in NUMBERS:
        field = f'"{key}":{number}'.encode()
        lines += [
            LINE.replace(b'"body":{', b'"body":{' + field + b","),  # what follows may repeat it
            LINE.replace(b'"isl":false', field),
            LINE.replace(b'"seq":7', f'"seq":{number}'.encode()),
            LINE.replace(b'"seq":7', f'"seq":7,"{key}":{number}'.encode()),
        ]
    both(b"\n".join(lines), compiled())


def test_every_name_means_the_same() -> None:
    lines = [LINE.replace(at, text.encode()) for text in STRINGS for at in (b"pw-1", b"b7f2")]
    both(b"\n".join(lines), compiled())


def test_believed_or_not() -> None:
    for battery_w, grid_w in ((6_750.0, 0.0), (6_750.1, 0.0), (-6_751.0, 0.0), (0.0, -13_001.0),
                              (70_000.0, 0.0), (0.0, 1e9)):  # fmt: skip
        body = {"t": T - 100, "p": battery_w, "g": grid_w, "l": max(battery_w + grid_w, 0.0)}
        both(_line(body), compiled())
    both(_line({"t": T, "p": 1.0, "iv": 3_600_001}), compiled())


def test_frames_of_line_feeds_and_long_lines() -> None:
    for frame in (b"", b"\n", b"\n\n", LINE + b"\n", LINE + b"\n\n" + LINE, b" \n" + LINE,
                  LINE + b" " * 70_000, LINE.replace(b",", b"," + b" " * 70_000, 1),
                  b"\x00", LINE + b"\x00", b"\xff\xfe" + LINE, b"\n" * 20_001):  # fmt: skip
        both(frame, compiled())


def _line(body: object, **top: object) -> bytes:
    raw = {"device_id": "pw-1", "received_at_ms": T, "boot": "b7f2", "seq": 1, "body": body} | top
    return json.dumps(raw).encode()


VALUES = st.one_of(
    st.sampled_from(NUMBERS),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-6000, 6000).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(STRINGS).map(lambda text: f'"{text}"'),
)
OBJECTS = st.lists(st.tuples(st.sampled_from([*KEYS, *TOP]), VALUES), max_size=14).map(
    lambda items: "{" + ",".join(f'"{key}":{value}' for key, value in items) + "}"
)


@given(st.lists(st.one_of(OBJECTS, OBJECTS.map(lambda body: f'{{"device_id":"pw-2","seq":3,'
       f'"received_at_ms":{T},"body":{body}}}')), max_size=6))  # fmt: skip
def test_objects_of_any_keys_and_values(lines: list[str]) -> None:
    both("\n".join(lines).encode(), compiled())


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_damaged_frames(seed: int, faults: int) -> None:
    frame = b"\n".join([LINE, LINE.replace(b"pw-1", b"pw-3"), LINE])
    both(damaged(frame, seed, faults, NUMBERS), compiled())


def test_many_random_floats_are_rounded_correctly() -> None:
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**63, 3000, np.uint64).view(np.float64)
    values = [*bits[np.isfinite(bits) & (np.abs(bits) < 1e9)].tolist(), *rng.normal(0, 3e3, 3000)]
    lines = [_line({"t": T - 1, "p": float(value), "soc": 0.5}) for value in values]
    both(b"\n".join(lines), compiled())


def test_a_frame_that_is_no_bytes_and_columns_that_are_too_short_are_refused() -> None:
    kernels, known = compiled(), REGISTRY.columns
    table = known.device_index.table()
    site, bounds = known.devices["site"], known.devices["bounds_w"]
    ints, floats = np.empty((5, 1), np.int64), np.empty((9, 1))
    others = (np.empty(1, np.uint32), np.empty(1, np.int32), np.empty(1, np.int8))
    plain = np.empty(2, np.bool_)
    with pytest.raises(TypeError):
        kernels.read_lines(memoryview(LINE), *table, site, bounds, ints, floats, *others, plain)
    with pytest.raises(ValueError, match="shorter"):
        kernels.read_lines(LINE, *table, site, bounds, ints, floats, *others, plain)
    with pytest.raises(TypeError):
        kernels.read_lines(LINE)
