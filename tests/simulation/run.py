"""Plays seeds: ``python -m tests.simulation --seeds 10000 --from 0``."""

import argparse
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import groupby

from tests.simulation import commanding, counting, ingestion
from tests.simulation.loop import StuckError
from tests.simulation.mistakes import MISTAKES, mistake
from tests.simulation.patches import simulated
from tests.simulation.world import BrokenError, World

Scenario = Callable[[World], Awaitable[int]]
SCENARIOS: dict[str, Scenario] = {
    "ingestion": ingestion.run,
    "counting": counting.run,
    "flow": counting.run_flow,
    "commanding": commanding.run,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    steps: int
    faults: int
    trace: int
    broken: str | None = None
    story: list[str] = field(default_factory=list)


def play(scenario: str, seed: int, use: Callable[[World], None], *, tell: bool = False) -> Outcome:
    """Play one seed; ``use`` makes its world the current one (`tests.simulation.patches`)."""
    world = World(seed)
    use(world)
    loop = world.loop
    faults, broken = 0, None
    try:
        faults = loop.run_until_complete(SCENARIOS[scenario](world))
    except (BrokenError, StuckError) as error:
        broken = str(error)
    finally:
        trace = hash((loop.trace_hash, *(len(t.logs) for t in world.kafka.topics.values())))
        story = list(world.story)
        loop.dispose()
    return Outcome(seed, loop.steps, faults, trace, broken, story if broken or tell else [])


def command(scenario: str, seed: int, mistake_: str = "") -> str:
    """Repeats a seed."""
    words = f"python -m tests.simulation --scenario {scenario} --seeds 1 --from {seed}"
    return f"{words} --mistake {mistake_}" if mistake_ else words


def play_many(scenario: str, first: int, count: int, stop_at: int = 1) -> list[Outcome]:
    """Play seeds until so many are broken."""
    outcomes, broken = [], 0
    with simulated() as use:
        for seed in range(first, first + count):
            outcomes.append(play(scenario, seed, use))
            broken += outcomes[-1].broken is not None
            if broken >= stop_at:
                break
            if seed % 50 == 49:
                gc.collect()
    return outcomes


def main() -> None:
    """The command line."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets of strings are walked in the same order in every run, so that a seed repeats.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--scenario", choices=list(SCENARIOS), default="ingestion")
    parser.add_argument("--seeds", type=int, default=0, help="how many; 0 = until stopped")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--mistake", choices=list(MISTAKES), default="", help="put in on purpose")
    parser.add_argument("--story", action="store_true", help="print what happened")
    parser.epilog = "--then begins the words of another run in the same process"
    runs = [list(words) for then, words in groupby(sys.argv[1:], "--then".__eq__) if not then]
    with simulated() as use:
        sys.exit(max(_play_and_print(parser.parse_args(words), use) for words in runs or [[]]))


def _play_and_print(options: argparse.Namespace, use: Callable[[World], None]) -> int:
    began = told = _REAL_MONOTONIC()
    seeds = steps = faults = broken = traces = 0
    last = options.first + options.seeds if options.seeds else sys.maxsize
    gc.disable()
    with mistake(options.mistake):
        now = _REAL_MONOTONIC
        for seed in range(options.first, last):
            try:
                outcome = play(options.scenario, seed, use, tell=options.story)
            except KeyboardInterrupt:
                break
            seeds, steps, faults = seeds + 1, steps + outcome.steps, faults + outcome.faults
            traces = hash((traces, outcome.trace))
            if options.story:
                _say("\n".join(outcome.story))
            if outcome.broken is not None:
                broken += 1
                _say("\n".join(outcome.story))
                _say(
                    f"seed {seed} is broken: {outcome.broken}\n"
                    f"{command(options.scenario, seed, options.mistake)}"
                )
                break
            if seeds % 20 == 0:
                gc.collect()
            if now() - told > 5:
                told = now()
                _say(f"{seeds} seeds, {seeds / (told - began):.1f} a second")
    _say(f"{seeds} seeds, {steps} steps, {faults} faults injected, {broken} broken")
    _say(f"trace {traces & 0xFFFFFFFF:08x}")
    return 1 if broken else 0


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


_REAL_MONOTONIC = time.monotonic
