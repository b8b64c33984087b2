"""A simulated inverter on a free port, and the driver that talks to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from device_sim.modbus_inverter import Inverter, Taken, serve
from device_sim.sunspec_registers import Make
from edge.driver import Quantity, Reading
from edge.drivers import sunspec
from edge.drivers.simulated import Options
from edge.drivers.sunspec import SunSpec
from vpp_streams.process.ports import free_port


@dataclass
class ModbusWorld:
    """``now_ms`` is the inverter's and the driver's monotonic clock, which a test moves."""

    now_ms: int = 0
    day_ms: int = 0
    """The inverter's calendar: midnight UTC, without sun."""
    taken: list[Taken] = field(default_factory=list)
    inverter: Inverter = field(init=False)
    driver: SunSpec = field(init=False)
    port: int = 0
    on_taken: Callable[[], None] = lambda: None
    """Called whenever a reading was taken."""

    def take(self, taken: Taken) -> None:
        """Remember a reading that was taken of the inverter."""
        self.taken.append(taken)
        self.on_taken()

    async def measured(self) -> dict[Quantity, Reading]:
        """One reading, by quantity."""
        return {reading.quantity: reading for reading in await self.driver.read()}

    async def battery_w(self) -> float:
        """The battery's measured power, W."""
        return (await self.measured())["battery_w"].value


@asynccontextmanager
async def modbus_world(make: Make, **options: float) -> AsyncIterator[ModbusWorld]:
    """An inverter of a make with a home at night, unless ``options`` say otherwise."""
    world = ModbusWorld()
    values: dict[str, Any] = {"solar_w": 0.0, "load_w": 500.0, **options}
    home = Options(**values)
    world.inverter = Inverter(
        make,
        home,
        on_taken=world.take,
        now_ms=lambda: world.now_ms,
        clock_ms=lambda: world.day_ms,
    )
    world.port = free_port()
    server = await serve(world.inverter, "127.0.0.1", world.port)
    at = sunspec.Options(host="127.0.0.1", port=world.port)
    world.driver = sunspec.driver(at, now_ms=lambda: world.now_ms)
    try:
        yield world
    finally:
        await world.driver.close()
        await server.shutdown()  # type: ignore[no-untyped-call]
