"""Raw frames to canonical: every line is a row or a dead letter, exactly one of them."""

import base64
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Device, Site, StateChange
from schemas.encoding import decode_frame, encode_frame
from schemas.telemetry import TELEMETRY_V1, Quality
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.domain.telemetry.canonical import WHOLE_FRAME, Canonical, Source, canonicalize
from vpp_streams.domain.telemetry.plain_rows import read_plain
from vpp_streams.domain.telemetry.raw_line import RefusedLine, read_line

T = 1_800_000_000_000
REGISTRY = Registry(Site(f"home-{i}", "north", (Device(f"pw-{i}", "powerwall"),)) for i in range(6))
SOURCE = Source("raw.powerwall", 3, 42, T)


def line(i: int = 0, seq: int = 1, **body: object) -> bytes:
    raw = {"device_id": f"pw-{i}", "received_at_ms": T, "boot": "b7f2", "seq": seq}
    return json.dumps(raw | {"body": {"t": T - 100, "p": 1000.0} | body}).encode()


def vendor_line(vendor: str, document: object, i: int = 0, **wrapper: object) -> bytes:
    raw = {"device_id": f"pw-{i}", "received_at_ms": T, "boot": "b7f2", "seq": 1}
    body = {"vendor": vendor, "t": T - 100, "body": document} | wrapper
    return json.dumps(raw | {"body": body}).encode()


def run(*lines: bytes) -> Canonical:
    return canonicalize(b"\n".join(lines), SOURCE, REGISTRY, 8)


def rows(found: Canonical) -> list[dict[str, Any]]:
    return [row for batch in found.batches.values() for row in batch.to_pylist()]


def test_a_native_row_is_whole_and_in_its_site_s_partition() -> None:
    found = run(line(2, g=-500.0, pv=0.0, l=500.0, soc=0.5, hz=50.0, v=230.0, tc=21.0, isl=False))
    (partition,) = found.batches
    assert partition == partition_of("home-2", 8)
    (row,) = rows(found)
    assert (row["device_id"], row["site_id"], row["boot"], row["seq"]) == (
        "pw-2",
        "home-2",
        0xB7F2,
        1,
    )
    assert (row["battery_w"], row["grid_w"], row["load_w"], row["soc"]) == (1000, -500, 500, 0.5)
    assert (row["islanded"], row["quality"], row["balance_error_w"]) == (0, Quality.OK, 0)
    batch = found.batches[partition]
    assert batch.schema.equals(TELEMETRY_V1)
    assert decode_frame(encode_frame(batch)).equals(batch)


def test_not_measured_is_nan_never_zero() -> None:
    (row,) = rows(run(line()))
    assert np.isnan(row["grid_w"])
    assert np.isnan(row["soc"])
    assert row["islanded"] == -1


def test_one_bad_line_costs_itself_only() -> None:
    found = run(line(0), b'{"device_id":"pw-1",', line(1), b"", line(2))
    assert sorted(row["device_id"] for row in rows(found)) == ["pw-0", "pw-1", "pw-2"]
    (rejected,) = found.rejected
    assert rejected.rejected_id == "raw.powerwall-3-42-1"
    assert base64.b64decode(rejected.original_base64) == b'{"device_id":"pw-1",'


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"not json", "bad_json"),
        (b'{"device_id":"pw-0"}', "bad_line"),
        (b"\xff\xfe{}", "bad_json"),
        (b'{"device_id":"pw-\xff"}', "bad_encoding"),
        (b"[" * 60_000, "bad_line"),
        (b'{"x":' + b"[" * 60_000, "bad_json"),
        (b"[" * 70_000, "too_large"),
        (line(9), "unknown_device"),
        (line(seq=-1), "bad_line"),
        (line(p="1 kW"), "bad_line"),
        (line(p=None), "no_measurement"),
        (line(p=2e9), "absurd_value"),
        (line(p=10**400), "bad_line"),
        (line(p=True), "bad_line"),
        (line().replace(b"1000.0", b"NaN"), "bad_json"),
        (line().replace(b"b7f2", b"0xb7"), "bad_line"),
        (line().replace(b"b7f2", b"123456789"), "bad_line"),
        (line(p=None, hz=50.0), "no_measurement"),
        (line(soc=1.5), "absurd_value"),
        (line(t=None), "bad_line"),
        (line(t=5), "bad_time"),
        (line(t=T + 3_600_000), "bad_time"),
        (line(iv=0), "bad_line"),
        (vendor_line("acme", {}), "unknown_vendor"),
        (vendor_line("tesla_gateway", {"vin": 1}), "not_telemetry"),
        (vendor_line("tesla_gateway", {}, p=1000.0), "bad_line"),
        (vendor_line("tesla_gateway", {"percentage": 50}, t=5), "bad_time"),
        (b'{"x":"' + b"a" * 70_000 + b'"}', "too_large"),
    ],
)
def test_dead_letters_say_why(raw: bytes, reason: str) -> None:
    found = run(raw)
    assert found.batches == {}
    assert [r.reason for r in found.rejected] == [reason]
    assert found.rejected[0].detail.endswith(".")


