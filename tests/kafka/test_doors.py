"""The way in and the way out: what follows a topic, without a broker."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from schemas.assets import Site
from schemas.bounds import PARTITIONS
from schemas.rejected import MAX_KEPT_BYTES, RejectedRecord
from schemas.window_frames import HEADERS, windows_of
from schemas.windows import SiteWindow
from tests.support.kafka_raw import Raw
from tests.support.memory_kafka import MemoryKafka
from tests.support.paths import ROOT
from tests.support.telemetry_factory import make_batch
from tests.support.web_records import site_window
from tests.support.window_frames import frame_of
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.errors import RefusedError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import topic_config
from vpp_streams.kafka.dead_letters import DeadLetters
from vpp_streams.kafka.decode import Read, Refusal, Removed, receive
from vpp_streams.kafka.follower import Feed, Follower
from vpp_streams.kafka.outlet import Outlet, encode, existing_partition
from vpp_streams.kafka.topic import Topic

BATCH = make_batch(
    [{"device_id": "d", "site_id": "s", "seq": 1, "measured_at_ms": 1000, "received_at_ms": 1000}]
)
SITE = Site(site_id="site-1", region="north")
ITS_PARTITION = topics.ASSETS.partition_for(SITE)


class Letters(DeadLetters):
    """Keeps what it is given."""

    def __init__(self, counters: Counter[str]) -> None:
        super().__init__("test-1", counters, lambda: 1_763_855_000_010)

    @property
    def kept(self) -> list[RejectedRecord]:
        return list(self._waiting)


class World:
    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.letters = Letters(self.counters)
        self.follower = Follower(None, self.letters, self.counters)  # type: ignore[arg-type]
        self.applied: list[Any] = []

    async def take(
        self, topic: Topic, raw: Raw, apply: Callable[[Read[Any]], None] | None = None
    ) -> None:
        def note(read: Read[Any]) -> None:
            self.applied.append(read.record)

        await self.follower.take(Feed(topic, apply or note, self.applied.append), raw)


def asset(**changes: Any) -> Raw:
    return Raw(encode(topics.ASSETS, SITE), **{"partition": ITS_PARTITION, **changes})


async def test_a_record_of_its_contract_is_applied() -> None:
    world = World()
    await world.take(topics.ASSETS, asset())
    assert world.applied == [SITE]
    assert not world.counters


async def test_a_removal_is_handed_over_and_means_nothing_in_a_topic_that_keeps_no_keys() -> None:
    world = World()
    await world.take(topics.ASSETS, Raw(None, key=b"site-1"))
    assert world.applied == [Removed("site-1", 0, 7)]
    await world.take(topics.HEALTH, Raw(None))
    assert [letter.reason for letter in world.letters.kept] == ["empty"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "unreadable"),
        (b"\xff\xfe", "unreadable"),
        (b'{"site_id":"\xff"}', "unreadable"),
        (b'{"site_id":"site-1"}', "invalid"),
        (b'{"site_id":"a b","region":"north"}', "invalid"),
        (b'{"site_id":"' + b"x" * 1_000_000, "unreadable"),
    ],
)
async def test_what_cannot_be_decoded_is_one_dead_letter_with_its_bytes(
    value: bytes, reason: str
) -> None:
    world = World()
    for _ in range(2):  # as when it is read again
        await world.take(topics.ASSETS, Raw(value, partition=3, key=b"\xff"))
    (letter,) = world.letters.kept
    assert (letter.rejected_id, letter.reason) == ("assets-3-7", reason)
    assert letter.size == len(value)
    assert len(letter.original_base64) <= 4 * (MAX_KEPT_BYTES // 3 + 1)
    assert world.counters == {"records_rejected": 1, f"rejected:assets:{reason}": 1}
    # It is a record of its own contract, however long the bytes were.
    again = receive(topics.RECORDS_REJECTED, Raw(encode(topics.RECORDS_REJECTED, letter)))
    assert isinstance(again, Read)
    assert again.record == letter


async def test_what_is_nested_too_deeply_is_a_dead_letter() -> None:
    world = World()
    await world.take(topics.REGION_LIVE, Raw(b'{"a":' + b"[" * 100_000))
    assert [letter.reason for letter in world.letters.kept] == ["too_deep"]


async def test_a_record_in_the_partition_of_another_is_refused() -> None:
    world = World()
    await world.take(topics.ASSETS, asset(partition=(ITS_PARTITION or 0) ^ 1))
    assert world.applied == []
    assert [letter.reason for letter in world.letters.kept] == ["wrong_partition"]


async def test_what_applying_refuses_and_what_it_breaks_on_are_dead_letters_and_the_next_is_read() -> None:  # fmt: skip  # noqa: E501  # its name
    world = World()

    def refuse(_read: Read[Any]) -> None:
        raise RefusedError("there is no such thing")

    def break_(_read: Read[Any]) -> None:
        raise KeyError("ours")

    await world.take(topics.ASSETS, asset(offset=1), refuse)
    await world.take(topics.ASSETS, asset(offset=2), break_)
    await world.take(topics.ASSETS, asset(offset=3))
    assert [(m.reason, m.detail) for m in world.letters.kept] == [
        ("refused", "there is no such thing"),
        ("apply_error", "KeyError: 'ours'"),
    ]
    assert world.counters["apply_errors"] == 1
    assert world.applied == [SITE]


def test_a_frame_is_read_by_its_codec() -> None:
    read = receive(topics.TELEMETRY, Raw(encode(topics.TELEMETRY, BATCH)))
    assert isinstance(read, Read)
    assert read.record.num_rows == BATCH.num_rows
    assert isinstance(receive(topics.TELEMETRY, Raw(b"nothing")), Refusal)
    raw = receive(topics.RAW_SOLAR, Raw(b"not even JSON"))
    assert isinstance(raw, Read)  # ingest judges each line by itself


def test_windows_are_read_from_frames_and_from_single_records() -> None:
    here = [s for s in (f"home-{i}" for i in range(40)) if partition_of(s, PARTITIONS) == 3]
    windows = [site_window(site_id, 60_000) for site_id in here]
    frame = frame_of(windows)
    value = encode(topics.SITE_WINDOWS, frame)
    headers = tuple(HEADERS.items())
    read = receive(topics.SITE_WINDOWS, Raw(value, partition=3, headers=headers))
    assert isinstance(read, Read)
    assert list(windows_of(read.record)) == windows
    single = encode(topics.SITE_WINDOWS, windows[0])
    read = receive(topics.SITE_WINDOWS, Raw(single, partition=3))
    assert isinstance(read, Read)
    assert read.record == windows[0]
    reasons = [
        receive(topics.SITE_WINDOWS, raw)
        for raw in (
            Raw(value, partition=4, headers=headers),
            Raw(encode(topics.SITE_WINDOWS, frame_of([*windows, elsewhere()])), 3, headers=headers),
            Raw(value, partition=3),
            Raw(single, partition=3, headers=headers),
        )
    ]
    assert [r.reason if isinstance(r, Refusal) else r for r in reasons] == [
        "wrong_partition", "refused", "unreadable", "unreadable",
    ]  # fmt: skip


def elsewhere() -> SiteWindow:
    site_id = next(s for s in (f"home-{i}" for i in range(9)) if partition_of(s, PARTITIONS) != 3)
    return site_window(site_id, 60_000)


async def test_the_outlet_says_of_a_frame_of_windows_that_it_is_one() -> None:
    kafka = MemoryKafka(lambda: 0)
    outlet = Outlet(kafka, "")
    window = elsewhere()
    await outlet.write(topics.SITE_WINDOWS, frame_of([window]))
    await outlet.write(topics.SITE_WINDOWS, window)
    read = [w for record in kafka.read(topics.SITE_WINDOWS) for w in windows_of(record)]
    assert read == [window, window]


def test_the_outlet_knows_key_and_partition_and_writes_to_none_that_is_not_there() -> None:
    assert topics.ASSETS.key is not None
    assert topics.ASSETS.key.of(SITE) == "site-1"
    assert existing_partition(topics.ASSETS, SITE) == ITS_PARTITION
    assert existing_partition(topics.RAW_SOLAR, b"{}", 7) == 7
    for chosen in (None, 8, -1):
        with pytest.raises(RefusedError):
            existing_partition(topics.RAW_SOLAR, b"{}", chosen)
    with pytest.raises(RefusedError):
        existing_partition(topics.ASSETS, SITE, (ITS_PARTITION or 0) ^ 1)


def test_every_topic_says_what_it_carries() -> None:
    for topic in topics.ALL:
        assert topic.about
        assert topic.contract is not bytes
        assert json.dumps(topic.keep)


def test_two_of_three_brokers_must_have_a_record() -> None:
    assert "min.insync.replicas" not in topic_config(topics.ASSETS, 1)
    assert topic_config(topics.ASSETS, 3)["min.insync.replicas"] == "2"
    assert "retention.ms" not in topic_config(topics.ASSETS, 3)
    assert topic_config(topics.RECORDS_REJECTED, 1)["cleanup.policy"] == "compact,delete"
    assert "retention.ms" in topic_config(topics.RECORDS_REJECTED, 1)


async def test_no_more_letters_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vpp_streams.kafka.dead_letters.MAX_WAITING", 3)
    world = World()
    for offset in range(5):
        await world.take(topics.ASSETS, Raw(b"junk", offset=offset))
    assert len(world.letters.kept) == 3
    assert world.counters["records_rejected"] == 5
    assert world.counters["dead_letters_dropped"] == 2


def test_clients_are_made_in_one_place() -> None:
    makes = re.compile(r"\bAIOKafka(Consumer|Producer|AdminClient)\(")
    found = {
        str(path.relative_to(ROOT))
        for package in ("vpp_streams", "agents", "tables", "edge", "device_sim", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
        if makes.search(path.read_text())
    }
    # The benchmark's baseline is a client with the library's own limits.
    assert found == {"vpp_streams/kafka/clients.py", "benchmarks/broker_failures.py"}
