"""Pauses the container of a role that works, and judges what its standby and it do then.

    python deploy/docker/pause.py

The system of docker-compose.yml must run with two containers each of region, optimizer and
settlement. The one of them that works is paused; another has to take over within five seconds, and
the paused one, when it wakes, may write nothing: no order that its successor has replaced, no
second bid of an interval. It must end, and stand by after Docker has started it again. Reads Kafka
through its published port (VPP_KAFKA); exits 1 where a goal was missed.
"""

import asyncio
import itertools
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import typer

from schemas.dispatch import Dispatch, DispatchEvent, DispatchStatus, Target
from schemas.duty import Duty
from schemas.health import Health
from schemas.market import Bid, Gate, MarketTopicRecord
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import write_one
from vpp_streams.process.connection import onlooker
from vpp_streams.settings import Settings, load_settings

GOAL_S = 5.0
ERROR_GOAL = 0.02
REGION = "north"
PATIENCE_S = 180.0
LEAD_S = 1.5
"""The optimizer is paused this long before it decides: it wakes when its successor has decided."""


@dataclass(slots=True)
class Seen:
    """What the topics report."""

    duties: dict[str, Duty] = field(default_factory=dict)
    healths: dict[str, Health] = field(default_factory=dict)
    status: DispatchStatus | None = None
    orders: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Of `REGION`: each partition's orders, by request, in the order of the log."""
    gate: Gate | None = None
    bids: Counter[str] = field(default_factory=Counter)
    in_time: set[tuple[str, int]] = field(default_factory=set)
    """Region and start of each bid that reached Kafka before its gate closed."""

    def feeds(self) -> tuple[Feed[Any], ...]:
        """The feeds that keep it current, from now on."""
        return (
            Feed(topics.DUTY, self._duty),
            Feed(topics.HEALTH, self._health, since_ms=None),
            Feed(topics.DISPATCH_EVENTS, self._event, since_ms=None),
            Feed(topics.DISPATCH, self._order, since_ms=None),
            Feed(topics.MARKET_AWARDS, self._award, since_ms=None),
            Feed(topics.MARKET_BIDS, self._bid),
        )

    def _duty(self, read: Read[Duty]) -> None:
        self.duties[read.record.role] = read.record

    def _health(self, read: Read[Health]) -> None:
        self.healths[read.record.process_id] = read.record

    def _event(self, read: Read[DispatchEvent]) -> None:
        if isinstance(read.record, DispatchStatus) and read.record.region == REGION:
            self.status = read.record

    def _order(self, read: Read[Dispatch]) -> None:
        if read.record.region == REGION and read.record.shares:
            self.orders[read.partition].append(read.record.request_id)

    def _award(self, read: Read[MarketTopicRecord]) -> None:
        if isinstance(read.record, Gate):
            self.gate = read.record

    def _bid(self, read: Read[Bid]) -> None:
        bid = read.record
        self.bids[bid.bid_id] += 1
        if read.written_at_ms <= bid.gate_ms:
            self.in_time.add((bid.region, bid.start_ms))

    def works(self, role: str) -> bool:
        """Whether an instance of a role is on duty."""
        duty = self.duties.get(role)
        return duty is not None and not duty.released and clock.now_ms() - duty.at_ms < 2_000

    def stands_by(self, role: str, since_ms: int = 0) -> bool:
        """Whether an instance of a role stands by that was started since a time."""
        oldest_ms = clock.now_ms() - 3_000
        return any(
            health.role == role
            and health.at_ms >= oldest_ms
            and health.started_at_ms >= since_ms
            and bool(health.gauges.get("warm"))
            for health in self.healths.values()
        )

    def delivers(self, target: Target, since_ms: int = 0) -> bool:
        """Whether the region gives what a target requests, as reported since a time."""
        status = self.status
        if status is None or status.request_id != target.request_id or not status.asked_w:
            return False
        if status.at_ms < since_ms:
            return False
        return abs(status.measured_w / status.asked_w - 1) <= ERROR_GOAL


class GoalMissedError(Exception):
    """The system did not do what it has to; the text says what."""


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds. Raises `GoalMissedError`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > PATIENCE_S:
            raise GoalMissedError(f"waited {PATIENCE_S:.0f} s for {what}")
        await asyncio.sleep(0.05)


