"""The MQTT driver with a real Mosquitto, and without one."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from edge.clock import monotonic_ms
from edge.driver import DriverError
from edge.drivers.mqtt import Mqtt, Options, driver
from tests.support.mosquitto import BINARY, mosquitto, until_it_answers
from tests.support.waiting import PATIENCE_S
from vpp_streams.process.ports import free_port

needs_mosquitto = pytest.mark.skipif(
    BINARY is None and os.environ.get("CI") != "true",
    reason="mosquitto is not installed (apt-get install mosquitto)",
)

MAPPING = """
[battery]
model = "bridge"
energy_wh = 10000
charge_w = 3000
discharge_w = 4000
[measure.soc]
topic = "home/soc"
scale = 0.01
[measure.battery_w]
discovery = "homeassistant/sensor/battery/config"
[command]
topic = "home/set"
payload = '{"charge": {charge_w}, "for": {seconds}}'
release_payload = "auto"
own_timer = false
"""
DESCRIBED = json.dumps(
    {"state_topic": "home/state", "value_template": "{{ value_json.p }}", "unit_of_meas": "kW"}
)


def made(folder: Path, port: int, mapping: str = MAPPING) -> Mqtt:
    (folder / "map.toml").write_text(mapping)
    return driver(Options(host="127.0.0.1", port=port, mapping=str(folder / "map.toml")))


class Home:
    """What stands on the other side of the broker: publishes values, and sees commands."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client

    async def command(self) -> str:
        message = await asyncio.wait_for(anext(aiter(self.client.messages)), PATIENCE_S)
        assert isinstance(message.payload, bytes)
        return message.payload.decode()

    async def seen(self, mqtt: Mqtt, topic: str, payload: str, quantity: str) -> float:
        """Publish until the driver reads it."""
        for _ in range(100):
            await self.client.publish(topic, payload)
            for reading in await mqtt.read():
                if reading.quantity == quantity:
                    return reading.value
            await asyncio.sleep(0.02)
        raise TimeoutError(f"{topic} is not read")


async def trouble_of(mqtt: Mqtt) -> str:
    """Read until it fails: the end of a connection is noticed a moment later."""
    for _ in range(200):
        try:
            await mqtt.read()
        except DriverError as error:
            return str(error)
        await asyncio.sleep(0.01)
    return ""


@asynccontextmanager
async def home_at(port: int) -> AsyncIterator[Home]:
    async with aiomqtt.Client("127.0.0.1", port, timeout=2) as client:
        await client.subscribe("home/set", qos=1)
        yield Home(client)


@needs_mosquitto
async def test_values_are_read_and_a_power_is_set_and_ended(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port, home_at(port) as home:
        await home.client.publish("homeassistant/sensor/battery/config", DESCRIBED, retain=True)
        mqtt = made(tmp_path, port)
        identity = await mqtt.identify()
        assert (identity.model, identity.rated_discharge_w) == ("bridge", 4000)
        assert mqtt.can.commandable
        assert "broker" in mqtt.can.watchdog
        assert await home.seen(mqtt, "home/soc", "42", "soc") == pytest.approx(0.42)
        assert await home.seen(mqtt, "home/state", '{"p": -1.5}', "battery_w") == -1500
        await mqtt.apply(-2000.0, monotonic_ms() + 60_000)
        assert json.loads(await home.command()) == {"charge": 2000, "for": 60}
        await mqtt.apply(1000.0, monotonic_ms() + 300)
        assert json.loads(await home.command()) == {"charge": -1000, "for": 1}
        assert await home.command() == "auto", "the driver ends the lease by itself"
        await mqtt.release()
        assert await home.command() == "auto"
        await mqtt.close()


@needs_mosquitto
async def test_the_broker_releases_the_battery_of_an_agent_that_is_gone(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys, os, signal\n"
        "from edge.clock import monotonic_ms\n"
        "from edge.drivers.mqtt import Options, driver\n"
        "async def main():\n"
        "    d = driver(Options(host='127.0.0.1', port=int(sys.argv[1]), mapping=sys.argv[2]))\n"
        "    await d.identify()\n"
        "    await d.apply(500.0, monotonic_ms() + 60_000)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    (tmp_path / "map.toml").write_text(MAPPING)
    async with mosquitto(tmp_path) as port, home_at(port) as home:
        agent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(port), str(tmp_path / "map.toml")
        )
        assert json.loads(await home.command())["charge"] == -500
        assert await agent.wait() == -9
        assert await home.command() == "auto"


@needs_mosquitto
async def test_after_a_restart_of_the_broker_the_power_is_set_again(tmp_path: Path) -> None:
    port = free_port()
    mqtt = made(tmp_path, port)
    async with mosquitto(tmp_path, port):
        await mqtt.identify()
        await mqtt.apply(700.0, monotonic_ms() + 60_000)
    assert "the broker at" in await trouble_of(mqtt)
    async with mosquitto(tmp_path, port):
        await until_it_answers(port)
        async with home_at(port) as home:
            await mqtt.read()
            assert json.loads(await home.command())["charge"] == -700
        await mqtt.close()


async def test_a_broker_that_is_not_there_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    mqtt = made(tmp_path, free_port())
    for _ in range(2):
        with pytest.raises(DriverError, match=r"the broker at 127\.0\.0\.1"):
            await asyncio.wait_for(mqtt.identify(), PATIENCE_S)
    await mqtt.close()


async def test_a_mapping_without_a_command_is_measured_only(tmp_path: Path) -> None:
    mqtt = made(tmp_path, 1, MAPPING.split("[command]", maxsplit=1)[0])
    assert not mqtt.can.commandable
    assert mqtt.can.measure == {"soc", "battery_w"}
