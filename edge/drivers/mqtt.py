"""A home whose values are on MQTT, as Home Assistant, gateways and bridges publish them.

The mapping file says which message is which quantity, and how a battery power is set. Without a
``[command]`` in it the home is measured only. With one whose receiver has no timer of its own, the
broker is the watch-dog: it holds the release as this client's last will, and publishes it as soon
as the agent is gone.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import aiomqtt
import msgspec

from edge.clock import monotonic_ms
from edge.driver import Capabilities, DriverError, Identity, Readings
from edge.drivers.mqtt_inbox import Inbox
from edge.drivers.mqtt_mapping import Mapping, read_mapping

KEEPALIVE_S = 5
"""The broker takes an agent for gone after one and a half times this."""
_TIMEOUT_S = 2.0
_AT_LEAST_ONCE = 1
_UNCOVERED = (
    "the battery keeps its last power if the broker stops or is separated from it together with"
    " the agent: run the broker on another computer, or let the receiver end a power by itself"
)
_log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker, and the file that says what is on it."""

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    mapping: str
    """A TOML file; a relative path is relative to the folder in which the agent was started."""
    username: str = ""
    password_file: str = ""

    def __post_init__(self) -> None:
        read_mapping(self.mapping)
        if self.password_file and not Path(self.password_file).is_file():
            raise ValueError(f"password_file: there is no file {self.password_file}")


class Mqtt:
    """A `edge.driver.Driver`. ``now_ms`` is the monotonic clock."""

    def __init__(
        self, options: Options, mapping: Mapping, now_ms: Callable[[], int] = monotonic_ms
    ) -> None:
        self._options, self._mapping, self._now_ms = options, mapping, now_ms
        self._inbox = Inbox(mapping.measure)
        self._client: aiomqtt.Client | None = None
        self._ready = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._hold: tuple[float, int] | None = None

    @property
    def can(self) -> Capabilities:
        """See `edge.driver.Driver.can`."""
        command = self._mapping.command
        measure = frozenset(self._mapping.measure)
        if command is None:
            return Capabilities(measure=measure)
        return Capabilities(
            measure=measure,
            set_power=True,
            reverts_itself=command.own_timer,
            watchdog="" if command.own_timer else _UNCOVERED,
        )

    async def identify(self) -> Identity:
        """See `edge.driver.Driver.identify`."""
        await self._connected()
        if self.can.watchdog:
            _log.warning("no timer ends a power by itself; %s", self.can.watchdog)
        battery = self._mapping.battery
        return Identity(
            model=battery.model[:64],
            firmware="",
            rated_energy_wh=battery.energy_wh,
            rated_charge_w=battery.charge_w,
            rated_discharge_w=battery.discharge_w,
            rated_solar_w=battery.solar_w,
        )

    async def read(self) -> Readings:
        """See `edge.driver.Driver.read`."""
        await self._connected()
        return self._inbox.readings(self._now_ms())

    async def apply(self, power_w: float, until_ms: int) -> None:
        """See `edge.driver.Driver.apply`."""
        self._hold = (power_w, until_ms)
        await self._connected()
        await self._publish_hold(power_w, until_ms)

    async def release(self) -> None:
        """See `edge.driver.Driver.release`."""
        command = self._mapping.command
        if command is None:
            raise DriverError("this mapping has no [command]")
        self._hold = None
        if self._ending is not None:
            self._ending.cancel()
        await self._connected()
        await self._publish(command.release_topic or command.topic, command.release_payload)

    async def close(self) -> None:
        """See `edge.driver.Driver.close`."""
        for task in (self._ending, self._listening):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})

    async def _publish_hold(self, power_w: float, until_ms: int) -> None:
        command = self._mapping.command
        if command is None:
            raise DriverError("this mapping has no [command]")
        left_ms = until_ms - self._now_ms()
        await self._publish(command.topic, command.message(power_w, max(-(-left_ms // 1000), 1)))
        if not command.own_timer:
            if self._ending is not None:
                self._ending.cancel()
            self._ending = asyncio.create_task(self._end(left_ms / 1000))

    async def _end(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._ending = None  # or `release` would cancel the task that calls it
        try:
            await self.release()
        except DriverError as error:  # the broker has published the release by itself
            _log.warning("a power ended without the broker: %s", error)

    async def _connected(self) -> None:
        """Wait for the connection; begin a new one if there is none."""
        if self._client is not None:
            return
        if self._listening is None or self._listening.done():
            self._ready.clear()
            self._listening = asyncio.create_task(self._listen())
        waiting = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({waiting, self._listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._client is None:
            raise DriverError(f"{self._where}: {self._trouble()}")

    async def _listen(self) -> None:
        """Hold a connection, and take in what arrives, until it ends."""
        try:
            async with self._new() as client:
                subscribed = await self._subscribe(client, set())
                self._client = client
                if self._hold is not None and self._now_ms() < self._hold[1]:
                    await self._publish_hold(*self._hold)  # the broker has released it
                self._ready.set()
                async for message in client.messages:
                    if isinstance(message.payload, bytes):
                        self._inbox.receive(
                            message.topic.value,
                            message.payload,
                            retained=bool(message.retain),
                            now_ms=self._now_ms(),
                        )
                    subscribed = await self._subscribe(client, subscribed)
        finally:
            self._client = None

    async def _subscribe(self, client: aiomqtt.Client, subscribed: set[str]) -> set[str]:
        wanted = self._inbox.topics
        if missing := sorted(wanted - subscribed):
            await client.subscribe([(topic, _AT_LEAST_ONCE) for topic in missing])
        return wanted

    async def _publish(self, topic: str, payload: str) -> None:
        client = self._client
        if client is None:
            raise DriverError(f"{self._where}: the connection has ended")
        try:
            await client.publish(topic, payload, qos=_AT_LEAST_ONCE)
        except aiomqtt.MqttError as error:
            raise DriverError(f"{self._where}: {error}") from None

    def _new(self) -> aiomqtt.Client:
        options, command = self._options, self._mapping.command
        will = None
        if command is not None and not command.own_timer:
            topic = command.release_topic or command.topic
            will = aiomqtt.Will(topic, command.release_payload, qos=_AT_LEAST_ONCE)
        password = None
        if options.password_file:
            password = Path(options.password_file).read_text(encoding="utf-8").strip()
        return aiomqtt.Client(
            options.host,
            options.port,
            username=options.username or None,
            password=password,
            will=will,
            keepalive=KEEPALIVE_S,
            timeout=_TIMEOUT_S,
        )

    @property
    def _where(self) -> str:
        return f"the broker at {self._options.host} port {self._options.port}"

    def _trouble(self) -> str:
        """Why the last connection ended. Raises what was a bug."""
        task = self._listening
        if task is None or not task.done() or task.cancelled():
            return "it does not answer"
        error = task.exception()
        if error is not None and not isinstance(error, aiomqtt.MqttError | OSError | DriverError):
            raise error
        return str(error or "the connection has ended")


def driver(options: Options) -> Mqtt:
    """The driver of a configuration."""
    return Mqtt(options, read_mapping(options.mapping))
