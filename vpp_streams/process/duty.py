"""An instance's part in a role that one instance at a time does, while others stand by.

A standby reads everything that its role reads. Once the instance on duty is silent, or hands over,
it starts the role's fenced producer, reads what was written before, and works. The one before
learns it from Kafka at its next record, and ends: its supervisor starts it again, as a standby.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from schemas.duty import Duty as DutyReport
from vpp_streams import clock
from vpp_streams.domain.duty import BEAT_MS, Instance, Standing
from vpp_streams.errors import BrokerError, LostDutyError, VppError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.fenced import FencedProducer, start_fenced
from vpp_streams.kafka.follower import Feed, Follower
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.health import HealthReporter

log = structlog.get_logger()

LOOK_S = 0.1
SPREAD_S, FIRST_SPREAD_S = 0.3, 1.0
"""Two standbys that may take over at the same moment do it this far apart, at random; more so where
nobody has had the duty: two that are started together would replace each other at once."""
LOOK_PATIENCE_S = 2.0
"""Kafka must answer this soon before a takeover: while it is away, nobody is silent."""
READ_PATIENCE_S = 30.0
"""Reading to the end may take this long at a takeover; then the instance ends."""
HAND_OVER_S = 2.0


Begin = Callable[[], Coroutine[Any, Any, None]]
"""Returns when the work of a role may begin (`Duty.begin`)."""


async def at_once() -> None:
    """Begin at once, as an instance does that is alone for certain."""


class Duty:
    """One instance of a role: a standby first, then on duty until it ends."""

    def __init__(
        self, role: str, clients: KafkaClients, follower: Follower, health: HealthReporter
    ) -> None:
        namespace = clients.settings.namespace
        self._role = role
        self._clients = clients
        self._follower = follower
        self._producer_name = f"{namespace}.{role}.duty" if namespace else f"{role}.duty"
        me = Instance(health.process_id, health.started_at_ms)
        self._standing = Standing(me, clock.now().mono_ms)
        self._health = health
        health.probes.seat = "warm"
        self._ready = health.probes.need("everything that its role reads")
        self._warm = asyncio.Event()
        self._working = asyncio.Event()
        self._producer: FencedProducer | None = None
        self._term = 0
        self._since_ms = clock.now_ms()
        self.outlet = Outlet(_WayOut(lambda: self._working_producer), clients.settings.namespace)
        """The only way out of the role's work; it raises `RuntimeError` on a standby."""
        health.gauges |= {
            "on_duty": self._working.is_set,
            "warm": lambda: self._warm.is_set() and not self._working.is_set(),
            "duty_since_ms": lambda: self._since_ms,
        }

    @property
    def works(self) -> bool:
        """Whether this instance is on duty."""
        return self._working.is_set()

    @property
    def _working_producer(self) -> FencedProducer:
        if self._producer is None or not self.works:
            raise RuntimeError(f"this instance of {self._role} is not on duty")
        return self._producer

    async def begin(self) -> None:
        """Return when this instance is on duty. Call it once everything was read that exists."""
        if not self._warm.is_set():
            self._since_ms = clock.now_ms()
            self._warm.set()
            self._ready()
            log.info("standing by", role=self._role)
        await self._working.wait()

    async def confirm(self) -> None:
        """Return once Kafka has confirmed that this instance is on duty.

        For effects elsewhere than through `outlet`. Raises `LostDutyError`.
        """
        await self._report(self._working_producer)

    async def run(self) -> None:
        """Stand by, take over, and report the duty until cancelled; then hand over.

        Raises `LostDutyError` where another instance has taken over, `BrokerError` where Kafka
        takes no records.
        """
        async with asyncio.TaskGroup() as group:
            await self._follower.follow_in(group, Feed(topics.DUTY, self._on_report))
            while True:
                if await self._take_over():
                    break
                await asyncio.sleep(LOOK_S)
            await self._report_for_ever()

    async def _report_for_ever(self) -> None:
        try:
            while True:
                await self.confirm()
                await asyncio.sleep(BEAT_MS / 1000)
        finally:
            await self._hand_over()

    def _on_report(self, read: Read[DutyReport]) -> None:
        if read.record.role == self._role:
            self._standing.apply(read.record)

    async def _take_over(self) -> bool:
        """Take over if that is due; False where it is not, or another instance was faster."""
        self._standing.look(clock.now().mono_ms)
        if not self._warm.is_set() or not self._standing.may_claim:
            return False
        first = self._standing.newest is None
        await asyncio.sleep(random.uniform(0, FIRST_SPREAD_S if first else SPREAD_S))
        if not await self._has_read_all(LOOK_PATIENCE_S):
            self._standing.not_answered()
            return False
        if not self._standing.may_claim:
            return False
        try:
            producer = await start_fenced(self._clients, self._producer_name)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("the duty was not taken over", role=self._role, error=repr(error))
            return False
        try:
            if not await self._is_mine(producer):
                return False
            self._producer = producer
        finally:
            if self._producer is None:
                await producer.close()
        self._working.set()
        self._health.probes.seat = "working"
        log.info("on duty", role=self._role, term=self._term)
        return True

    async def _is_mine(self, producer: FencedProducer) -> bool:
        """Begin a term; False where another instance was faster."""
        # From here on nobody else writes: what the one before wrote is complete.
        if not await self._has_read_all(READ_PATIENCE_S):
            raise BrokerError(f"{self._role}: its topics were not read to the end at a takeover")
        self._term, self._since_ms = self._standing.next_term, clock.now_ms()
        try:
            await self._report(producer)
        except LostDutyError:
            return False
        except asyncio.CancelledError:  # others may have read it already
            await self._release(producer)
            raise
        return True

    async def _has_read_all(self, patience_s: float) -> bool:
        """Whether everything is applied that the followed topics hold now."""
        try:
            async with asyncio.timeout(patience_s):
                await self._follower.reached_end()
        except TimeoutError:
            return False
        return True

    async def _report(self, producer: FencedProducer, *, last: bool = False) -> None:
        at_ms = clock.now_ms()
        report = self._standing.report(self._role, self._term, self._since_ms, at_ms, last=last)
        outlet = Outlet(producer, self._clients.settings.namespace)
        await outlet.write(topics.DUTY, report)

    async def _hand_over(self) -> None:
        producer = self._working_producer
        self._working.clear()
        self._health.probes.seat = "warm"
        try:
            await self._release(producer)
        finally:
            await producer.close()

    async def _release(self, producer: FencedProducer) -> None:
        """Report that this instance hands over."""
        try:
            async with asyncio.timeout(HAND_OVER_S):
                await self._report(producer, last=True)
        except (KafkaError, VppError, TimeoutError) as error:  # the others wait until it is silent
            log.warning("the duty was not handed over", role=self._role, error=repr(error))


class _WayOut:
    """The producer of an outlet that exists before its role works."""

    def __init__(self, producer: Callable[[], FencedProducer]) -> None:
        self._producer = producer

    async def send(self, *record: Any, **options: Any) -> Any:
        return await self._producer().send(*record, **options)

    async def flush(self) -> None:
        await self._producer().flush()
