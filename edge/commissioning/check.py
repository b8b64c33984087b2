"""``vpp edge check``: is a home set up well? Runs in place of the agent, and takes a minute or two.

It connects and measures as the agent does, and commands the inverter through the same code, within
the same limits. Its Hello says `measures_only`, so that the cloud sends no command meanwhile.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import numpy as np

from edge.agent import spec_of
from edge.client import Client
from edge.clock import day_of, monotonic_ms, utc_ms
from edge.commissioning import judge as commissioning
from edge.commissioning.judge import GIVE_UP_MS, PULSE_W, Finding, Pulse, Sample, failed
from edge.config import Config
from edge.driver import Identity, body_of, values_of
from edge.driver_calls import DriverCalls, DriverStuckError
from edge.drivers import module_of
from edge.home import Home
from edge.identity.logins import login_of
from edge.inverter import Inverter
from edge.leases import Leases
from edge.planning.learnt import Learnt
from edge.planning.own_plan import OwnPlan
from edge.run import ring_of, setup_of
from edge.session import Device, Patience
from schemas.bodies import Quality
from schemas.protocol import Setpoint

BEAT_S = 1.0
SAMPLES = 5
CONNECT_S, ACK_S, PING_S = 20.0, 20.0, 5.0
"""Deadlines of the steps; those of the driver's calls are in `edge.driver_calls`."""
_AT_ONCE_W_S = 1e6
"""A ramp that no home's battery needs a second for."""
Say = Callable[[Finding], None]


