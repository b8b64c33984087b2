"""A Modbus link, TCP or RTU, with deadlines: the shell around pymodbus.

Every failure of the link or of the device is a `edge.driver.DriverError`: an answer that is cut
short or of a wrong length, an exception code, no answer. After one, the next call connects again.
"""

import logging
from dataclasses import dataclass

from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from edge.driver import DriverError

MOST_REGISTERS = 120
"""Registers of one request; the protocol allows 125, and some gateways a few less."""
_READ = 3
# Every failure is raised, and reported once by whoever asked; the library would say it each time.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a device is: on TCP, or on a serial line."""

    host: str = ""
    port: int = 502
    serial: str = ""
    """A serial device such as /dev/ttyUSB0, in place of ``host``."""
    baud: int = 9600
    unit: int = 1
    timeout_s: float = 1.0

    def __str__(self) -> str:
        where = self.serial or f"{self.host} port {self.port}"
        return f"{where}, unit {self.unit}"


class ModbusLink:
    """The holding registers of one device."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None

    async def read(self, address: int, count: int) -> list[int]:
        """Registers from an address on."""
        found: list[int] = []
        while len(found) < count:
            part = min(count - len(found), MOST_REGISTERS)
            found += await self._read(address + len(found), part)
        return found

    async def _read(self, address: int, count: int) -> list[int]:
        client = await self._connected()
        unit = self.address.unit
        try:
            answer = await client.read_holding_registers(address, count=count, device_id=unit)
        except ModbusException as error:
            raise self._failed(f"registers from {address} cannot be read: {error}") from None
        # pymodbus accepts the answer to another function, whose registers are others.
        wrong = answer.isError() or answer.function_code != _READ
        if wrong or len(answer.registers) != count:
            raise DriverError(
                f"{self.address} does not give {count} registers from {address}: {answer}"
            )
        return list(answer.registers)

    async def write(self, address: int, registers: tuple[int, ...]) -> None:
        """Write registers from an address on, in one request."""
        client = await self._connected()
        unit = self.address.unit
        try:
            answer = await client.write_registers(address, list(registers), device_id=unit)
        except ModbusException as error:
            raise self._failed(f"registers from {address} cannot be written: {error}") from None
        if answer.isError():
            raise DriverError(f"{self.address} refuses to write registers from {address}: {answer}")

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _connected(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        client = self._client
        if client is not None and client.connected:
            return client
        self.close()
        self._client = client = self._new()
        if not await client.connect():
            raise self._failed("it does not answer")
        return client

    def _new(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        at = self.address
        if at.serial:
            return AsyncModbusSerialClient(
                at.serial,
                framer=FramerType.RTU,
                baudrate=at.baud,
                timeout=at.timeout_s,
                retries=0,
                reconnect_delay=0,
            )
        return AsyncModbusTcpClient(
            at.host, port=at.port, timeout=at.timeout_s, retries=0, reconnect_delay=0
        )

    def _failed(self, words: str) -> DriverError:
        self.close()
        return DriverError(f"{self.address}: {words}")