def test_a_vendor_body_becomes_the_same_kind_of_row() -> None:
    body = {"percentage": 52.5, "site": {"instant_power": 700}}
    (row,) = rows(run(vendor_line("tesla_gateway", body)))
    assert (row["grid_w"], row["measured_at_ms"]) == (700, T - 100)
    assert row["soc"] == pytest.approx(0.5)


def test_a_dead_letter_tells_what_could_be_read() -> None:
    (letter,) = run(line(3, soc=1.5)).rejected
    assert (letter.device_id, letter.site_id, letter.received_at_ms) == ("pw-3", "home-3", T)
    (letter,) = run(b"{}").rejected
    assert (letter.device_id, letter.site_id) == (None, None)
    assert letter.received_at_ms == SOURCE.timestamp_ms


def test_a_reading_that_is_sent_again_is_the_same_dead_letter() -> None:
    """Their ids named the frame: what a device sent again was another dead letter."""
    sent = [line(3, 7, soc=1.5), line(9, 7), vendor_line("acme", {}, 2)]
    again = canonicalize(b"\n".join(sent[::-1]), Source("raw.backfill", 1, 99, T), REGISTRY, 8)
    ids = [letter.rejected_id for letter in run(*sent).rejected]
    assert [letter.rejected_id for letter in again.rejected[::-1]] == ids
    assert ids == [
        "pw-3|b7f2|7|absurd_value",
        "pw-9|b7f2|7|unknown_device",
        "pw-2|b7f2|1|unknown_vendor",
    ]


def test_a_clock_ahead_by_ten_minutes_is_taken_as_it_stands() -> None:
    (row,) = rows(run(line(t=T + 600_000)))
    assert (row["measured_at_ms"], row["quality"]) == (T + 600_000, Quality.OK)
    assert [r.reason for r in run(line(t=T + 600_001)).rejected] == ["bad_time"]


def test_load_is_computed_where_only_it_is_missing() -> None:
    (row,) = rows(run(line(g=-400.0, pv=0.0)))
    assert (row["load_w"], row["quality"]) == (600, Quality.ESTIMATED)


def test_negative_solar_is_standby_or_not_known() -> None:
    standby, broken = rows(run(line(pv=-20.0), line(pv=-900.0)))
    assert (standby["solar_w"], standby["quality"]) == (0, Quality.OK)
    assert np.isnan(broken["solar_w"])
    assert (broken["battery_w"], broken["quality"]) == (1000, Quality.BAD)


def test_rows_keep_their_order_in_each_partition() -> None:
    lines = [line(i % 6, seq=i, soc=1.01 if i % 5 == 0 else 0.5) for i in range(60)]
    found = run(*lines)
    assert len(found.batches) > 1
    for partition, batch in found.batches.items():
        of_partition = [i for i in range(60) if partition_of(f"home-{i % 6}", 8) == partition]
        assert batch.column("seq").to_pylist() == of_partition


def test_a_frame_of_line_feeds_is_one_dead_letter_at_most() -> None:
    assert run(b"\n" * 1000) == Canonical({}, [])
    (letter,) = run(b"x\n" * 500_000).rejected
    assert (letter.reason, letter.line) == ("too_large", WHOLE_FRAME)
    assert letter.rejected_id == "raw.powerwall-3-42--1"
    assert len(letter.original_base64) < 100_000


def test_a_broken_identity_is_kept_and_marked_bad() -> None:
    (row,) = rows(run(line(g=0.0, pv=0.0, l=5000.0)))
    assert (row["quality"], row["balance_error_w"]) == (Quality.BAD, 4000)


@given(
    st.lists(
        st.binary(max_size=40) | st.builds(line, st.integers(0, 8), st.integers(0, 9)), max_size=8
    )
)
def test_every_line_is_a_row_or_a_dead_letter(lines: list[bytes]) -> None:
    frame = b"\n".join(lines)
    found = canonicalize(frame, SOURCE, REGISTRY, 8)
    wanted = sum(1 for raw in frame.split(b"\n") if raw.strip())
    assert len(rows(found)) + len(found.rejected) == wanted
    # One that is in it twice is the same dead letter.
    originals = {(r.rejected_id, r.original_base64) for r in found.rejected}
    named = [r for r in found.rejected if r.device_id is not None]
    assert len({rejected_id for rejected_id, _ in originals}) == len(originals)
    assert len(originals) >= len(found.rejected) - len(named)
    for rejected in found.rejected:
        msgspec.json.encode(rejected)


