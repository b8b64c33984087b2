"""A field taken from a document: what depended on it is empty or no longer quality ok."""

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.telemetry import Quality, Reading, Rejection
from tests.support.paths import SHARED_DATA
from vpp_streams.domain.telemetry.normalize import guess_vendor, normalize

PAYLOADS = SHARED_DATA / "vendor_payloads"
NOW = 1_800_000_000_000
VALUES = ("battery_w", "grid_w", "solar_w", "load_w", "soc")
NOT_AVAILABLE = ("deleted", None, "", "N/A")


def fields(node: Any, path: str = "") -> Iterator[tuple[dict[str, Any], str, str]]:
    """(object, key, path) of each field at any depth; of the first four entries of a list."""
    children = node.items() if isinstance(node, dict) else enumerate(node[:4])
    for key, child in list(children):
        if isinstance(node, dict):
            yield node, key, f"{path}.{key}"
        if isinstance(child, dict | list):
            yield from fields(child, f"{path}.{key}")


def variations(document: Any) -> Iterator[str]:
    """The document with each field in turn deleted or not available; it is put back after it."""
    for parent, key, path in fields(document):
        kept = dict(parent)
        for instead in NOT_AVAILABLE:
            if instead == "deleted":
                del parent[key]
            else:
                parent[key] = instead
            yield f"{path} {instead!r}"
            parent.clear()
            parent.update(kept)


def wrong(before: Reading, after: Reading | Rejection) -> list[str]:
    """Values that became 0, changed their sign, or changed with quality ok."""
    if isinstance(after, Rejection):
        return []
    found = []
    for name in VALUES:
        old, new = getattr(before, name), getattr(after, name)
        if math.isnan(new) or new == old:
            continue
        is_flipped = old * new < 0 or (new == 0 and not math.isnan(old))
        if after.quality is Quality.OK or is_flipped:
            found.append(f"{name}: {old} became {new}, quality {after.quality}")
    return found


POWER_FLOW = {
    "siteCurrentPowerFlow": {
        "unit": "kW",
        "connections": [
            {"from": "GRID", "to": "Load"},
            {"from": "PV", "to": "Storage"},
            {"from": "PV", "to": "Load"},
        ],
        "GRID": {"status": "Active", "currentPower": 0.4},
        "LOAD": {"status": "Active", "currentPower": 1.9},
        "PV": {"status": "Active", "currentPower": 3.5},
        "STORAGE": {"status": "Charging", "currentPower": 2.0, "chargeLevel": 47},
    }
}
NO_BATTERY = {
    "siteCurrentPowerFlow": {
        "unit": "W",
        "connections": [{"from": "PV", "to": "Load"}, {"from": "LOAD", "to": "Grid"}],
        "GRID": {"status": "Active", "currentPower": 700.0},
        "LOAD": {"status": "Active", "currentPower": 300.0},
        "PV": {"status": "Active", "currentPower": 1000.0},
        "STORAGE": {"status": "Disabled", "currentPower": 0.0, "chargeLevel": 0},
    }
}
HYBRID = {
    "_sum/EssSoc": 55,
    "_sum/EssActivePower": 2400,
    "_sum/EssDischargePower": 900,
    "_sum/GridActivePower": -700,
    "_sum/ProductionActivePower": 1500,
    "_sum/ProductionDcActualPower": 1500,
    "_sum/ConsumptionActivePower": 1700,
    "_sum/GridMode": 1,
}
AC_COUPLED = HYBRID | {
    "_sum/EssActivePower": 900,
    "_sum/ProductionDcActualPower": 0,
}
NATIVE = {
    "t": NOW, "p": 900.0, "g": -700.0, "pv": 1500.0, "l": 1700.0, "soc": 0.55,
    "hz": 50.01, "v": 231.0, "tc": 24.0, "isl": False, "iv": 1000,
}  # fmt: skip
WRITTEN: dict[str, tuple[str, Any]] = {
    "native": ("native", NATIVE),
    "native, charging by night": ("native", NATIVE | {"p": -900.0, "g": 2600.0, "pv": 0.0}),
    "native, off the grid": ("native", NATIVE | {"g": 0.0, "p": 200.0, "isl": True}),
    "solaredge": ("solaredge", POWER_FLOW),
    "solaredge, no battery": ("solaredge", NO_BATTERY),
    "solaredge, overview": ("solaredge", {"overview": {"currentPower": {"power": 812.5}}}),
    "openems, hybrid": ("openems", HYBRID),
    "openems, AC-coupled": ("openems", AC_COUPLED),
    "openems, REST": ("openems", [{"address": k, "value": v} for k, v in HYBRID.items()]),
}


def readable() -> Iterator[tuple[str, str, Any]]:
    for file in sorted(PAYLOADS.rglob("*")):
        if not file.is_file() or file.name.startswith(("LICENSE", "NOTE")):
            continue
        body = file.read_bytes()
        vendor = guess_vendor(body, str(file))
        found = normalize(vendor or "", body, NOW, 1000, NOW)
        if vendor and isinstance(found, Reading):
            yield str(file.relative_to(PAYLOADS)), vendor, json.loads(body)


def without_entries(document: Any) -> Iterator[str]:
    """The document with each entry of a list in turn left out; it is put back after it."""
    for entries, path in lists(document):
        for i in range(len(entries)):
            kept = entries.pop(i)
            yield f"{path}[{i}]"
            entries.insert(i, kept)


def lists(node: Any, path: str = "") -> Iterator[tuple[list[Any], str]]:
    if isinstance(node, list):
        yield node, path
    for key, child in list(node.items() if isinstance(node, dict) else enumerate(node)):
        if isinstance(child, dict | list):
            yield from lists(child, f"{path}.{key}")


@pytest.mark.parametrize("name", WRITTEN)
def test_of_a_written_body_one_field_or_two_may_be_left_out(name: str) -> None:
    vendor, written = WRITTEN[name]
    document = json.loads(json.dumps(written))

    def now() -> Reading | Rejection:
        return normalize(vendor, json.dumps(document).encode(), NOW, 1000, NOW)

    before, found = now(), []
    assert isinstance(before, Reading)
    assert before.quality is (Quality.ESTIMATED if "overview" in name else Quality.OK)
    for first in itertools.chain(variations(document), without_entries(document)):
        found += [f"{first}: {what}" for what in wrong(before, now())]
        for second in variations(document):
            found += [f"{first}, {second}: {what}" for what in wrong(before, now())]
    assert found == []


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason="the shared recordings are not here")
def test_a_field_left_out_never_makes_another_value_look_measured() -> None:
    found, tried = [], 0
    for file, vendor, document in readable():
        before = normalize(vendor, json.dumps(document).encode(), NOW, 1000, NOW)
        assert isinstance(before, Reading)
        for variation in variations(document):
            after = normalize(vendor, json.dumps(document).encode(), NOW, 1000, NOW)
            tried += 1
            found += [f"{file} {variation}: {what}" for what in wrong(before, after)]
    assert tried > 1000
    assert found == []
