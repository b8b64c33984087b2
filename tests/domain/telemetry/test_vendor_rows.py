"""Vendors' documents read as columns: the rows that each line gives on its own."""

import json
import math
from copy import deepcopy
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_sim import vendor
from schemas.assets import Device, Site
from schemas.bodies import NativeBody
from schemas.telemetry import TELEMETRY_V1, Quality
from tests.support.examples import examples
from tests.support.paths import SHARED_DATA
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import Source, canonicalize
from vpp_streams.domain.telemetry.raw_line import RefusedLine, read_line
from vpp_streams.domain.telemetry.vendor_rows import read_vendor_rows

T = 1_800_000_000_000
REGISTRY = Registry(Site(f"home-{i}", "north", (Device(f"pw-{i}", "powerwall"),)) for i in range(6))
SOURCE = Source("raw.powerwall", 3, 42, T)
READING = NativeBody(T - 100, 1200.5, -200.25, 3000.0, 4000.25, 0.5132, 50.01, 231.4, 24.5)
FORMS = ("tesla_gateway", "fronius", "enphase")


def document_of(form: str, reading: NativeBody = READING) -> Any:
    return json.loads(bytes(vendor.render(form, reading).body))


def raw_of(
    form: object, document: object, i: int = 0, wrapper: dict[str, object] | None = None
) -> bytes:
    body = {"vendor": form, "body": document, "t": T - 100} | (wrapper or {})
    line = {"device_id": f"pw-{i}", "received_at_ms": T, "boot": "b7f2", "seq": 1, "body": body}
    return json.dumps(line).encode()


def check(raw: bytes) -> bool:
    """Compare a line with what it is on its own; returns whether the short cut was taken."""
    found = read_vendor_rows([raw], [0], REGISTRY)
    row = read_line(raw, REGISTRY)
    if found is None:
        return False
    assert not isinstance(row, RefusedLine), row
    assert set(row) == set(TELEMETRY_V1.names)
    for name, value in row.items():
        got = found.columns[name].tolist()[0]
        both_nan = isinstance(value, float) and math.isnan(value) and np.isnan(got)
        assert got == value or both_nan, (name, got, value)
    return True


@pytest.mark.parametrize("form", FORMS)
def test_the_usual_document_takes_the_short_cut(form: str) -> None:
    assert check(raw_of(form, document_of(form)))
    assert check(raw_of(form, document_of(form), wrapper={"t": None, "iv": 60_000}))


@pytest.mark.parametrize("form", FORMS)
def test_a_meter_that_is_missing_is_not_measured(form: str) -> None:
    for name in ("p", "g", "l", "soc", "hz", "v"):
        check(raw_of(form, document_of(form, msgspec.structs.replace(READING, **{name: None}))))


def without(document: Any, *path: str | int) -> Any:
    changed = deepcopy(document)
    at = changed
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return changed


def test_exceptions_are_left_to_the_long_way() -> None:
    tesla, fronius, envoy = (document_of(form) for form in FORMS)
    zero = {name: {"instant_power": 0} for name in ("site", "battery", "solar", "load")}
    old = deepcopy(tesla)
    old["solar"]["last_communication_time"] = "2020-01-01T00:00:00+00:00"
    old_envoy = deepcopy(envoy)
    old_envoy["consumption"][1]["readingTime"] -= 61
    failed = deepcopy(fronius)
    failed["Head"]["Status"]["Code"] = 12
    two = deepcopy(fronius)
    two["Body"]["Data"]["Inverters"]["2"] = {"SOC": 10.0}
    stored = deepcopy(envoy)
    stored["storage"][0] |= {"activeCount": 1, "wNow": 100}
    for form, document in (
        ("tesla_gateway", zero),
        ("tesla_gateway", old),
        ("tesla_gateway", tesla | {"battery_blocks": []}),
        ("tesla_gateway", tesla | {"system_island_state": "SystemIslandedActive"}),
        ("fronius", failed),
        ("fronius", two),
        ("enphase", old_envoy),
        ("enphase", stored),
        ("enphase", without(envoy, "production", 1)),
    ):
        assert not check(raw_of(form, document)), document


