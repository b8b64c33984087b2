"""The changelog has one writer at a time, whoever wakes up late; a write stands as a whole."""

import asyncio

import pytest

from tables.state_store import FencedError, StateStore
from tests.support.kafka_world import make_again, read_all
from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture
def store(topics_ready: Settings) -> StateStore:
    clients = KafkaClients(topics_ready)
    return StateStore(clients, clients.full(topics.STATE_FLEET), f"{topics_ready.namespace}.fleet")


async def test_what_was_written_is_there_for_whoever_takes_over(store: StateStore) -> None:
    first, nothing = await store.take_over(3)
    await first.write([(b"t|0", b"a"), (b"w|1", b"b"), (b"commit", b"1")])
    await first.write([(b"t|0", b"c"), (b"w|1", None), (b"commit", b"2")])
    second, found = await store.take_over(3)
    other, elsewhere = await store.take_over(4)
    assert (nothing, elsewhere) == ({}, {})
    assert found == {b"t|0": b"c", b"commit": b"2"}
    for writer in (first, second, other):
        await writer.close()


async def test_a_writer_that_wakes_up_late_changes_nothing(store: StateStore) -> None:
    """K1: a paused worker destroyed the state of its successor."""
    zombie, _ = await store.take_over(0)
    await zombie.write([(b"t|0", b"old"), (b"w|1", b"old"), (b"commit", b"50")])
    successor, _ = await store.take_over(0)
    await successor.write([(b"t|0", b"new"), (b"commit", b"120")])
    with pytest.raises(FencedError):
        await zombie.write([(b"t|0", b"late"), (b"w|1", b"late"), (b"commit", b"100")])
    await successor.write([(b"t|0", b"newer"), (b"commit", b"140")])
    last, found = await store.take_over(0)
    assert found == {b"t|0": b"newer", b"w|1": b"old", b"commit": b"140"}
    for writer in (zombie, successor, last):
        await writer.close()


async def test_a_changelog_that_was_made_again_takes_no_half_of_a_state(
    store: StateStore, topics_ready: Settings
) -> None:
    """What changed since the last snapshot alone, with a commit record, would pass as the state."""
    first, _ = await store.take_over(0)
    await first.write([(b"t|0", b"a"), (b"t|1", b"a"), (b"commit", b"1")])
    await make_again(topics_ready, topics.STATE_FLEET)
    with pytest.raises(BrokerError, match="deleted and made again"):
        await first.write([(b"t|1", b"b"), (b"commit", b"2")])
    await first.close()
    second, found = await store.take_over(0)
    assert found == {}
    await second.write([(b"t|0", b"c"), (b"t|1", b"c"), (b"commit", b"2")])
    await second.close()


async def test_a_late_writer_is_refused_while_it_still_sends(store: StateStore) -> None:
    """Kafka's refusal arrives between two blocks of a large state, and is a fence as any other."""
    zombie, _ = await store.take_over(0)
    successor, _ = await store.take_over(0)
    blocks = ((b"%d" % n, b"") for n in range(100_000))
    with pytest.raises(FencedError):
        await zombie.write(blocks)
    assert next(blocks, None) is not None, "it ended early"
    for writer in (zombie, successor):
        await writer.close()


async def test_a_write_that_was_under_way_at_the_takeover_never_stands(
    store: StateStore, topics_ready: Settings
) -> None:
    zombie, _ = await store.take_over(0)
    await zombie.write([(b"t|0", b"old"), (b"commit", b"50")])
    half_way, go_on = asyncio.Event(), asyncio.Event()
    producer = zombie._producer  # noqa: SLF001  # to break it
    commit = producer.commit_transaction

    async def paused_commit() -> None:  # blocks are in the log, the end of the write is not
        half_way.set()
        await go_on.wait()
        await commit()

    producer.commit_transaction = paused_commit
    late = asyncio.create_task(zombie.write([(b"t|0", b"late"), (b"commit", b"100")]))
    await half_way.wait()
    successor, found = await store.take_over(0)
    assert found == {b"t|0": b"old", b"commit": b"50"}
    go_on.set()
    with pytest.raises(FencedError):
        await late
    values = [r.value for r in await read_all(topics_ready, store.topic)]
    assert b"late" in values, "it reached the log, and is passed over there"
    last, found = await store.take_over(0)
    assert found == {b"t|0": b"old", b"commit": b"50"}
    for writer in (zombie, successor, last):
        await writer.close()
