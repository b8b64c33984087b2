"""A tombstone in topic ``assets`` removes its site, as a record that says so does."""

from collections import Counter

import msgspec

from schemas.assets import Device, Site
from schemas.encoding import encode_json
from tests.support.kafka_raw import raw_in_its_partition, take
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.kafka import topics
from vpp_streams.kafka.follower import assets_into

DEVICE = Device(device_id="d1", kind="solar")
SITE = Site("s1", "north", (DEVICE,))
OTHER = Site("s2", "north", (Device(device_id="d2", kind="solar"),))


def apply(registry: Registry, value: bytes | None, key: bytes | None) -> None:
    raw = raw_in_its_partition(topics.ASSETS, value, key=key)
    take(assets_into(registry), raw, Counter())


def state_of(registry: Registry) -> list[object]:
    columns = registry.columns
    return [
        list(registry.sites()),
        registry.device("d1"),
        registry.device_count(),
        registry.regions(),
        columns.devices.known("site").tolist(),
    ]


def test_a_tombstone_is_a_record_that_says_removed() -> None:
    by_record, by_tombstone = Registry([SITE, OTHER]), Registry([SITE, OTHER])
    for registry in (by_record, by_tombstone):
        assert state_of(registry)[1] is not None
    apply(by_record, encode_json(msgspec.structs.replace(SITE, removed=True)), b"s1")
    apply(by_tombstone, None, b"s1")
    assert by_tombstone.device("d1") is None
    assert str(state_of(by_tombstone)) == str(state_of(by_record))
    assert by_tombstone.changes(2) == by_record.changes(2)


def test_a_tombstone_of_nothing_changes_nothing() -> None:
    registry = Registry([SITE])
    version = registry.version
    for key in (b"s9", b"", None, b"\xff\xfe"):
        apply(registry, None, key)
    assert registry.version == version
    apply(registry, None, b"s1")
    apply(registry, None, b"s1")
    assert registry.version == version + 1


def test_a_site_comes_back_after_its_tombstone() -> None:
    registry = Registry([SITE])
    apply(registry, None, b"s1")
    apply(registry, encode_json(SITE), b"s1")
    assert registry.device("d1") == (DEVICE, SITE)
