"""The control feed on a log in memory: what is written while it begins, stops and comes back."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from agents import control_feed
from agents.control_feed import BACK_MS, FEEDS, LOOK_S, STUCK_S, ControlFeed
from vpp_streams import clock
from vpp_streams.domain.telemetry.log_reading import Progress, first_offset
from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topic_ids, topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

SETTINGS = Settings(namespace="t")
OLD_MS = 1_000


def tp(topic: Topic, partition: int = 0) -> TopicPartition:
    return TopicPartition(topic.full("t"), partition)


class Log:
    """A broker's partitions, and a clock that moves on while somebody polls."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, list[tuple[int, bytes]]] = defaultdict(list)
        """(time written, value), the offset is the index."""
        self.questions = 0
        self.on_question: Callable[[int], None] = lambda _n: None
        self.away: Exception | None = None
        self.ids: dict[str, UUID] = {}
        """Of the topics that are there."""
        self.stuck: set[TopicPartition] = set()
        """Nothing of these is fetched, though the log has more."""
        self.now_s = 0.0

    def write(self, where: TopicPartition, value: bytes, at_ms: int) -> None:
        self.records[where].append((at_ms, value))

    def asked(self) -> None:
        self.on_question(self.questions)
        self.questions += 1
        if self.away is not None:
            raise self.away


class Consumer:
    """As much of aiokafka's consumer as the feed uses."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._at: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        self.log.asked()

    async def stop(self) -> None:
        pass

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._at = dict.fromkeys(partitions, 0)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._at)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self._at[where] = offset

    async def position(self, where: TopicPartition) -> int:
        return self._at[where]

    async def beginning_offsets(self, parts: Iterable[TopicPartition]) -> dict[Any, int]:
        self.log.asked()
        return dict.fromkeys(parts, 0)

    async def end_offsets(self, parts: Iterable[TopicPartition]) -> dict[Any, int]:
        self.log.asked()
        return {part: len(self.log.records[part]) for part in parts}

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[Any, Any]:
        self.log.asked()
        found = {}
        for part, since_ms in times.items():
            at = [i for i, (ms, _) in enumerate(self.log.records[part]) if ms >= since_ms]
            found[part] = SimpleNamespace(offset=at[0]) if at else None
        return found

    async def getmany(self, timeout_ms: int) -> dict[Any, list[Any]]:
        await asyncio.sleep(0)
        self.log.now_s += 1.0
        if self.log.away is not None:
            return {}  # as aiokafka does: it asks again by itself
        found = {}
        for part, at in self._at.items():
            new = self.log.records[part][at:]
            if new and part not in self.log.stuck:
                found[part] = [
                    SimpleNamespace(
                        topic=part.topic, partition=part.partition, offset=at + i, value=value
                    )
                    for i, (_, value) in enumerate(new)
                ]
                self._at[part] = at + len(new)
        return found


@pytest.fixture(autouse=True)
def ids_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics have the ids that the log in memory gives them."""

    async def ask(client: Consumer, _names: Iterable[str]) -> dict[str, UUID]:
        return dict(client.log.ids)

    monkeypatch.setattr(topic_ids, "topic_ids", ask)


