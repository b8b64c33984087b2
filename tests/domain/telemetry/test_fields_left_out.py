"""A field taken from a recorded document: what depended on it is empty or no longer quality ok."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.telemetry import Quality, Reading
from tests.support.paths import SHARED_DATA
from vpp_streams.domain.telemetry.normalize import guess_vendor, normalize

PAYLOADS = SHARED_DATA / "vendor_payloads"
NOW = 1_800_000_000_000
VALUES = ("battery_w", "grid_w", "solar_w", "load_w", "soc")
NOT_AVAILABLE = ("deleted", None, "", "N/A")

pytestmark = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="the shared recordings are not here")


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


def wrong(before: Reading, after: Reading) -> list[str]:
    """Values that became 0, changed their sign, or changed with quality ok."""
    found = []
    for name in VALUES:
        old, new = getattr(before, name), getattr(after, name)
        if math.isnan(new) or new == old:
            continue
        is_flipped = old * new < 0 or (new == 0 and not math.isnan(old))
        if after.quality is Quality.OK or is_flipped:
            found.append(f"{name}: {old} became {new}, quality {after.quality}")
    return found


def readable() -> Iterator[tuple[str, str, Any]]:
    for file in sorted(PAYLOADS.rglob("*")):
        if not file.is_file() or file.name.startswith(("LICENSE", "NOTE")):
            continue
        body = file.read_bytes()
        vendor = guess_vendor(body, str(file))
        found = normalize(vendor or "", body, NOW, 1000, NOW)
        if vendor and isinstance(found, Reading):
            yield str(file.relative_to(PAYLOADS)), vendor, json.loads(body)


def test_a_field_left_out_never_makes_another_value_look_measured() -> None:
    found, tried = [], 0
    for file, vendor, document in readable():
        before = normalize(vendor, json.dumps(document).encode(), NOW, 1000, NOW)
        assert isinstance(before, Reading)
        for variation in variations(document):
            after = normalize(vendor, json.dumps(document).encode(), NOW, 1000, NOW)
            tried += 1
            if isinstance(after, Reading):
                found += [f"{file} {variation}: {what}" for what in wrong(before, after)]
    assert tried > 1000
    assert found == []
