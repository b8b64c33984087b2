"""A simulated home behind an inverter that speaks SunSpec over Modbus TCP, as a process.

    python -m device_sim.modbus_inverter --port 1502 --make der

The home is that of `edge.drivers.simulated`. What the inverter is asked for by its registers it
holds until its own timer ends, whoever asked has died or not; then it returns to its own mode.
``--log FILE`` writes one line for each reading that was taken of it: what a meter of its own saw.
"""

import argparse
import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pymodbus.constants import ExcCodes
from pymodbus.datastore import ModbusServerContext
from pymodbus.datastore.context import ModbusBaseDeviceContext
from pymodbus.server import ModbusTcpServer

from device_sim.sunspec_registers import Make, Measured, Ratings, Registers
from edge.clock import monotonic_ms, utc_ms
from edge.drivers.simulated import Options, SimulatedHome

_READ, _WRITE_ONE, _WRITE_MANY = 3, 6, 16
_FOR_EVER_MS = 2**62
_BATTERY_MODELS = {"der": 714, "hybrid": 160}
LOG_HEAD = "t_ms,battery_w,soc\n"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a reading of the battery showed: when (ms UTC), W and 0..1."""

    t_ms: int
    battery_w: float
    soc: float


class Inverter(ModbusBaseDeviceContext):
    """The inverter's registers, its timer, and the home behind it."""

    def __init__(
        self,
        make: Make,
        options: Options,
        *,
        on_taken: Callable[[Taken], None] = lambda _taken: None,
        now_ms: Callable[[], int] = monotonic_ms,
        clock_ms: Callable[[], int] = utc_ms,
    ) -> None:
        self._home = SimulatedHome(options, now_ms=now_ms, clock_ms=clock_ms)
        self._now_ms, self._on_taken = now_ms, on_taken
        self._until_ms: int | None = None
        self.loss_w = 0.0
        """What is missing of a power on the AC side."""
        ratings = Ratings(
            energy_wh=options.energy_wh,
            charge_w=options.charge_w,
            discharge_w=options.discharge_w,
            solar_w=options.solar_w,
        )
        self.registers = Registers(make, ratings, serial="1")

    async def async_getValues(  # noqa: N802 - pymodbus's name
        self, func_code: int, address: int, count: int = 1
    ) -> list[int] | ExcCodes:
        """Answer a request to read."""
        if func_code != _READ:
            return ExcCodes.ILLEGAL_FUNCTION
        now = await self.advance()
        if self.registers.covers(address, count, _BATTERY_MODELS[self.registers.make]):
            self._on_taken(Taken(utc_ms(), round(now.battery_w), round(now.soc, 4)))
        return self.registers.read(address, count) or ExcCodes.ILLEGAL_ADDRESS

    async def async_setValues(  # noqa: N802 - pymodbus's name
        self, func_code: int, address: int, values: list[int] | list[bool]
    ) -> ExcCodes | None:
        """Answer a request to write; each one starts the timer again."""
        if func_code not in (_WRITE_ONE, _WRITE_MANY):
            return ExcCodes.ILLEGAL_FUNCTION
        if not self.registers.write(address, values):
            return ExcCodes.ILLEGAL_ADDRESS
        order = self.registers.order()
        if order is None:
            self._until_ms = None
        else:
            after_ms = order.seconds * 1000 if order.seconds else _FOR_EVER_MS
            self._until_ms = self._now_ms() + after_ms
        await self.advance()
        return None

    async def advance(self) -> Measured:
        """Move the home to now, and do what the registers ask for."""
        if self._until_ms is not None and self._now_ms() >= self._until_ms:
            self.registers.revert()
            self._until_ms = None
        values = {reading.quantity: reading.value for reading in await self._home.read()}
        order = self.registers.order()
        if order is None or self._until_ms is None:
            await self._home.release()
        else:
            lost_w = values["solar_w"] + self.loss_w
            power_w = order.power_w - (lost_w if order.of_ac else 0.0)
            await self._home.apply(power_w, self._until_ms)
        battery_w = self._home.battery_w
        now = Measured(
            battery_w=battery_w,
            solar_w=values["solar_w"],
            grid_w=values["load_w"] - values["solar_w"] - battery_w,
            soc=values["soc"],
            hz=values["frequency_hz"],
            volts=values["voltage_v"],
        )
        self.registers.measure(now)
        return now


def _only(inverter: Inverter) -> ModbusServerContext:
    """The inverter for whichever unit is asked."""
    return ModbusServerContext(inverter, single=True)  # type: ignore[no-untyped-call]


async def serve(inverter: Inverter, host: str, port: int) -> ModbusTcpServer:
    """Serve an inverter in the background; stopped by the server's ``shutdown``."""
    server = ModbusTcpServer(_only(inverter), address=(host, port))
    await server.serve_forever(background=True)
    return server


async def _run(options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    home = Options(soc=options.soc, load_w=options.load_w, solar_w=options.solar_w)
    log = _Log(options.log)
    server = await serve(
        Inverter(options.make, home, on_taken=log.write), options.host, options.port
    )
    print(f"an inverter of make {options.make} listens on port {options.port}", flush=True)  # noqa: T201
    await stopping.wait()
    await server.shutdown()  # type: ignore[no-untyped-call]


class _Log:
    """The readings that were taken, as CSV; without a path, nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            path.write_text(LOG_HEAD)

    def write(self, taken: Taken) -> None:
        """Add a reading; it is in the file before the answer leaves."""
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(f"{taken.t_ms},{taken.battery_w:.0f},{taken.soc:.4f}\n")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--make", choices=["der", "hybrid"], default="der", help="which models")
    parser.add_argument("--soc", type=float, default=0.6, help="state of charge at the start, 0..1")
    parser.add_argument("--load-w", type=float, default=700.0, help="mean load of the household")
    parser.add_argument("--solar-w", type=float, default=6000.0, help="solar power at noon, UTC")
    parser.add_argument("--log", type=Path, help="CSV of the readings that were taken of it")
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