class Heard:
    """A feed over a log, and what it handed over."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.records: list[tuple[Topic, int, bytes]] = []
        self.ready: list[int] = []
        clients = SimpleNamespace(
            full=lambda topic: topic.full(SETTINGS.namespace),
            consumer=lambda **_options: Consumer(log),
        )
        self.feed = ControlFeed(
            clients,  # type: ignore[arg-type]  # a stand-in
            self._receive,
            self.ready.append,
            lambda: log.now_s,
        )

    async def _receive(self, topic: Topic[Any], record: Any) -> None:
        self.records.append((topic, record.partition, record.value))

    async def run_until(self, done: Callable[[], bool], polls: int = 10_000) -> None:
        """Run until a condition holds, or raise what ends the feed."""
        task = asyncio.create_task(self.feed.run())
        try:
            for _ in range(polls):
                await asyncio.sleep(0)
                if task.done():
                    await task
                if done():
                    return
            raise AssertionError(f"not within {polls} turns")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def values(self, topic: Topic) -> list[bytes]:
        return [value for its, _, value in self.records if its is topic]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_feed, "AGAIN_S", 0)


@pytest.mark.parametrize("old", [0, 3], ids=["empty", "old-records"])
@pytest.mark.parametrize("moment", range(5))
async def test_what_is_written_while_it_begins_is_read_once(old: int, moment: int) -> None:
    """K3: a device that connected between two questions stayed "not connected" for good."""
    log = Log()
    for topic in FEEDS:
        for i in range(old):
            log.write(tp(topic), b"old%d" % i, OLD_MS)

    def write(question: int) -> None:
        if question == moment:
            for topic in FEEDS:
                log.write(tp(topic), b"new", clock.now_ms())

    log.on_question = write
    heard = Heard(log)
    heard.feed.follow(frozenset({0}))
    await heard.run_until(
        lambda: bool(heard.ready) and all(heard.values(t)[-1:] == [b"new"] for t in FEEDS[1:])
    )
    for topic in (topics.COMMANDS, topics.COMMAND_EVENTS):
        assert heard.values(topic) == [b"new"], "from some time on, each once"
    assert heard.values(topics.PRESENCE) == [b"old%d" % i for i in range(old)] + [b"new"]
    # Orders are levels: those from before it began are not wanted, all others are.
    assert heard.values(topics.DISPATCH) == ([b"new"] if moment > 1 else [])


async def test_commands_are_read_from_some_minutes_back() -> None:
    log = Log()
    log.write(tp(topics.COMMANDS), b"over", clock.now_ms() - BACK_MS - 60_000)
    log.write(tp(topics.COMMANDS), b"stands", clock.now_ms() - 5_000)
    heard = Heard(log)
    heard.feed.follow(frozenset({0}))
    await heard.run_until(lambda: bool(heard.ready))
    assert heard.values(topics.COMMANDS) == [b"stands"]


async def test_events_come_after_the_commands_that_they_tell_of() -> None:
    log = Log()
    log.write(tp(topics.COMMAND_EVENTS), b"event", clock.now_ms())
    log.write(tp(topics.COMMANDS), b"command", clock.now_ms())
    heard = Heard(log)
    heard.feed.follow(frozenset({0}))
    await heard.run_until(lambda: bool(heard.ready))
    assert [value for *_, value in heard.records] == [b"command", b"event"]


async def test_a_partition_taken_again_is_read_again_from_its_start() -> None:
    log = Log()
    log.write(tp(topics.PRESENCE), b"connected", OLD_MS)
    heard = Heard(log)
    heard.feed.follow(frozenset({0}))

    def again(question: int) -> None:
        if question == 2:  # while it asks where to begin
            heard.feed.follow(frozenset())
            heard.feed.follow(frozenset({0, 1}))

    log.on_question = again
    await heard.run_until(lambda: sorted(heard.ready) == [0, 1])
    assert heard.values(topics.PRESENCE) == [b"connected"]


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("gone"), KafkaTimeoutError("late"), OSError("refused")]
)
async def test_a_broker_that_is_away_is_waited_for(error: Exception) -> None:
    log = Log()
    log.away = error
    heard = Heard(log)
    heard.feed.follow(frozenset({0}))
    away_s = 0.0

    def troubled(question: int) -> None:
        nonlocal away_s
        if question == 7:
            log.away = None
        if question == 9:
            log.away = error  # again, while it asks where to begin
        if question == 12:
            log.away = None
        if heard.ready and not away_s:
            log.away, away_s = error, log.now_s  # again, while it reads
        if away_s and log.now_s - away_s > 3 * STUCK_S:
            log.away = None

    log.on_question = troubled

    def ordered() -> bool:
        if away_s and log.away is None and not log.records[tp(topics.DISPATCH)]:
            log.write(tp(topics.DISPATCH), b"order", clock.now_ms())
        return heard.values(topics.DISPATCH) == [b"order"]

    await heard.run_until(ordered)
    assert heard.ready == [0]


@pytest.mark.parametrize("whole", [False, True], ids=["beginning", "running"])
async def test_reading_that_stands_still_ends_the_worker(whole: bool) -> None:
    log = Log()
    log.write(tp(topics.PRESENCE), b"connected", OLD_MS)
    heard = Heard(log)
    heard.feed.follow(frozenset({0, 1}))
    stuck = tp(topics.PRESENCE)
    if not whole:
        log.stuck = {stuck}

    def freeze() -> bool:
        if whole and heard.ready and not log.stuck:
            log.stuck = {stuck}
            log.write(stuck, b"another", clock.now_ms())
        return False

    with pytest.raises(BrokerError, match=r"t\.presence/0 at [01]"):
        await heard.run_until(freeze)
    assert STUCK_S <= log.now_s <= STUCK_S + 4 * LOOK_S


async def test_a_topic_made_again_ends_the_worker() -> None:
    """What the worker knows of commands is of the old topic, and the new one is longer."""
    log = Log()
    name = topics.COMMANDS.full("t")
    log.ids = {name: UUID(int=1)}
    heard = Heard(log)
    heard.feed.follow(frozenset({0}))

    def make_again() -> bool:
        if heard.ready:
            log.ids = {name: UUID(int=2)}
        return False

    with pytest.raises(BrokerError, match=f"{name} was deleted and made again"):
        await heard.run_until(make_again)


def test_where_to_begin() -> None:
    assert first_offset(end_before=7, found=None) == 7
    assert first_offset(end_before=7, found=3) == 3
    assert first_offset(end_before=0, found=0) == 0, "the log was empty when its end was asked"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 200)), max_size=40))
def test_only_what_stood_still_for_the_limit_is_stuck(looks: list[tuple[int, int, int]]) -> None:
    """Against a slow model: the time between looks is counted up to twice its due."""
    progress: Progress[str] = Progress(60.0, 10.0)
    now_s, still_s, before = 0.0, 0.0, None
    for moved, more, wait_s in looks:
        now_s += wait_s
        at = (before or 0) + moved
        still_s = still_s + min(wait_s, 20) if before == at and more else 0.0
        before = at
        assert progress.stuck({"p": at}, {"p": at + more}, now_s) == (["p"] * (still_s >= 60))


def test_a_process_that_was_stopped_for_an_hour_may_read_on() -> None:
    progress: Progress[str] = Progress(60.0, 10.0)
    assert progress.stuck({"p": 1}, {"p": 2}, 0.0) == []
    assert progress.stuck({"p": 1}, {"p": 2}, 3600.0) == []
    progress.reset()
    assert progress.stuck({"p": 1}, {"p": 2}, 3700.0) == []
