"""Bytes that nobody should write to a topic: garbage, and records with something wrong in them."""

import json
import random
from collections.abc import Iterator
from typing import Any

from schemas.encoding import decode_frame, encode_frame
from tests.support.paths import GOLDEN
from tests.support.telemetry_factory import make_batch
from vpp_streams.kafka import contracts
from vpp_streams.kafka.topic import Topic

DEEP = "@@deep@@"
NOT_A_NUMBER = "@@nan@@"
MISSING = "@@missing@@"
SWEPT: tuple[Any, ...] = (
    *(None, "", "a\nb", "x" * 300, [], {}, -1, 0, 9, 40_000, 2**31, 2**53, 2**62, 2**63, 10**30),
    *(-1e12, 1e12, 1e308, DEEP),
)
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, "", "x", [], {}, [[]], {"": {}}, 0, -1, 1, 7, 8, 99, 40_000),
    *(2**31, 2**53, 2**62, 2**63, 2**64, -(2**63), 10**30, -(10**30)),
    *(1e12, -1e12, 1e18, 1e308, -1e308, 5e-324, 0.1, -0.0),
    *("a\nb", "\x00", "\ud800", "é" * 100, "x" * 10_000, "../..", DEEP, NOT_A_NUMBER),
)


def seeds(topic: Topic, device_id: str, site_id: str) -> list[bytes]:
    """Good records of a topic, of a device and site that the reader knows."""
    if topic.contract == "arrow":
        rows = decode_frame((GOLDEN / "telemetry.v1.1.arrow").read_bytes()).to_pylist()
        ids = {"device_id": device_id, "site_id": site_id}
        return [encode_frame(make_batch([row | ids for row in rows]))]
    if topic.contract == "entries":
        return [(GOLDEN / "settlement_entry.v1.1.arrow").read_bytes()]
    found = []
    for contract in contracts.contracts_of(topic):
        paths = sorted(GOLDEN.glob(f"{contracts.file_name(contract)}.*.json"))
        texts = [json.dumps(json.loads(path.read_bytes())) for path in paths]
        found += [t.replace("pw-000417", device_id).replace("home-417", site_id) for t in texts]
    return [text.encode() for text in found]


def mutant(seed: bytes, chance: random.Random) -> bytes:
    """A record with something wrong in it; now and then it is still a good one."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randrange(64))
    if kind == 1:
        return seed[: chance.randrange(len(seed))]
    if kind == 2:
        return _with_bits_flipped(seed, chance)
    if kind == 3:
        return chance.choice((b"[", b'{"a":')) * 5000 + seed
    try:
        document = json.loads(seed)
    except ValueError:
        return _with_bits_flipped(seed, chance)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        _change(document, chance)
    return _written(document)


def sweep(seed: bytes) -> Iterator[bytes]:
    """A good record with each of its values in turn missing, and in turn replaced."""
    try:
        count = len(list(_places(json.loads(seed))))
    except ValueError:
        return
    for number in range(count):
        for value in (MISSING, *SWEPT):
            document = json.loads(seed)
            holder, key = list(_places(document))[number]
            if value == MISSING:
                del holder[key]
            else:
                holder[key] = value
            yield _written(document)


def _with_bits_flipped(seed: bytes, chance: random.Random) -> bytes:
    changed = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 8))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _change(document: Any, chance: random.Random) -> None:
    places = list(_places(document))
    if not places:
        return
    holder, key = chance.choice(places)
    kind = chance.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[chance.choice(("type", "x", "", key.upper()))] = holder.pop(key)
    elif kind == 2 and isinstance(holder[key], list):
        holder[key] = holder[key] * 200
    elif kind == 3 and isinstance(holder[key], int | float):
        holder[key] = -holder[key]
    else:
        holder[key] = chance.choice(HOSTILE)


def _places(document: Any) -> Any:
    """(container, key) of every value in a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _written(document: Any) -> bytes:
    text = json.dumps(document).encode()
    text = text.replace(f'"{DEEP}"'.encode(), b"[" * 2000 + b"]" * 2000)
    return text.replace(f'"{NOT_A_NUMBER}"'.encode(), b"NaN")