NUMBERS = (
    st.none()
    | st.sampled_from([0, -0.0, 1, 0.5, 1.01, 1.5, -0.01, 49.9, 50.1, -51.0, 1000, 1e9, -1e9, 2e9])
    | st.floats(-6000, 6000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([10**30, 10**400, True, "1", [], {}])
)
TIMES = st.sampled_from([T, T - 1, T + 600_000, T + 600_001, 946_684_800_000, 946_684_799_999, 0,
                         -1, 1.5, None, 2**63, "now"])  # fmt: skip
BODIES = st.fixed_dictionaries(
    {"t": st.just(T) | TIMES},
    optional=dict.fromkeys(("p", "g", "pv", "l", "soc", "hz", "v", "tc"), NUMBERS)
    | {
        "isl": st.sampled_from([True, False, None, 1]),
        "iv": st.sampled_from([1, 900_000, 0, 2**40, None]),
        "vendor": st.sampled_from(["tesla_gateway", "acme", None, 5]),
        "body": st.sampled_from([{"percentage": 40}, [], None]),
        "unknown": st.just([1]),
    },
)
LINES = st.fixed_dictionaries(
    {
        "device_id": st.sampled_from(["pw-0", "pw-1", "pw-9", "", "x" * 129, None]),
        "received_at_ms": st.just(T) | TIMES,
        "seq": st.sampled_from([0, 1, 2**62, 2**62 + 1, -1, 1.0, None]),
        "body": BODIES | st.none(),
    },
    optional={"boot": st.sampled_from(["0", "B7f2", "ffffffff", "0x1", "+1", "1_0", " 1", "", 1])},
)
MOSTLY_GOOD = st.fixed_dictionaries(
    {
        "device_id": st.sampled_from(["pw-0", "pw-1"]),
        "received_at_ms": st.just(T),
        "seq": st.just(1),
        "body": st.fixed_dictionaries(
            {"t": st.just(T)},
            optional=dict.fromkeys(
                ("p", "g", "pv", "l", "soc", "hz", "v", "tc"), NUMBERS | st.floats(0, 1)
            ),
        ),
    }
)


@given(LINES | MOSTLY_GOOD)
def test_the_short_cut_says_of_plain_lines_what_the_contract_says(document: object) -> None:
    raw = json.dumps(document).encode()
    columns, plain = read_plain([raw], REGISTRY)
    row = read_line(raw, REGISTRY)
    if plain[0]:
        assert not isinstance(row, RefusedLine)
        assert set(row) == set(TELEMETRY_V1.names)
        for name, value in row.items():
            got = columns[name].tolist()[0]
            assert got == value or (value != value and np.isnan(got))  # noqa: PLR0124  # NaN is not itself


def test_the_short_cut_is_taken() -> None:
    lines = [line(0), line(1, g=-500.0, pv=0.0, l=500.0, soc=0.5), line(2, vendor="x"), b"{"]
    assert read_plain(lines, REGISTRY)[1].tolist() == [True, True, False, False]


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_no_bytes_make_it_raise(frame: bytes, body: bytes) -> None:
    canonicalize(frame, SOURCE, REGISTRY, 8)
    prefix = b'{"device_id":"pw-0","received_at_ms":%d,"seq":1,"body":' % T
    for wrapped in (prefix + body + b"}", prefix + b'{"vendor":"fronius","body":' + body + b"}}"):
        found = canonicalize(wrapped, SOURCE, REGISTRY, 8)
        for batch in found.batches.values():
            assert decode_frame(encode_frame(batch)).equals(batch)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("device_id", "d" * 513),
        ("site_id", "s" * 513),
        ("interval_ms", 0),
        ("measured_at_ms", -1),
        ("received_at_ms", 2**60),
        ("seq", -1),
    ],
)
def test_a_frame_that_no_ingest_writes_is_refused(column: str, value: str | int) -> None:
    """Whoever writes to the topic: what state cannot hold ends at the decoder, as a value."""
    times = {"measured_at_ms": T, "received_at_ms": T, "seq": 1}
    sound = {"device_id": "pw-1", "site_id": "home-1", **times}
    batch = make_batch([sound, {**sound, column: value}])
    with pytest.raises(ValueError, match=f"column {column} "):
        decode_frame(encode_frame(batch))


@pytest.mark.parametrize("removed", [False, True])
def test_a_late_reading_of_a_retired_site_is_refused_with_that_reason(*, removed: bool) -> None:
    retired = () if removed else (StateChange("retired", 1),)
    site = Site("home-9", "north", (Device("pw-9", "powerwall"),), removed=removed, history=retired)
    refused = read_line(line(9), Registry([site]))
    assert isinstance(refused, RefusedLine)
    assert refused.why.reason == "unknown_device"
    assert refused.why.detail == "The site home-9 of device 'pw-9' is retired."
    moved = Registry([site, Site("home-1", "north", site.devices), site])
    assert moved.retired_site_of("pw-9") is None, "another site has it now"
