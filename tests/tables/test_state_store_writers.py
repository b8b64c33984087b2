"""The state store with several writers, stopped, killed and woken at any moment.

Each writer takes the partition over and counts on from what it finds. Whatever happens, committed
states are a chain: each is one more than the one before, and all keys of a state agree.
"""

import asyncio
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from tables.state_store import FencedError, StateStore
from tests.simulation.clients import SimConsumer
from tests.simulation.loop import Process
from tests.simulation.mistakes import mistake
from tests.simulation.patches import simulated
from tests.simulation.world import World
from tests.support.examples import examples
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients

KEYS = (*(b"w|%d" % block for block in range(400)), b"commit")
"""So many that Kafka refuses a late writer while it still sends."""
WRITERS = st.integers(0, 3)
Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["start", "pause", "resume", "kill"]), WRITERS),
        st.tuples(st.just("wait"), st.integers(0, 400)),
        st.tuples(st.just("lose answers"), st.integers(0, 5)),
    ),
    max_size=30,
)
"""A writer's number, how many ms pass, or how many tenths of Kafka's answers are lost."""


class Writers:
    """Processes that write the state of one partition."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = StateStore(
            KafkaClients(world.settings), topics.STATE_FLEET.full("sim"), "sim.fleet"
        )
        self.processes: dict[int, Process] = {}
        self.acked: list[int] = []
        self.surprises: list[Exception] = []
        """How writers ended otherwise than fenced: a worker would end with it."""

    async def write(self) -> None:
        """Count on, until somebody else has taken over."""
        writer, found = await self.store.take_over(0)
        version = int(found.get(b"commit", b"0"))
        try:
            while True:
                version += 1
                await writer.write([(key, b"%d" % version) for key in KEYS])
                self.acked.append(version)
                await asyncio.sleep(0.03)
        except FencedError:
            await writer.close()
        except Exception as error:
            self.surprises.append(error)

    def do(self, what: str, number: int) -> None:
        """One step of a story but waiting."""
        loop, process = self.world.loop, self.processes.get(number)
        match what:
            case "start":
                self.processes[number] = loop.new_process(f"writer {number}")
                loop.spawn(self.processes[number], self.write())
            case "lose answers":
                self.world.kafka.lose_answers = number / 10
            case _ if process is not None:
                getattr(loop, what)(process)

    async def committed(self) -> list[int]:
        """Versions of the committed states, oldest first."""
        found: list[int] = []
        async with SimConsumer(
            isolation_level="read_committed", auto_offset_reset="earliest"
        ) as consumer:
            tp = TopicPartition(self.store.topic, 0)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            while await consumer.position(tp) < end:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += [int(r.value) for r in records if r.key == b"commit"]
        return found


class Ending(NamedTuple):
    """How a story ended."""

    versions: list[int]
    """Of the committed states, oldest first."""
    found: dict[bytes, bytes]
    """The state that the next writer finds."""
    acked: list[int]
    """What writers were told is written."""
    surprises: list[Exception]


def story(seed: int, steps: list[Step]) -> Ending:
    """Let writers go through these steps, then let all of them go on for a while."""
    world = World(seed)

    async def main() -> Ending:
        writers = Writers(world)
        for what, number in steps:
            if what == "wait":
                await asyncio.sleep(number / 1000)
            else:
                writers.do(what, number)
        world.kafka.lose_answers = 0.0
        for process in writers.processes.values():
            world.loop.resume(process)
        await asyncio.sleep(2.0)
        writer, found = await writers.store.take_over(0)
        await writer.close()
        return Ending(await writers.committed(), found, writers.acked, writers.surprises)

    with simulated() as use:
        use(world)
        try:
            return world.loop.run_until_complete(main())
        finally:
            world.loop.dispose()


def holds(seed: int, steps: list[Step]) -> bool:
    """Whether committed states are a chain whose end is found, with all that was acked."""
    versions, found, acked, surprises = story(seed, steps)
    last = versions[-1] if versions else 0
    state = set(found.values()) if found else {b"0"}
    whole = state == {b"%d" % last} and (not found or found.keys() == set(KEYS))
    chain = versions == list(range(1, last + 1)) and set(acked) <= set(versions)
    return chain and whole and not surprises


@examples(100, ci=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6), STEPS)
def test_committed_states_are_a_chain_whoever_writes_late(seed: int, steps: list[Step]) -> None:
    assert holds(seed, steps)


def test_without_the_fence_a_chain_is_broken() -> None:
    """The property can fail: a writer that was paused goes on with what it had."""
    late = [("start", 0), ("wait", 200), ("pause", 0), ("start", 1), ("wait", 300), ("resume", 0)]
    assert holds(1, late)
    with mistake("no_fence"):
        assert not holds(1, late)


def test_a_broken_chain_is_found_by_searching() -> None:
    with mistake("no_fence"):
        try:
            find(
                STEPS,
                lambda steps: not holds(2, steps),
                # That there is one is enough: the shortest is not searched for.
                settings=settings(
                    max_examples=300,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except NoSuchExample:
            pytest.fail("300 stories without a fence, and every chain held")
