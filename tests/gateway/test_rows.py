"""Rows made in C, against the line that the contract's decoder makes of the same message."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Device, Site
from schemas.bounds import MAX_SEQ, MAX_TIME_MS
from schemas.telemetry import TELEMETRY_V1
from tests.support.compiled_kernels import compiled, numpy_only
from tests.support.damage import damaged
from tests.support.examples import examples
from tests.support.gateway_session import T0, at, live_session, ndjson_of, produced
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import (
    Canonical,
    Source,
    canonicalize,
    canonicalize_columns,
)
from vpp_streams.gateway.actions import Action, Produce
from vpp_streams.gateway.rows import encode_rows, line_of_row, read_row

SOURCE = Source("raw.solar", 3, 42, T0)
REGISTRY = Registry([Site("s1", "north", (Device("d1", "solar", "", 13_500.0, 5000.0, 5000.0),))])
READING = (
    b'[6,"10","Telemetry",{"b":"b0","s":10,"t":%d,"p":-1200.5,"g":200.25,"pv":3000.0,"l":1999.75,'
    b'"soc":0.5132,"hz":50.01,"v":231.4,"tc":24.5,"isl":false}]' % T0
)
NUMBERS = [
    "0", "-0", "-0.0", "1", "1.0", "1e3", "1E+3", "0.1", "0.30000000000000004", "9007199254740993",
    "1234567890123456789012", "1.7976931348623157e308", "1e999", "5e-324", "1e-999", "00", "01",
    "-", ".5", "5.", "1.e3", "+1", "1e", "NaN", "Infinity", "null", "true", "false", '"1"', "[1]",
    "{}", "4611686018427387904", "4611686018427387905", "999999999999999999", "-1", "10", "11",
    "253402300799000", "253402300799001", "86400000", "86400001", "1000", "1000.0", "60000",
    str(T0), str(T0 + 600_000), str(T0 + 700_000), "0.5", "1.0000000000000002", "51", "4999", "1e8",
]  # fmt: skip
KEYS = ["b", "s", "t", "p", "g", "pv", "l", "soc", "hz", "v", "tc", "isl", "iv", "vendor", "body",
        "x", "", "P"]  # fmt: skip


def frames(actions: list[Action]) -> list[tuple[bytes, Canonical]]:
    """What goes to Kafka, as lines, and what ingest makes of the frame."""
    made = []
    for produce in produced(actions):
        if produce.is_row:
            frame = encode_rows([produce.device_id], [produce.readings])
            found = canonicalize_columns(frame, SOURCE, REGISTRY, 8)
        else:
            found = canonicalize(produce.readings, SOURCE, REGISTRY, 8)
        made.append((ndjson_of(produce), found))
    return made


def compare(message: bytes) -> list[Action]:
    """Assert that a message has one outcome with rows and without, and return the actions."""
    compiled()
    session, plain = live_session(), live_session()
    actions = session.receive(message, at(40))
    with numpy_only():
        expected = plain.receive(message, at(40))
    others = [[a for a in one if not isinstance(a, Produce)] for one in (actions, expected)]
    assert others[0] == others[1]
    assert [a.receipt for a in produced(actions)] == [a.receipt for a in produced(expected)]
    assert session.head == plain.head
    for (line, found), (usual, there) in zip(frames(actions), frames(expected), strict=True):
        assert line == usual
        same(found, there)
    return actions


def same(found: Canonical, expected: Canonical) -> None:
    """Compare what ingest made of two frames, every value by its bits."""
    assert found.rejected == expected.rejected
    assert found.not_believed == expected.not_believed
    assert list(found.batches) == list(expected.batches)
    for partition, batch in expected.batches.items():
        for name in TELEMETRY_V1.names:
            ours, theirs = found.batches[partition].column(name), batch.column(name)
            if ours.type == "double":
                assert ours.to_numpy().tobytes() == theirs.to_numpy().tobytes(), name
            else:
                assert ours.equals(theirs), name


def test_a_plain_reading_is_a_row() -> None:
    (produce,) = produced(compare(READING))
    assert produce.is_row
    assert json.loads(ndjson_of(produce)) == {
        "device_id": "d1",
        "received_at_ms": T0 + 40,
        "seq": 10,
        "body": {"t": T0, "p": -1200.5, "g": 200.25, "pv": 3000.0, "l": 1999.75, "soc": 0.5132,
                 "hz": 50.01, "v": 231.4, "tc": 24.5, "isl": False},
        "boot": "b0",
    }  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        READING.replace(b",", b" ,\t").replace(b":", b" :\r").replace(b"[6 ,", b"[6,"),
        READING + b" ",
        READING.replace(b'"soc":0.5132', b'"soc":null,"new":"text","other":1e3'),
        READING.replace(b'"p":-1200.5', b'"p":7.5,"p":-1200.5'),
        READING.replace(b'"isl":false', b'"isl":true,"iv":60000'),
        READING.replace(b'"isl":false', b'"iv":1000'),
        READING.replace(b'"10"', b'"' + b"x" * 64 + b'"'),
    ],
)
def test_usual_variants_are_rows(message: bytes) -> None:
    (produce,) = produced(compare(message))
    assert produce.is_row


@pytest.mark.parametrize(
    "message",
    [
        READING.replace(b'"l":1999.75,', b""),  # the load is computed
        READING.replace(b'"soc":0.5132', b'"soc":1.5'),
        READING.replace(b'"t":', b'"t":9'),
        READING.replace(b"Telemetry", b"Telemetr\\u0079"),
        READING.replace(b'"isl":false', b'"x":[1,{"y":2}]'),
        READING.replace(b'{"b"', '{"ü":1,"b"'.encode()),
        READING.replace(b'"isl":false', b'"isl":0'),
    ],
)
def test_what_is_not_plain_travels_as_a_line(message: bytes) -> None:
    (produce,) = produced(compare(message))
    assert not produce.is_row


@pytest.mark.parametrize(
    "message",
    [
        READING.replace(b'"b0"', b'"b1"'),
        READING.replace(b'"b0"', b'"B0"'),
        READING.replace(b'"s":10', b'"s":9'),
        READING.replace(b'"10"', b'""'),
        READING.replace(b'"10"', b'"' + b"x" * 65 + b'"'),
        READING.replace(b'"10"', b"10"),
        READING[:-1],
        READING + b"]",
        READING.replace(b"[6,", b"[2,"),
        READING.replace(b"[6,", b"[6.0,"),
        READING.replace(b'"Telemetry"', b'"telemetry"'),
        READING.replace(b'"s":10,', b""),
        READING.replace(b'"b":"b0",', b""),
        READING.replace(b'"s":10', b'"s":%d' % (MAX_SEQ + 1)),
        b"[6,",
        b'[6,"1","Telemetry",{}]',
        b'[6,"1","Telemetry",{"b":"b0","s":10}',
        b"",
        b"\x00",
    ],
)
def test_what_is_no_reading_is_refused_as_without_rows(message: bytes) -> None:
    assert not produced(compare(message))


@pytest.mark.parametrize("key", KEYS)
def test_every_number_means_the_same(key: str) -> None:
    for number in NUMBERS:
        field = f'"{key}":{number}'.encode()
        compare(READING.replace(b'{"b"', b"{" + field + b',"b"'))  # what follows may repeat it
        compare(READING.replace(b'"isl":false', field))


VALUES = st.one_of(
    st.sampled_from(NUMBERS),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-6000, 6000).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(['"b0"', '"b1"', '"x"', '"\\n"', '"ü"', "[]"]),
)
PAYLOADS = st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=10).map(
    lambda items: "".join(f',"{key}":{value}' for key, value in items)
)


@examples(2000, ci=300)
@given(PAYLOADS, st.sampled_from(["]", "]", "]", ",1]", "", "} ]"]))
def test_any_keys_and_values(payload: str, end: str) -> None:
    compare(f'[6,"10","Telemetry",{{"b":"b0","s":10,"t":{T0}{payload}}}{end}'.encode())


@examples(2000, ci=300)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_damaged_messages(seed: int, faults: int) -> None:
    compare(damaged(READING, seed, faults, NUMBERS))


def test_random_values_keep_every_bit() -> None:
    rng = np.random.default_rng(5)
    values = [*rng.normal(0, 3e3, 500), *rng.uniform(0, 1, 500)]
    rows, lines = [], []
    for seq, value in enumerate(values):
        body = {"b": "b0", "s": seq, "t": T0 + seq, "p": float(value), "soc": 0.5, "l": 1.0}
        body |= {"g": 1.0 - float(value), "pv": 0.0}
        message = json.dumps([6, "1", "Telemetry", body]).encode()
        found = read_row(message.replace(b"[6, ", b"[6,"), "b0", 0xB0, T0 + 1)
        compiled()
        assert found is not None
        rows.append(found[2])
        lines.append(line_of_row("d1", found[2]))
    columns = canonicalize_columns(encode_rows(["d1"] * len(rows), rows), SOURCE, REGISTRY, 8)
    same(columns, canonicalize(b"\n".join(lines), SOURCE, REGISTRY, 8))
    (batch,) = columns.batches.values()
    assert batch.column("battery_w").to_pylist() == values


def test_arguments_that_do_not_fit_are_refused() -> None:
    read = compiled().read_message
    for wrong in ((READING, "b0", 0xB0), (bytearray(READING), "b0", 0xB0, T0),
                  (READING, b"b0", 0xB0, T0), (READING, "b0", "b0", T0)):  # fmt: skip
        with pytest.raises(TypeError):
            read(*wrong)
    with pytest.raises(OverflowError):
        read(READING, "b0", 2**70, T0)
    assert read(READING, "b0", 0xB0, MAX_TIME_MS + 1) is None
    assert read(READING, "b0", 0xB0, -1) is None
