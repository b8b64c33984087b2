"""The agent of one home: reads the inverter once a second, reports, and carries out commands.

Readings go to the ring before they are sent. Commands become leases, and `edge.home` decides what
the battery does. Nothing waits for the network, and for the hardware only as long as
`edge.driver_calls` allows.

When the agent is stopped it releases the inverter. When it is killed it cannot: the inverter's own
timer, set with every command, ends the power within `edge.home.HOLD_MS`.
"""

import asyncio
import logging
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.client import Client
from edge.clock import monotonic_ms, utc_ms
from edge.driver import Driver, Identity, Quantity, Readings, body_of, values_of
from edge.driver_calls import DriverCalls, DriverStuckError
from edge.durable_ring import DurableRing
from edge.home import Home, HomeSpec
from edge.identity.login import AgentLogin
from edge.inverter import Inverter
from edge.planning.learnt import Learnt
from edge.planning.own_plan import OwnPlan
from edge.planning.tariff import Terms
from edge.planning.thread import Planning
from edge.session import Device, Patience
from schemas.bodies import Quality

BEAT_MS = 1000
RAMP_STEP_MS = 200
"""A ramp takes steps between beats, so that the reading of the next beat shows its power."""
MEASURED_FOR_MS = 10_000
"""Measurements that are older say nothing about now: the battery is not commanded by them."""
_IDENTIFY_AGAIN_S = 5.0
_LOWEST_DT_S, _HIGHEST_DT_S = 0.05, 5.0
_log = logging.getLogger(__name__)


class ReplacedError(Exception):
    """Another client connected with this device's identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The owner's configuration of an agent."""

    url: str
    """Address of the gateway, ``ws://host:port`` or ``wss://host:port``; several with commas."""
    device_id: str
    login: AgentLogin
    """Who it is to the gateway."""
    backup_reserve: float
    """The owner's reserve, 0..1."""
    export_limit_w: float = float("inf")
    import_limit_w: float = float("inf")
    tariff: Terms | None = None
    """None = the home makes no plan of its own, except where the cloud has prices decide."""
    learnt: Path | None = None
    """File of what the home learns about its load and solar power."""
    patience: Patience


def spec_of(setup: Setup, identity: Identity) -> HomeSpec:
    """The home of an owner's configuration with the hardware that is there."""
    tariff = setup.tariff
    return HomeSpec(
        rated_energy_wh=identity.rated_energy_wh,
        rated_charge_w=identity.rated_charge_w,
        rated_discharge_w=identity.rated_discharge_w,
        backup_reserve=setup.backup_reserve,
        export_limit_w=setup.export_limit_w,
        import_limit_w=setup.import_limit_w,
        battery_exports=tariff is None or tariff.battery_exports,
        wear_per_mwh=0.0 if tariff is None else tariff.wear_per_mwh,
    )


