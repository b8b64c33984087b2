"""Records that each ended a role for ever, and every single-bit flip of a frame: all refused."""

import json
from typing import Any

import pytest

from schemas.bounds import PARTITIONS
from schemas.encoding import decode_frame, encode_frame
from tests.support.kafka_raw import Raw
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.kafka import topics
from vpp_streams.kafka.decode import Read, Refusal, receive
from vpp_streams.kafka.topic import Topic

NOW_MS = 1_795_817_533_274
SITE_ID = "site-home-0001"
PARTITION = partition_of(SITE_ID, PARTITIONS)
ROW = {
    "device_id": "x",
    "site_id": "x",
    "seq": 1,
    "measured_at_ms": NOW_MS,
    "received_at_ms": NOW_MS,
    "battery_w": 1.0,
}
FRAME = encode_frame(make_batch([ROW]))
DEEP = b'{"a":' + b"[" * 2000


def presence(**changes: Any) -> bytes:
    record = {
        "device_id": "home-0001",
        "site_id": SITE_ID,
        "status": "connected",
        "gateway_slot": 0,
        "at_ms": NOW_MS,
    }
    return json.dumps(record | changes).encode()


def command(**changes: Any) -> bytes:
    record = {
        "partition": PARTITION,
        "rank": NOW_MS,
        "slot": 0,
        "region": "north",
        "request_id": "x",
        "created_at_ms": NOW_MS,
        "asked_at_ms": NOW_MS,
        "not_before_ms": NOW_MS,
        "valid_until_ms": NOW_MS + 30_000,
        "rows": [["home-0001", 1, 1000.0, 100.0, 0.1]],
    }
    return json.dumps(record | changes).encode()


def prices(**changes: Any) -> bytes:
    record = {
        "region": "north",
        "currency": "USD",
        "from_ms": NOW_MS,
        "interval_ms": 300_000,
        "per_mwh": [1.0],
    }
    return json.dumps(record | changes).encode()


def with_bit_flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


EVENT = {"device_id": "home-0001", "command_id": "c4-1", "state": "failed", "at_ms": NOW_MS}
SAID = {"reason": f"unreadable answer: {'x' * 200}"}
GOOD = [
    (topics.PRESENCE, presence(), PARTITION),
    # What the gateway takes from a device and writes as it is must not end at the next door.
    (topics.PRESENCE, presence(model="Power\nwall", last_cmd="x" * 64), PARTITION),
    (
        topics.COMMAND_EVENTS,
        json.dumps({"source": "gw", "partition": 4, "events": [EVENT | SAID]}).encode(),
        4,
    ),
    (topics.COMMANDS, command(), PARTITION),
    (topics.GATEWAY_OUT, command(), 0),
    (topics.MARKET_PRICES, prices(), 0),
    (topics.TELEMETRY, FRAME, 0),
]
DEADLY: dict[str, tuple[Topic[Any], bytes, int]] = {
    "slot-9": (topics.PRESENCE, presence(gateway_slot=9), PARTITION),
    "slot-40000": (topics.PRESENCE, presence(gateway_slot=40_000), PARTITION),
    "slot-below-0": (topics.PRESENCE, presence(gateway_slot=-1), PARTITION),
    "no-device": (topics.PRESENCE, presence(device_id="home\n0001"), PARTITION),
    "rank": (topics.COMMANDS, command(rank=2**63), PARTITION),
    "rank-of-100-digits": (topics.COMMANDS, command(rank=10**100), PARTITION),
    "epoch": (topics.COMMANDS, command(rows=[["home-0001", 2**63, 1.0, 1.0, 0.1]]), PARTITION),
    "until": (topics.COMMANDS, command(valid_until_ms=2**62), PARTITION),
    "another-partition": (topics.COMMANDS, command(), PARTITION ^ 1),
    "no-partition": (topics.GATEWAY_OUT, command(partition=99), 0),
    "another-slot": (topics.GATEWAY_OUT, command(slot=1), 0),
    "prices": (topics.MARKET_PRICES, prices(interval_ms=2**63), 0),
    "prices-for-ages": (topics.MARKET_PRICES, prices(interval_ms=2**50), 0),
    "partials": (topics.REGION_PARTIALS, DEEP, 0),
    "frequency": (topics.GRID_FREQUENCY, DEEP, 0),
}


@pytest.mark.parametrize(
    ("topic", "value", "partition"), GOOD, ids=lambda x: getattr(x, "name", "")
)
def test_the_records_are_good_ones_but_for_what_is_deadly(
    topic: Topic, value: bytes, partition: int
) -> None:
    assert isinstance(receive(topic, Raw(value, partition)), Read)


@pytest.mark.parametrize("name", DEADLY)
def test_a_deadly_record_is_refused_when_it_is_decoded(name: str) -> None:
    topic, value, partition = DEADLY[name]
    assert isinstance(receive(topic, Raw(value, partition)), Refusal)


def test_no_flip_of_a_bit_of_a_frame_raises_anything_but_a_value_error() -> None:
    refused = 0
    for bit in range(len(FRAME) * 8):
        try:
            decode_frame(with_bit_flipped(FRAME, bit))
        except ValueError:
            refused += 1
    assert refused > len(FRAME)  # most of a frame is its schema


def test_no_cut_of_a_frame_raises_anything_but_a_value_error() -> None:
    for end in range(len(FRAME) - 8):
        try:
            rows = decode_frame(FRAME[:end]).num_rows
        except ValueError:
            continue
        assert rows == 0  # its schema is whole, and nothing follows


@pytest.mark.parametrize(
    "row",
    [{"battery_w": 1e13}, {"soc": float("inf")}, {"grid_w": -1e308}, {"quality": 4},
     {"islanded": 2}, {"seq": -1}, {"interval_ms": 0}],
    ids=str,
)  # fmt: skip
def test_a_frame_of_numbers_that_cannot_be_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"telemetry\.v1"):
        decode_frame(encode_frame(make_batch([{**ROW, **row}])))
