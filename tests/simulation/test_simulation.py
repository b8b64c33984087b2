"""The simulation itself: time, processes, the broker's faults; seeds hold, repeat, and find what
is broken on purpose."""

import asyncio
import os
import re
import subprocess
import sys
from random import Random
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError, OffsetOutOfRangeError

from tests.simulation.clients import SimConsumer
from tests.simulation.log import NewRecord
from tests.simulation.loop import Process, SimLoop, StuckError
from tests.simulation.patches import simulated
from tests.simulation.producer import SimProducer
from tests.simulation.run import play
from tests.simulation.world import World
from tests.support.paths import ROOT

TP = TopicPartition("t", 0)


# Time and processes


def run(main: Any) -> None:
    """Run ``main(loop)`` on a loop of its own."""
    loop = SimLoop(Random(1))
    try:
        loop.run_until_complete(main(loop))
    finally:
        loop.dispose()


def test_time_jumps_and_everything_of_asyncio_works() -> None:
    async def main(loop: SimLoop) -> None:
        began = loop.time()
        await asyncio.sleep(86_400)
        assert loop.time() - began == pytest.approx(86_400, abs=0.01)
        event, heard = asyncio.Event(), []

        async def listen(name: str) -> None:
            await event.wait()
            heard.append(name)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listen("late"), 5)
        async with asyncio.TaskGroup() as group:
            group.create_task(listen("a"))
            group.create_task(listen("b"))
            event.set()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        assert heard == ["a", "b"]

    run(main)


async def _tick(loop: SimLoop, at: list[float], ends: list[str]) -> None:
    try:
        while True:
            at.append(int(loop.time() - 1000))
            await asyncio.sleep(1)
    finally:
        ends.append("finally")


def test_a_paused_process_makes_no_step_and_its_timers_come_late() -> None:
    async def main(loop: SimLoop) -> None:
        process = loop.new_process("p")
        at: list[Any] = []
        ends: list[Any] = []
        loop.spawn(process, _tick(loop, at, ends))
        await asyncio.sleep(2.5)
        loop.pause(process)
        await asyncio.sleep(10)
        assert at == [0, 1, 2]
        loop.resume(process)
        await asyncio.sleep(1)
        assert at[:4] == [0, 1, 2, 12]

    run(main)


def test_a_killed_process_does_nothing_more_not_even_in_its_finally() -> None:
    async def main(loop: SimLoop) -> None:
        process = loop.new_process("p")
        at: list[Any] = []
        ends: list[Any] = []
        task = loop.spawn(process, _tick(loop, at, ends))
        await asyncio.sleep(2.5)
        loop.kill(process)
        task.cancel()
        await asyncio.sleep(10)
        assert at == [0, 1, 2]
        assert ends == []

    run(main)


def test_a_process_is_stopped_between_any_two_steps() -> None:
    async def main(loop: SimLoop) -> None:
        seen = []

        async def count() -> None:
            for i in range(100):
                seen.append(i)
                await asyncio.sleep(0)

        for steps in (1, 5, 50):
            process: Process = loop.new_process("p")
            process.at_step = (steps, lambda process=process: loop.pause(process))
            seen.clear()
            loop.spawn(process, count())
            await asyncio.sleep(1)
            assert len(seen) == steps

    run(main)