class Agent:
    """One home. ``counters`` count what happened; see `Device` and `DriverCalls`."""

    def __init__(self, setup: Setup, driver: Driver, ring: DurableRing, rng: random.Random) -> None:
        self.setup = setup
        self.counters: Counter[str] = Counter()
        self.calls = DriverCalls(driver, self.counters)
        self.ring = ring
        self.newest: dict[Quantity, float] = {}
        """The newest measurements that are good enough to control by."""
        self.readings: Readings = ()
        """The newest measurements as the driver gave them, of `measured_ms`."""
        self.measured_ms: int | None = None
        """Of the monotonic clock; None = nothing was measured yet."""
        self.inverter = Inverter(self.calls)
        self.home: Home | None = None
        """None before the hardware has said what it is."""
        self.beats = 0
        """Rises once a second while the agent works."""
        self.client: Client | None = None
        """The link; None before the hardware has said what it is."""
        self._rng = rng
        self._wake = asyncio.Event()
        self._stopping = False
        self._controlled_ms = monotonic_ms()
        self._last_command = ""
        self.link_trouble = ""
        """The newest failure of the link, in one sentence; "" = it is connected."""

    def stop(self) -> None:
        """Have `run` release the inverter and return."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Work until `stop`. Raises `ReplacedError` and `DriverStuckError`."""
        keeper = asyncio.create_task(self.setup.login.keep())
        try:
            identity = await self._identified()
            if identity is not None:
                await self._work(identity, keeper)
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            with suppress(DriverStuckError):
                await self.calls.close()
            self.ring.close()

    async def _identified(self) -> Identity | None:
        """The hardware's identity, as soon as it answers; None = stopped before."""
        while not self._stopping:
            self.beats += 1
            if (identity := await self.calls.identify()) is not None:
                return identity
            await self._rest_until(monotonic_ms() + round(_IDENTIFY_AGAIN_S * 1000))
        return None

    async def _work(self, identity: Identity, keeper: asyncio.Task[None]) -> None:
        home, client = self._meet(identity)
        link = asyncio.create_task(client.run())
        planning = Planning(home, self.counters)
        try:
            next_ms = monotonic_ms()
            while not self._stopping:
                self.beats += 1
                await self._measure(client)
                await self._control(home, client)
                planning.keep(client.gateway_ms())
                next_ms = max(next_ms + BEAT_MS, monotonic_ms())
                while await self._rest(home, next_ms) and not self._stopping:
                    await self._control(home, client)
                if keeper.done():
                    keeper.result()
                if link.done():
                    link.result()
                    raise ReplacedError(f"another client connected as {self.setup.device_id}")
        finally:
            await self.inverter.let_go()
            link.cancel()
            await asyncio.wait([link])

    def _meet(self, identity: Identity) -> tuple[Home, Client]:
        """The home and the link for the hardware that is there."""
        setup = self.setup
        own = OwnPlan(setup.tariff, Learnt(setup.learnt))
        commandable = self.calls.driver.can.commandable
        self.home = home = Home(spec_of(setup, identity), own, commandable=commandable)
        controls = home.leases.of(0)
        device = Device(
            self.ring,
            identity.model,
            identity.firmware,
            rng=self._rng,
            counters=self.counters,
            controls=controls,
            patience=setup.patience,
        )
        self.client = Client(
            setup.device_id,
            device,
            setup.url,
            setup.login,
            utc_ms=utc_ms,
            on_event=self._on_event,
            on_trouble=self._on_trouble,
        )
        only = "" if not controls.measures_only else ", which is measured and takes no commands"
        _log.info("%s is a %s%s", setup.device_id, identity.model, only)
        return home, self.client

    def _on_event(self) -> None:
        """Something was received, or the link has changed."""
        if self.client is None:
            return
        if self.link_trouble and self.client.live:
            _log.info("connected to the gateway again")
            self.link_trouble = ""
        last = self.client.device.last_command
        if last != self._last_command:
            self._last_command = last
            self._wake.set()

    def _on_trouble(self, kind: str, words: str) -> None:
        self.counters[f"link_{kind}"] += 1
        trouble = f"{kind}: {words}"
        if trouble != self.link_trouble:  # a gateway that is away for a night is one line
            _log.warning("no connection (%s); readings are kept, and it tries again", trouble)
        self.link_trouble = trouble

    async def _measure(self, client: Client) -> None:
        t_ms = utc_ms()
        readings = await self.calls.read()
        if readings is None:
            client.tick()
            return
        self.readings = readings
        self.newest = values_of(readings, Quality.OK, Quality.ESTIMATED)
        self.measured_ms = monotonic_ms()
        body = body_of(readings, t_ms, max(client.device.interval_ms, BEAT_MS))
        if body is None:
            self.counters["nothing_measured"] += 1
        if body is not None and client.wants_reading():
            client.measure(body, None)
        else:
            client.tick()

    async def _control(self, home: Home, client: Client) -> None:
        """Decide what the battery does now, report on commands, and command the inverter."""
        now_ms = monotonic_ms()
        dt_s = min(max((now_ms - self._controlled_ms) / 1000, _LOWEST_DT_S), _HIGHEST_DT_S)
        self._controlled_ms = now_ms
        is_new = self.measured_ms is not None and now_ms - self.measured_ms <= MEASURED_FOR_MS
        power = home.step(client.gateway_ms(), self.newest if is_new else {}, dt_s)
        for _, status in home.leases.take_reports():
            client.report(status)
        await self.inverter.follow(power, now_ms)

    async def _rest(self, home: Home, until_ms: int) -> bool:
        """Wait for the next beat; returns whether something is to be done before it."""
        step_ms = monotonic_ms() + RAMP_STEP_MS
        if home.ramps and step_ms < until_ms:
            await self._rest_until(step_ms)
            return True
        return await self._rest_until(until_ms)

    async def _rest_until(self, until_ms: int) -> bool:
        """Wait; returns whether a command or `stop` ended the wait before ``until_ms``."""
        try:
            async with asyncio.timeout(max(until_ms - monotonic_ms(), 0) / 1000):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True
