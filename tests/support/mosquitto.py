"""A real MQTT broker, Mosquitto, for a test."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt

from vpp_streams.process.ports import free_port

BINARY = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


async def until_it_answers(port: int) -> None:
    """Wait for the broker, which says nothing when it is ready."""
    for _ in range(100):
        try:
            async with aiomqtt.Client("127.0.0.1", port, timeout=1):
                return
        except aiomqtt.MqttError:
            await asyncio.sleep(0.05)
    raise TimeoutError("mosquitto does not start")


@asynccontextmanager
async def mosquitto(folder: Path, port: int | None = None) -> AsyncIterator[int]:
    """Run a broker without persistence; yields its port."""
    assert BINARY is not None
    port = port or free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = await asyncio.create_subprocess_exec(
        BINARY, "-c", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=sys.stderr
    )
    try:
        await until_it_answers(port)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