@pytest.mark.parametrize(
    "unread",
    [b'"x":1e999', b'"x":-1E0400', b'"x":"\xff"', b'"x":"\xc3\xa9"', b'"x":12.5e+308', b'"x":01'],
)
def test_what_nobody_reads_is_checked_as_well(unread: bytes) -> None:
    raw = raw_of("fronius", document_of("fronius")).replace(b'"Head":', unread + b', "Head":')
    good = raw_of("enphase", document_of("enphase"))
    assert unread in raw
    assert not check(raw)
    found = read_vendor_rows([good, raw, good], [0, 1, 2], REGISTRY)
    assert found is not None
    assert found.lines.tolist() == [0, 2]


@pytest.mark.parametrize("again", [b'"vendor": "enphase"', b'"vendor": "acme"', b'"x": 1'])
def test_a_key_that_comes_twice_or_is_not_known_is_left(again: bytes) -> None:
    raw = raw_of("fronius", document_of("fronius"))
    assert not check(raw.replace(b', "t":', b", " + again + b', "t":'))


NUMBERS = st.sampled_from(
    [None, 0, -0.0, 1, 50, 60.01, 100.0, 101.9, 103, 120, 230.5, -30, -3000, 5e3, 1e9, 2e9, 1e308]
) | st.floats(-6000, 6000)
TIMES = st.sampled_from(
    ["2027-01-15T08:00:00+00:00", "2027-01-15T07:59:30Z", "2027-01-15T07:58:59", "2027-01-15",
     "0001-01-01T00:00:00Z", "", "now", None, 0, 1_800_000_000, 1_799_999_950, 1_800_009_999, -1]
)  # fmt: skip
JUNK = st.sampled_from([True, False, "1", [], {}, [{}], 10**30, 10**400, "é", {"a": 1}, -1, 2**64])
KINDS = st.sampled_from(
    ["production", "inverters", "eim", "total-consumption", "net-consumption", None, "acb", 1]
)
STATES = st.sampled_from(
    ["SystemGridConnected", "SystemIslandedActive", "bidirectional", "meter", "produce-only",
     "vague-meter", "", None, "x"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["site", "battery", "solar", "load", "instant_power", "last_communication_time", "frequency",
     "num_meters_aggregated", "instant_average_voltage", "percentage", "grid_status", "SOC",
     "system_island_state", "battery_blocks", "nominal_full_pack_energy", "Head", "Status", "Code",
     "Body", "Data", "Site", "Mode", "P_Grid", "P_Load", "P_Akku", "P_PV", "Inverters", "Timestamp",
     "production", "consumption", "storage", "type", "measurementType", "activeCount", "wNow",
     "readingTime", "x"]
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn) -> tuple[str, Any]:
    """A document of a device with some of its values changed, removed or added, at any depth."""
    form = draw(st.sampled_from(FORMS))
    document = document_of(form)
    for _ in range(draw(st.integers(0, 4))):
        at, steps = document, list(document)
        while steps:
            step = draw(st.sampled_from(steps))
            inner = at[step]
            if isinstance(inner, dict | list) and inner and draw(st.integers(0, 5)):
                at, steps = inner, list(inner) if isinstance(inner, dict) else [*range(len(inner))]
            else:
                change(draw, at, step)
                break
    return form, document


def change(draw: st.DrawFn, at: Any, step: Any) -> None:
    """Change one value of an object or a list in place."""
    inner = at[step]
    match draw(st.integers(0, 9)):
        case 0:
            del at[step]
        case 1 if isinstance(at, dict):
            at[draw(KEYS)] = deepcopy(draw(NUMBERS | TIMES | JUNK | KINDS | STATES))
        case 2 if isinstance(at, list):
            at.insert(0, deepcopy(draw(st.sampled_from(at))))
        case 3:
            at[step] = deepcopy(draw(JUNK))  # as it may be changed in turn
        case _ if isinstance(inner, int | float):
            at[step] = draw(NUMBERS | TIMES)
        case _ if "ime" in str(step):
            at[step] = draw(TIMES)
        case _:
            at[step] = draw(KINDS | STATES | NUMBERS)


WRAPPERS = st.fixed_dictionaries(
    {}, optional={
        "t": st.sampled_from([T, None, T + 600_000, T + 600_001, 5, 1.5, -1]),
        "iv": st.sampled_from([1, 900_000, 0, None]),
        "vendor": st.sampled_from([*FORMS, "acme", "native", None, 5]),
        "x": st.just(1),
    },
)  # fmt: skip


@examples(8000, ci=600)
@given(changed(), st.just({}) | WRAPPERS)
def test_the_short_cut_reads_what_the_long_way_reads(
    made: tuple[str, Any], wrapper: dict[str, object]
) -> None:
    form, document = made
    check(raw_of(form, document, wrapper=wrapper))


@given(st.binary(max_size=60), st.sampled_from(FORMS), st.integers(0, 400))
def test_broken_bytes_are_no_rows_or_the_same_rows(junk: bytes, form: str, at: int) -> None:
    raw = raw_of(form, document_of(form))
    check(raw[:at] + junk.replace(b"\n", b"") + raw[at:])
    check(raw[:at] + raw[at + 1 :])


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the shared recordings are not here")
def test_recorded_documents_give_the_same_rows() -> None:
    taken = 0
    for file in sorted((SHARED_DATA / "vendor_payloads").rglob("*")):
        if not file.is_file():
            continue
        try:
            document = json.loads(file.read_bytes())
        except ValueError:
            continue
        for form in FORMS:
            taken += check(raw_of(form, document))
    assert taken >= 10


def test_rows_of_a_mixed_frame_keep_their_order_and_every_line_its_outcome() -> None:
    raws = []
    for i in range(60):
        form = (*FORMS, None, "acme")[i % 5]
        if form is None:
            body: Any = {"t": T - 100, "p": float(i)}
            line = {"device_id": f"pw-{i % 6}", "received_at_ms": T, "boot": "1", "seq": i}
            raws.append(json.dumps(line | {"body": body}).encode())
        else:
            document = document_of(form) if form != "acme" else {}
            raws.append(raw_of(form, document, i % 6).replace(b'"seq": 1', b'"seq": %d' % i))
    found = canonicalize(b"\n".join(raws), SOURCE, REGISTRY, 8)
    rows = sorted(
        (row for batch in found.batches.values() for row in batch.to_pylist()),
        key=lambda row: row["seq"],
    )
    assert [row["seq"] for row in rows] == [i for i in range(60) if i % 5 != 4]
    assert [letter.line for letter in found.rejected] == list(range(4, 60, 5))
    for batch in found.batches.values():
        assert batch.column("seq").to_pylist() == sorted(batch.column("seq").to_pylist())
    for row in rows:
        expected = read_line(raws[row["seq"]], REGISTRY)
        assert not isinstance(expected, RefusedLine)
        assert {k: v for k, v in row.items() if v == v} == {  # noqa: PLR0124 - NaN is not itself
            k: v
            for k, v in expected.items()
            if v == v  # noqa: PLR0124 - NaN is not itself
        }
    assert {row["quality"] for row in rows} <= {Quality.OK, Quality.ESTIMATED}


def test_a_frame_of_vendors_documents_alone_needs_no_other_row() -> None:
    raws = [raw_of(FORMS[i % 3], document_of(FORMS[i % 3]), i % 6) for i in range(12)]
    found = canonicalize(b"\n".join(raws), SOURCE, REGISTRY, 8)
    assert sum(batch.num_rows for batch in found.batches.values()) == 12
    assert not found.rejected