def test_a_loop_in_which_nobody_can_go_on_says_so() -> None:
    async def main(loop: SimLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(StuckError):
        run(main)


# The broker when it does not work


def on_kafka(main: Any, seed: int = 1) -> None:
    """Run ``main(world)`` with a topic ``t``."""
    world = World(seed)
    world.kafka.create("t", 1)
    with simulated() as use:
        use(world)
        try:
            world.loop.run_until_complete(main(world))
        finally:
            world.loop.dispose()


def values_of(world: World) -> list[bytes | None]:
    return [record.value for record in world.kafka.log(TP).records]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_sent_again_as_its_answer_was_lost_is_written_once_and_in_order(seed: int) -> None:
    async def main(world: World) -> None:
        async with SimProducer(enable_idempotence=True, max_batch_size=200) as producer:
            world.kafka.lose_answers = 0.6
            sent = [await producer.send("t", b"%d" % i, partition=0) for i in range(50)]
            assert [(await done).offset for done in sent] == list(range(50))
        assert values_of(world) == [b"%d" % i for i in range(50)]

    on_kafka(main, seed)


@pytest.mark.parametrize("trouble", ["away", "frozen", "full"])
def test_a_producer_waits_for_a_broker_that_does_not_work(trouble: str) -> None:
    async def main(world: World) -> None:
        async with SimProducer(enable_idempotence=True) as producer:
            setattr(world.kafka, trouble, True)
            sent = await producer.send("t", b"x", partition=0)
            await asyncio.sleep(70)
            assert not sent.done()
            world.kafka.full = False
            world.kafka.come_back()
            assert (await sent).offset == 0
        assert values_of(world) == [b"x"]

    on_kafka(main)


def test_a_consumer_gives_up_asking_a_broker_that_is_away_and_reads_on_when_it_is_back() -> None:
    async def main(world: World) -> None:
        world.kafka.log(TP).append([_record(b"x")], None, -1, -1, -1, transactional=False)
        async with SimConsumer(auto_offset_reset="earliest") as consumer:
            consumer.assign([TP])
            world.kafka.away = True
            with pytest.raises(KafkaTimeoutError):
                await consumer.end_offsets([TP])
            assert await consumer.getmany(timeout_ms=500) == {}
            world.kafka.come_back()
            assert [r.value for r in (await consumer.getmany(timeout_ms=2000))[TP]] == [b"x"]

    on_kafka(main)


def _record(value: bytes | None, key: bytes = b"k") -> NewRecord:
    return NewRecord(key, value, 1, ())


def test_retention_truncation_and_compaction() -> None:
    async def main(world: World) -> None:
        log = world.kafka.log(TP)
        for i in range(10):
            log.append(
                [_record(b"%d" % i, b"k%d" % (i % 3))], None, -1, -1, -1, transactional=False
            )
        log.compact(tombstones_too=True)
        assert [(r.offset, r.value) for r in log.records] == [(7, b"7"), (8, b"8"), (9, b"9")]
        assert log.read(0, 10, committed=True)[0] == log.records
        async with SimConsumer(auto_offset_reset="none") as consumer:
            consumer.assign([TP])
            consumer.seek(TP, 2)
            log.truncate_front(8)
            with pytest.raises(OffsetOutOfRangeError):
                await consumer.getmany(timeout_ms=2000)
            consumer.seek(TP, 10)
            log.cut_back(9)
            with pytest.raises(OffsetOutOfRangeError):
                await consumer.getmany(timeout_ms=2000)

    on_kafka(main)


def test_a_transaction_that_stays_open_is_aborted_and_its_writer_fenced() -> None:
    async def main(world: World) -> None:
        async with SimProducer(transactional_id="w", transaction_timeout_ms=10_000) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait("t", b"x", partition=0)
            assert world.kafka.log(TP).stable_end == 0
            await asyncio.sleep(11)
            assert world.kafka.log(TP).stable_end == 2
            with pytest.raises(Exception, match="ProducerFenced"):
                await producer.commit_transaction()
        assert world.kafka.log(TP).read(0, 10, committed=True)[0] == []

    on_kafka(main)


# Seeds


def test_the_same_seed_is_the_same_story() -> None:
    with simulated() as use:
        for scenario, seeds in (("ingestion", range(4)), ("counting", range(1))):
            first = [play(scenario, seed, use) for seed in seeds]
            again = [play(scenario, seed, use) for seed in seeds]
            assert first == again
            assert len({outcome.trace for outcome in first}) == len(first)
            assert [outcome.broken for outcome in first] == [None] * len(first)


def simulate(*runs: str) -> subprocess.CompletedProcess[str]:
    """Play runs, each the words of a command line, as a person would, in a process of its own."""
    return subprocess.run(
        [*(sys.executable, "-m", "tests.simulation"), *" --then ".join(runs).split()],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "scenario",
    [
        "flow",
        pytest.param("counting", marks=pytest.mark.nightly),
        pytest.param("ingestion", marks=pytest.mark.nightly),
    ],
)
def test_the_same_seed_is_the_same_story_in_another_process(scenario: str) -> None:
    words = f"--scenario {scenario} --seeds 1"
    once, again = (simulate(words).stdout.splitlines()[-2:] for _ in range(2))
    assert once == again


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param({"ingestion": 40, "counting": 3, "flow": 3, "commanding": 2}, id="few"),
        pytest.param({"ingestion": 1000}, marks=pytest.mark.nightly, id="ingestion"),
        pytest.param({"counting": 50}, marks=pytest.mark.nightly, id="counting"),
        pytest.param({"flow": 50}, marks=pytest.mark.nightly, id="flow"),
        pytest.param({"commanding": 50}, marks=pytest.mark.nightly, id="commanding"),
    ],
)
def test_no_seed_breaks_an_invariant(seeds: dict[str, int]) -> None:
    done = simulate(*(f"--scenario {scenario} --seeds {n}" for scenario, n in seeds.items()))
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    played = re.findall(r"^(\d+) seeds, \d+ steps, [1-9]\d* faults injected, 0 broken$",
                        done.stdout, re.MULTILINE)  # fmt: skip
    assert [int(n) for n in played] == list(seeds.values())


@pytest.mark.parametrize(
    ("mistake", "scenario", "first"),
    [
        ("ack_too_early", "ingestion", 0),
        ("no_fence", "counting", 12),
        ("no_bound", "counting", 9),
        ("no_gap", "flow", 12),
        pytest.param("no_fence", "counting", 0, marks=pytest.mark.nightly),
        pytest.param("no_bound", "counting", 0, marks=pytest.mark.nightly),
    ],
)
def test_what_is_broken_on_purpose_is_found_and_its_seed_repeats(
    mistake: str, scenario: str, first: int
) -> None:
    """``first`` is a seed near the one that finds it, so that the search is short."""
    done = simulate(f"--scenario {scenario} --seeds 200 --mistake {mistake} --from {first}")
    assert done.returncode == 1, f"not found in 200 seeds: {done.stdout}"
    broken = re.search(r"^seed (\d+) is broken: (.*)$", done.stdout, re.MULTILINE)
    assert broken is not None
    seed = f"--scenario {scenario} --seeds 1 --from {broken[1]}"
    again, without = simulate(f"{seed} --mistake {mistake}", seed).stdout.split(", 1 broken\n")
    assert f"seed {broken[1]} is broken: {broken[2]}" in again
    assert re.search(r"^1 seeds, .* 0 broken$", without, re.MULTILINE), "it is the mistake's"
