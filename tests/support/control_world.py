"""The whole control loop around a simulated fleet: worker processes that a test may kill."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer, ConsumerRecord

from device_sim.runner import Fleet, SimOptions, running_fleet
from schemas.assets import Site
from schemas.commands import CommandEvent, CommandEvents, CommandFrame, command_id
from schemas.dispatch import (
    DispatchStatus,
    Hold,
    Limit,
    Notice,
    Request,
    RequestEvent,
    Target,
    Withdraw,
)
from schemas.encoding import encode_json
from schemas.grid import Alert, Droop
from tests.support.kafka_world import TopicLog, topic_log
from tests.support.paths import ROOT
from tests.support.waiting import PATIENCE_S
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.topic import Topic
from vpp_streams.local import demo
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

LEASE_S = 6.0
"""Short, so that a test sees leases end."""
ROLES = ("ingest", "fleet", "region", "gateway")


class Processes:
    """One process of each role, each in a log of its own, to be killed and started again."""

    def __init__(self, settings: Settings, log_dir: Path, lease_s: float = LEASE_S) -> None:
        self._settings = settings
        self._lease_s = lease_s
        self._log_dir = log_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        log_dir.mkdir(parents=True, exist_ok=True)

    def start(self, role: str) -> None:
        port = ["--port", str(self._settings.gateway_port if role == "gateway" else free_port())]
        words = ["gateway", *port] if role == "gateway" else ["worker", role, *port]
        env = {
            **os.environ,
            "VPP_KAFKA": self._settings.kafka,
            "VPP_NAMESPACE": self._settings.namespace,
            "VPP_STATE_DIR": str(self._settings.state_dir),
            "VPP_SESSION_TIMEOUT_S": "6",
            "VPP_SNAPSHOT_MS": "500",
            "VPP_LEASE_S": str(self._lease_s),
        }
        with (self._log_dir / f"{role}.log").open("ab") as out:
            self._running[role] = subprocess.Popen(
                [sys.executable, "-m", "vpp_streams", *words], cwd=ROOT, env=env, stdout=out,
                stderr=out,
            )  # fmt: skip

    def kill(self, role: str) -> None:
        """As a crash does."""
        process = self._running.pop(role)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def revive(self) -> None:
        """Start again what has ended by itself, as a supervisor does."""
        for role, process in list(self._running.items()):
            if process.poll() is not None:
                self.start(role)

    def kill_all(self) -> None:
        for role in list(self._running):
            self.kill(role)


@contextmanager
def processes(
    settings: Settings,
    log_dir: Path,
    *,
    roles: Sequence[str] = ROLES,
    lease_s: float = LEASE_S,
) -> Iterator[Processes]:
    """A process of each role; killed at the end."""
    running = Processes(settings, log_dir, lease_s)
    try:
        for role in roles:
            running.start(role)
        yield running
    finally:
        running.kill_all()


class Loop:
    """A fleet under control, what is asked of it, and what was told."""

    def __init__(
        self,
        settings: Settings,
        roles: Processes,
        fleet: Fleet,
        producer: AIOKafkaProducer,
        logs: AsyncExitStack,
    ) -> None:
        self.settings = settings
        self.roles = roles
        self.fleet = fleet
        self._producer = producer
        self._open_logs = logs
        self._logs: dict[Topic, TopicLog] = {}
        self._asked = 0

    def battery_w(self, region: str) -> float:
        """What the region's batteries truly do now."""
        mine = np.array([site.region == region for site in self.fleet.sites_of_devices])
        return float(self.fleet.world.flows.battery_w[mine].sum())

    def site_of(self, device_id: str) -> Site:
        """The site of a simulated device."""
        return next(
            site
            for site in self.fleet.sites_of_devices
            if any(device.device_id == device_id for device in site.devices)
        )

    async def ask(self, request: Request) -> None:
        """Write a request, as the web process does."""
        await self._producer.send_and_wait(
            topics.DISPATCH_TARGETS.full(self.settings.namespace),
            encode_json(request),
            key=request.request_id.encode(),
            partition=0,
        )

    async def target(
        self,
        region: str,
        export_w: float | None,
        for_s: float = 600,
        droop: Droop | None = None,
    ) -> Target:
        """Ask for an export from now on, as far as it can be had."""
        self._asked += 1
        now_ms = clock.now_ms()
        target = Target(
            request_id=f"t{self._asked}",
            region=region,
            export_w=export_w,
            starts_at_ms=now_ms,
            ends_at_ms=now_ms + round(for_s * 1000),
            priority="operator",
            source="operator:test",
            issued_at_ms=now_ms,
            best_effort=True,
            droop=droop,
        )
        await self.ask(target)
        return target

    async def limit(self, region: str, import_limit_w: float) -> Limit:
        """Ask for no more than this from the grid, from now on."""
        now_ms = clock.now_ms()
        limit = Limit(
            request_id="limit",
            region=region,
            import_limit_w=import_limit_w,
            starts_at_ms=now_ms,
            ends_at_ms=now_ms + 600_000,
            source="grid:test",
            issued_at_ms=now_ms,
        )
        await self.ask(limit)
        return limit

    async def alert(self, alert: Alert) -> None:
        """Write a storm, as the web process does."""
        await self._producer.send_and_wait(
            topics.GRID_ALERTS.full(self.settings.namespace),
            encode_json(alert),
            key=alert.alert_id.encode(),
            partition=0,
        )

    async def hold(self, region: str) -> Hold:
        held = Hold(
            request_id="hold", region=region, source="operator:test", issued_at_ms=clock.now_ms()
        )
        await self.ask(held)
        return held

    async def withdraw(self, request: Target | Limit | Hold) -> None:
        await self.ask(
            Withdraw(
                request_id=f"w-{request.request_id}",
                region=request.region,
                withdraws=request.request_id,
                source="operator:test",
                issued_at_ms=clock.now_ms(),
            )
        )

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that the fleet does; looked at each beat."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.fleet.until(condition)
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE_S} s for: {what}") from None

    async def until_exports(self, region: str, export_w: float, within: float = 0.02) -> None:
        """Wait until the region's batteries do what was asked of them."""
        near = max(abs(export_w) * within, 200.0)
        await self.until(
            lambda: abs(self.battery_w(region) - export_w) <= near, f"{region} at {export_w} W"
        )

    async def told(self) -> list[RequestEvent | Notice | DispatchStatus]:
        """Every record of ``dispatch.events`` so far."""
        told = RequestEvent | Notice | DispatchStatus
        records = await self._read(topics.DISPATCH_EVENTS)
        return [msgspec.json.decode(r.value, type=told) for r in records]

    async def commands(self) -> dict[tuple[str, str], CommandFrame]:
        """(device, command id) -> the frame that it was asked with."""
        records = await self._read(topics.COMMANDS)
        frames = [msgspec.json.decode(r.value, type=CommandFrame) for r in records]
        return {
            (row.device_id, command_id(f.partition, f.rank)): f for f in frames for row in f.rows
        }

    async def events(self) -> dict[tuple[str, str], list[CommandEvent]]:
        """(device, command id) -> what became of it, in order."""
        story: dict[tuple[str, str], list[CommandEvent]] = defaultdict(list)
        for record in await self._read(topics.COMMAND_EVENTS):
            for event in msgspec.json.decode(record.value, type=CommandEvents).events:
                story[event.device_id, event.command_id].append(event)
        return story

    async def _read(self, topic: Topic) -> list[ConsumerRecord]:
        """Every record of a topic so far. Tests poll this, so a topic's log stays open."""
        if topic not in self._logs:
            log = topic_log(self.settings, topic.full(self.settings.namespace))
            self._logs[topic] = await self._open_logs.enter_async_context(log)
        return await self._logs[topic].read()


@asynccontextmanager
async def control_loop(
    settings: Settings,
    sites: Sequence[Site],
    log_dir: Path,
    *,
    roles: Sequence[str] = ROLES,
    lease_s: float = LEASE_S,
    **options: object,
) -> AsyncIterator[Loop]:
    """These roles run, and devices connect to their gateway."""
    settings = settings.model_copy(update={"gateway_port": free_port()})
    await demo.register(settings, sites)
    producer = KafkaClients(settings).producer()
    await producer.start()
    url = f"ws://127.0.0.1:{settings.gateway_port}"
    try:
        with processes(settings, log_dir, roles=roles, lease_s=lease_s) as running:
            sim = SimOptions(url=url, **options)  # type: ignore[arg-type]  # the callers name fields of SimOptions
            async with running_fleet(sites, sim) as fleet, AsyncExitStack() as logs:
                yield Loop(settings, running, fleet, producer, logs)
    finally:
        await producer.stop()