def docker(*words: str) -> str:
    """What Docker answers to a command."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def restarts(container: str) -> int:
    """How often Docker has started a container again."""
    return int(docker("inspect", "--format", "{{.RestartCount}}", container))


@asynccontextmanager
async def paused(role: str, seen: Seen) -> AsyncIterator[None]:
    """The instance that works is paused, and its successor works, during the block.

    After it, the one of before has woken, ended, and stands by. Raises `GoalMissedError`.
    """
    await until(lambda: seen.works(role) and seen.stands_by(role), f"two instances of {role}")
    before = seen.duties[role]
    container = before.process_id.split("-")[-2]  # <role>-<host>-<pid>, and the host is named so
    count, began = restarts(container), time.monotonic()
    docker("pause", container)
    try:
        await until(lambda: seen.duties[role].term > before.term, f"a successor in {role}")
        took_s = time.monotonic() - began
        yield
    finally:
        woke_ms, woke = clock.now_ms(), time.monotonic()
        docker("unpause", container)
    await until(lambda: seen.stands_by(role, woke_ms), f"{role} to stand by again")
    back_s = time.monotonic() - woke
    typer.echo(
        f"  {role:11} taken over after {took_s:.1f} s; a standby {back_s:.1f} s after waking"
    )
    if took_s > GOAL_S:
        raise GoalMissedError(f"{role} was taken over after {took_s:.1f} s, over {GOAL_S:.0f} s")
    if restarts(container) != count + 1:
        raise GoalMissedError(f"{role} has not ended by itself, once, after it woke")


def target_of(export_w: float) -> Target:
    """A target that outranks the market's awards."""
    now_ms = clock.now_ms()
    return Target(
        request_id=f"pause-{now_ms}",
        region=REGION,
        export_w=export_w,
        starts_at_ms=now_ms,
        ends_at_ms=now_ms + 1_800_000,
        priority="emergency",
        source="operator:pause",
        issued_at_ms=now_ms,
        best_effort=True,
    )


async def pause_region(settings: Settings, seen: Seen) -> None:
    """A target is replaced while the instance that ordered the first one is paused."""
    clients = KafkaClients(settings)
    await until(lambda: seen.status is not None and bool(seen.status.capability), "a capability")
    assert seen.status is not None
    able_w = next(held.up_w for held in seen.status.capability if held.duration_s == 900)
    first = target_of(0.5 * able_w)
    await write_one(clients, topics.DISPATCH_TARGETS, first)
    await until(lambda: seen.delivers(first), "the first target to be met")
    async with paused("region", seen):
        since_ms = seen.duties["region"].since_ms
        await until(lambda: seen.delivers(first, since_ms), "the successor to deliver the first")
        second = target_of(0.25 * able_w)
        await write_one(clients, topics.DISPATCH_TARGETS, second)
        await until(lambda: seen.delivers(second), "the second target to be met")
    counts = {partition: len(made) for partition, made in seen.orders.items()}
    await until(
        lambda: all(len(seen.orders[p]) > count + 3 for p, count in counts.items()),
        "orders after the pause",
    )
    for partition, made in seen.orders.items():
        changes = [name for name, _ in itertools.groupby(made[made.index(first.request_id) :])]
        if changes != [first.request_id, second.request_id]:
            raise GoalMissedError(f"partition {partition} was ordered {changes}, one by one")
    if not seen.delivers(second, clock.now_ms() - 2_000):
        raise GoalMissedError("the second target is not met after the pause")


async def pause_optimizer(seen: Seen) -> None:
    """The instance is paused just before it decides a bid, and wakes before the gate closes."""
    regions = {region for region, _ in seen.in_time}
    if not regions:
        raise GoalMissedError("no region has bid in time so far")

    def waits() -> bool:
        gate = seen.gate
        if gate is None:
            return False
        left_ms = gate.gate_ms - clock.now_ms()
        decides_ms = gate.interval_ms / 10
        return 0 <= left_ms - decides_ms - LEAD_S * 1000 < 200

    await until(lambda: seen.works("optimizer") and seen.stands_by("optimizer"), "two optimizers")
    await until(waits, "a gate to be about to close")
    gate = seen.gate
    assert gate is not None
    async with paused("optimizer", seen):
        pass  # it wakes at once: its bids for this gate are due, and another has the duty
    await until(lambda: clock.now_ms() > gate.gate_ms + gate.interval_ms, "the next gate to close")
    for start_ms in (gate.start_ms, gate.start_ms + gate.interval_ms):
        if missing := sorted(r for r in regions if (r, start_ms) not in seen.in_time):
            raise GoalMissedError(f"no bid in time of {', '.join(missing)} for {start_ms}")
    if repeated := [name for name, count in seen.bids.items() if count > 1]:
        raise GoalMissedError(f"several bids of one id: {repeated}")


async def pause_settlement(seen: Seen) -> None:
    """Its successor books on, and the ledger is in order."""

    def booked() -> int:
        duty = seen.duties["settlement"]
        return seen.healths[duty.process_id].counters.get("records_booked", 0)

    async with paused("settlement", seen):
        successor = seen.duties["settlement"].process_id
        await until(lambda: successor in seen.healths, "the successor to report")
        count = booked()
    await until(lambda: booked() > count, "the successor to book")
    docker("compose", "exec", "-T", "settlement", "vpp", "ledger", "check")


async def judged(settings: Settings) -> None:
    """Pause one role after the other. Raises `GoalMissedError`."""
    seen = Seen()
    async with onlooker(KafkaClients(settings)).following(*seen.feeds()):
        await pause_region(settings, seen)
        await pause_optimizer(seen)
        await pause_settlement(seen)


def main() -> None:
    """Pause each, and judge."""
    try:
        asyncio.run(judged(load_settings()))
    except GoalMissedError as error:
        sys.exit(f"pause.py: {error}")


if __name__ == "__main__":
    main()
