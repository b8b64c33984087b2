"""Raw frames to canonical: every line is a row or a dead letter, exactly one of them."""

import base64
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Device, Site
from schemas.telemetry import TELEMETRY_V1, Quality
from vpp_streams.codecs import decode_frame, encode_frame
from vpp_streams.domain.canonical import Canonical, Source, canonicalize
from vpp_streams.domain.partition import partition_of
from vpp_streams.domain.registry import Registry

T = 1_800_000_000_000
REGISTRY = Registry(Site(f"home-{i}", "north", (Device(f"pw-{i}", "powerwall"),)) for i in range(6))
SOURCE = Source("raw.powerwall", 3, 42, T)


def line(i: int = 0, seq: int = 1, **body: object) -> bytes:
    raw = {"device_id": f"pw-{i}", "received_at_ms": T, "boot": "b7f2", "seq": seq}
    return json.dumps(raw | {"body": {"t": T - 100, "p": 1000.0} | body}).encode()


def run(*lines: bytes) -> Canonical:
    return canonicalize(b"\n".join(lines), SOURCE, REGISTRY, 8)


def rows(found: Canonical) -> list[dict[str, object]]:
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
        (line(9), "unknown_device"),
        (line(seq=-1), "bad_line"),
        (line(p="1 kW"), "bad_line"),
        (line(p=None), "no_measurement"),
        (line(p=2e9), "absurd_value"),
        (line(pv=-900.0), "absurd_value"),
        (line(soc=1.5), "absurd_value"),
        (line(t=None), "bad_time"),
        (line(t=5), "bad_time"),
        (line(t=T + 3_600_000), "bad_time"),
        (line(iv=0), "bad_line"),
        (line(vendor="acme", body={}), "unknown_vendor"),
        (line(vendor="tesla_gateway", body={"vin": 1}), "not_telemetry"),
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
    (row,) = rows(run(line(vendor="tesla_gateway", body=body)))
    assert (row["grid_w"], row["soc"], row["measured_at_ms"]) == (700, 0.5, T - 100)


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
    assert len({r.rejected_id for r in found.rejected}) == len(found.rejected)
    for rejected in found.rejected:
        msgspec.json.encode(rejected)