class Check:
    """The steps, on one inverter and one link. ``say`` gets each finding as it is made."""

    def __init__(self, config: Config, say: Say) -> None:
        """Open the storage and read the identity. Raises `ConfigError` and `InUseError`."""
        self.findings: list[Finding] = []
        self._config, self._say = config, say
        self._rng = random.Random()
        self._login = login_of(config, self._rng)
        self._ring = ring_of(config)
        self._counters: Counter[str] = Counter()
        driver = module_of(config.driver_name).driver(config.driver_options)
        self._calls = DriverCalls(driver, self._counters)
        self._inverter = Inverter(self._calls)
        self._link_trouble = ""
        self._commanded = False
        """Whether the inverter was commanded, and is not released yet."""

    async def run(self) -> None:
        """Take every step. The inverter is released whatever happens."""
        try:
            identity = await self._calls.identify()
            if identity is None:
                what = "check address and credentials in [driver]"
                self._add(failed("inverter", self._calls.trouble, what))
                return
            model = f"{identity.model} {identity.firmware}".strip()
            self._add(Finding("inverter", "ok", model))
            async with self._linked(identity) as client:
                await self._connect(client)
                now = await self._measure(client)
                await self._clock(client)
            self._limits(identity, now)
            await self._pulses(identity, now)
        except DriverStuckError as error:
            self._add(failed("inverter", str(error), "start this computer again"))
        finally:
            await self._close()

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        self._say(finding)

    @asynccontextmanager
    async def _linked(self, identity: Identity) -> AsyncIterator[Client]:
        device = Device(
            self._ring,
            identity.model,
            identity.firmware,
            rng=self._rng,
            counters=self._counters,
            controls=Leases(np.array([False]), lambda _row, _prices: None).of(0),
            patience=Patience(reconnect_most_ms=5_000),
        )
        client = Client(
            self._config.gateway.device_id,
            device,
            self._config.gateway.url,
            self._login,
            utc_ms=utc_ms,
            on_event=lambda: None,
            on_trouble=self._on_trouble,
        )
        tasks = [asyncio.create_task(client.run()), asyncio.create_task(self._login.keep())]
        try:
            yield client
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _on_trouble(self, kind: str, words: str) -> None:
        self._link_trouble = f"{kind}: {words}"

    async def _connect(self, client: Client) -> None:
        gateway = self._config.gateway
        how = "TLS" if gateway.url.startswith("wss://") else "without TLS"
        ends_ms = self._login.ends_ms
        who = "token" if ends_ms is None else f"certificate until {day_of(ends_ms)}"
        named = f"{gateway.url} as {gateway.device_id}, {how}, {who}"
        if await _within(CONNECT_S, lambda: client.live):
            self._add(Finding("connection", "ok", named))
            return
        trouble = self._login.trouble or self._link_trouble or "no answer"
        what = "check url, the network and the identity in [gateway]"
        self._add(failed("connection", f"{named}: {trouble}", what))

    async def _measure(self, client: Client) -> Sample:
        samples = []
        sent = False
        for _ in range(SAMPLES):
            readings = await self._calls.read()
            if readings is not None:
                samples.append(values_of(readings, Quality.OK, Quality.ESTIMATED))
                body = body_of(readings, utc_ms(), 1000)
                if body is not None and client.live:
                    client.measure(body, None)
                    sent = True
            await asyncio.sleep(BEAT_S)
        await self._acknowledged(sent)
        if not samples:
            self._add(failed("quantities", self._calls.trouble, "check [driver] and the inverter"))
            return {}
        now = commissioning.typical(samples)
        for step in (commissioning.quantities, commissioning.balance, commissioning.signs):
            self._add(step(now))
        return now

    async def _acknowledged(self, sent: bool) -> None:
        if not sent:
            self._add(Finding("reading", "not tried", "there is no connection, or no reading"))
        elif await _within(ACK_S, lambda: self._counters["acked"] > 0):
            self._add(Finding("reading", "ok", f"{self._counters['acked']} acknowledged"))
        else:
            seen = f"none acknowledged within {ACK_S:g} s"
            what = "is the device in the operator's registry, and is the power station's Kafka up?"
            self._add(failed("reading", seen, what))

    async def _clock(self, client: Client) -> None:
        if not client.live:
            self._add(Finding("clock", "not tried", "there is no connection"))
            return
        trip_ms = await client.round_trip_ms(PING_S)
        self._add(commissioning.clock(utc_ms() - client.gateway_ms(), trip_ms))

    def _limits(self, identity: Identity, now: Sample) -> None:
        home = self._config.home
        watts = {"export": home.export_limit_w, "import": home.import_limit_w}
        limits = ", ".join(
            f"{name} limit {'none' if value == float('inf') else f'{value:.0f} W'}"
            for name, value in watts.items()
        )
        soc = f"{now['soc']:.1%}" if "soc" in now else "not known"
        self._add(
            Finding(
                "limits",
                "ok",
                f"reserve {home.backup_reserve:.0%} (state of charge {soc}), {limits}, battery"
                f" {identity.rated_energy_wh:.0f} Wh, charge {identity.rated_charge_w:.0f} W,"
                f" discharge {identity.rated_discharge_w:.0f} W",
            )
        )

    async def _pulses(self, identity: Identity, now: Sample) -> None:
        spec = spec_of(setup_of(self._config, self._login), identity)
        own = OwnPlan(None, Learnt(None))  # what it plans is not for a check to try
        home = Home(spec, own, commandable=self._calls.driver.can.commandable)
        sizes_w = min(PULSE_W, spec.rated_discharge_w), -min(PULSE_W, spec.rated_charge_w)
        for rank, power_w in enumerate(sizes_w, 1):
            if home.leases.of(0).measures_only or power_w == 0:
                why = "the inverter takes no command, has no timer of its own, or no battery"
                step = f"pulse {PULSE_W if rank == 1 else -PULSE_W:+.0f} W"
                self._add(Finding(step, "not tried", why))
            elif not {"battery_w", "soc"} <= now.keys():
                why = "the battery's power or its state of charge is not measured"
                self._add(Finding(f"pulse {power_w:+.0f} W", "not tried", why))
            else:
                self._add(await self._pulse(home, power_w, rank))
        if self._commanded:
            await self._release()

    async def _release(self) -> None:
        self._commanded = not await self._calls.release()
        if self._commanded:
            what = "its own timer ends the power within a minute; check the inverter's network"
            self._add(failed("release", self._calls.trouble, what))
        else:
            self._add(Finding("release", "ok", "the inverter is in its own mode again"))

    async def _pulse(self, home: Home, power_w: float, rank: int) -> Finding:
        began_ms = monotonic_ms()
        lease = Setpoint(
            epoch=0,
            rank=rank,
            p=power_w,
            not_before=began_ms,
            valid_until=began_ms + 2 * GIVE_UP_MS,
            ramp_w_s=_AT_ONCE_W_S,
        )
        home.leases.offer(0, f"pulse {rank}", lease, began_ms, 0)
        pulse: Pulse | None = None
        while (now_ms := monotonic_ms()) - began_ms <= 2 * GIVE_UP_MS:
            readings = await self._calls.read()
            now = values_of(readings or (), Quality.OK, Quality.ESTIMATED)
            if {"battery_w", "soc"} <= now.keys():
                if pulse is None:
                    pulse, began_ms = Pulse(power_w, now, now_ms), now_ms
                elif (finding := pulse.measured(now, now_ms)) is not None:
                    return finding
                held = home.step(now_ms, now, BEAT_S)
                if held is None or abs(held.power_w - power_w) > commissioning.NEAR_W:
                    why = commissioning.obstacle(power_w, now["soc"], float(home.reserve[0]))
                    return Finding(pulse.step, "not tried", why)
                self._commanded = True
                await self._inverter.follow(held, now_ms)
            await asyncio.sleep(BEAT_S)
        return failed(
            f"pulse {power_w:+.0f} W", self._calls.trouble, "check the inverter's network"
        )

    async def _close(self) -> None:
        if self._commanded:
            await self._inverter.let_go()
        await self._calls.close()
        self._ring.close()


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds; returns whether it did in this time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - a check looks as often as a person would
                await asyncio.sleep(BEAT_S / 20)
    return condition()
