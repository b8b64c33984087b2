"""The SunSpec driver on a Modbus server with a home behind it, and on devices that misbehave."""

import asyncio
from typing import Any

import pytest

from edge.driver import DriverError
from edge.drivers import sunspec
from edge.drivers.modbus import MOST_REGISTERS, Address, ModbusLink
from schemas.bodies import Quality
from tests.support.modbus_world import modbus_world
from tests.support.waiting import PATIENCE_S
from vpp_streams.process.ports import free_port

BOTH = pytest.mark.parametrize("make", ["der", "hybrid"])


@BOTH
async def test_a_device_is_known_by_its_registers(make: Any) -> None:
    async with modbus_world(make, soc=0.61) as world:
        identity = await world.driver.identify()
        assert (identity.model, identity.firmware) == (f"VPP simulated {make}", "1.0")
        assert identity.rated_energy_wh == 13_500
        assert (identity.rated_charge_w, identity.rated_discharge_w) == (5000, 5000)
        assert world.driver.can.commandable
        found = await world.measured()
        assert found.keys() == world.driver.can.measure
        assert found["soc"].value == pytest.approx(0.61, abs=1e-4)
        assert found["frequency_hz"].value == 50
        assert found["voltage_v"].value == 230
        assert found["load_w"].quality is Quality.ESTIMATED
        balance_w = found["grid_w"].value + found["battery_w"].value + found["solar_w"].value
        assert found["load_w"].value == pytest.approx(balance_w, abs=2)


@BOTH
@pytest.mark.parametrize("power_w", [2000.0, -3000.0, 0.0])
async def test_a_power_is_held_until_the_devices_own_timer_ends(make: Any, power_w: float) -> None:
    async with modbus_world(make) as world:
        await world.driver.identify()
        own_w = await world.battery_w()
        await world.driver.apply(power_w, world.now_ms + 20_000)
        for _ in range(19):
            world.now_ms += 1000
            assert await world.battery_w() == pytest.approx(power_w, abs=2)
        await world.driver.close()  # the agent dies
        world.now_ms += 1001
        assert (await world.inverter.advance()).battery_w == pytest.approx(own_w, abs=2)


@BOTH
async def test_a_release_returns_it_to_its_own_mode(make: Any) -> None:
    async with modbus_world(make) as world:
        await world.driver.identify()
        await world.driver.release()
        own_w = await world.battery_w()
        await world.driver.apply(4000.0, world.now_ms + 60_000)
        assert await world.battery_w() == 4000
        await world.driver.release()
        assert await world.battery_w() == pytest.approx(own_w, abs=2)


HOUR_MS = 3_600_000


async def test_a_power_on_the_ac_side_follows_the_sun() -> None:
    async with modbus_world("der", solar_w=6000.0) as world:
        world.day_ms = 8 * HOUR_MS
        await world.driver.identify()
        first = (await world.measured())["solar_w"].value
        await world.driver.apply(-1000.0, world.now_ms + 60_000)
        assert await world.battery_w() == pytest.approx(-1000.0, abs=30)
        world.day_ms = 9 * HOUR_MS
        await world.driver.read()
        assert (await world.measured())["solar_w"].value > first + 500
        assert await world.battery_w() == pytest.approx(-1000.0, abs=30)


async def test_a_reading_without_the_sun_does_not_move_the_battery() -> None:
    async with modbus_world("der", solar_w=6000.0) as world:
        world.day_ms = 10 * HOUR_MS
        await world.driver.identify()
        await world.driver.read()
        await world.driver.apply(-1000.0, world.now_ms + 60_000)
        world.inverter.registers.sun_is_silent = True
        for _ in range(3):
            assert "solar_w" not in await world.measured()
        await world.driver.apply(-1500.0, world.now_ms + 60_000)
        assert await world.battery_w() == pytest.approx(-1500.0, abs=30)


async def test_losses_between_battery_and_ac_side_are_corrected() -> None:
    async with modbus_world("der") as world:
        await world.driver.identify()
        world.inverter.loss_w = 150.0
        await world.driver.apply(-1000.0, world.now_ms + 60_000)
        assert await world.battery_w() == pytest.approx(-1150.0, abs=1)
        for _ in range(12):
            await world.driver.read()
        assert await world.battery_w() == pytest.approx(-1000.0, abs=30)
        world.inverter.loss_w = 3000.0
        for _ in range(30):
            await world.driver.read()
        assert await world.battery_w() == pytest.approx(-1000 - 3000 + 500, abs=30), "a limit"


async def test_a_device_without_a_timer_is_measured_and_not_commanded() -> None:
    async with modbus_world("der") as world:
        world.inverter.registers.without_timer()
        await world.driver.identify()
        assert not world.driver.can.commandable
        assert await world.battery_w() > 0
        with pytest.raises(DriverError, match="cannot be commanded"):
            await world.driver.apply(0.0, 1000)


async def test_the_meters_sign_is_the_owners_to_say() -> None:
    async with modbus_world("der") as world:
        await world.driver.identify()
        await world.driver.apply(-2000.0, 60_000)
        imported_w = (await world.measured())["grid_w"].value
        assert imported_w > 2000
        at = world.driver
        other = sunspec.SunSpec(
            sunspec.Options(host="127.0.0.1", meter="export"), at.link, lambda: world.now_ms
        )
        await other.identify()
        (grid,) = [r for r in await other.read() if r.quantity == "grid_w"]
        assert grid.value == -imported_w


async def test_nobody_there_is_an_error_and_not_a_wait() -> None:
    driver = sunspec.driver(sunspec.Options(host="127.0.0.1", port=free_port()))
    with pytest.raises(DriverError, match="does not answer"):
        await driver.identify()
    await driver.close()


Answer = Any
"""From a request's bytes to the answer's; None = nothing is answered."""


async def faulty(answer: Answer) -> tuple[asyncio.Server, ModbusLink]:
    """A server that answers every request by a function, and a link to it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(7)
                request = await reader.readexactly(int.from_bytes(head[4:6]) - 1)
                made = answer(head, request)
                if made is not None:
                    writer.write(made)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, ModbusLink(Address(host="127.0.0.1", port=port, timeout_s=0.2))


def framed(head: bytes, body: bytes) -> bytes:
    return head[:4] + (len(body) + 1).to_bytes(2) + head[6:7] + body


FAULTS = {
    "nothing": lambda _head, _request: None,
    "an exception": lambda head, request: framed(head, bytes([request[0] | 0x80, 2])),
    "too few registers": lambda head, _request: framed(head, b"\x03\x02\x00\x01"),
    "too many registers": lambda head, _request: framed(head, b"\x03\x08" + bytes(8)),
    "cut short": lambda head, _request: framed(head, b"\x03\x04\x00\x01\x00\x02")[:-2],
    "a length that is not true": lambda head, _request: framed(head, b"\x03\xff\x00\x01"),
    "another function": lambda head, _request: framed(head, b"\x04\x04\x00\x01\x00\x02"),
    "another transaction": lambda head, _request: framed(
        b"\xee\xee" + head[2:], b"\x03\x04\x00\x01\x00\x02"
    ),
    "noise": lambda _head, _request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_answer_that_is_wrong_is_an_error(fault: str) -> None:
    server, link = await faulty(FAULTS[fault])
    async with server:
        with pytest.raises(DriverError):
            await asyncio.wait_for(link.read(40000, 2), PATIENCE_S)
        link.close()


async def test_the_link_works_again_after_a_fault() -> None:
    answers = iter([None, b"\x03\x04Su\x6e\x53"])

    def answer(head: bytes, _request: bytes) -> bytes | None:
        body = next(answers)
        return None if body is None else framed(head, body)

    server, link = await faulty(answer)
    async with server:
        with pytest.raises(DriverError):
            await link.read(40000, 2)
        assert await link.read(40000, 2) == [0x5375, 0x6E53]
        link.close()


async def test_long_models_are_read_in_parts() -> None:
    counts = []

    def answer(head: bytes, request: bytes) -> bytes:
        count = int.from_bytes(request[3:5])
        counts.append(count)
        first = int.from_bytes(request[1:3])
        words = b"".join((first + n).to_bytes(2) for n in range(count))
        return framed(head, bytes([3, 2 * count]) + words)

    server, link = await faulty(answer)
    async with server:
        assert await link.read(100, 250) == list(range(100, 350))
        assert counts == [MOST_REGISTERS, MOST_REGISTERS, 10]
        link.close()


@pytest.mark.parametrize(
    ("registers", "words"),
    [
        ([0x5375, 0x6E53, 1, 66, *[0] * 66, 103, 9999], "the list of models is damaged"),
        ([0x1234, 0x5678], "has no SunSpec map"),
    ],
)
async def test_a_map_that_is_damaged_is_an_error(registers: list[int], words: str) -> None:
    def answer(head: bytes, request: bytes) -> bytes:
        first, count = int.from_bytes(request[1:3]) - 40000, int.from_bytes(request[3:5])
        if first < 0 or first + count > len(registers):
            return framed(head, bytes([request[0] | 0x80, 2]))
        body = b"".join(word.to_bytes(2) for word in registers[first : first + count])
        return framed(head, bytes([3, 2 * count]) + body)

    server, link = await faulty(answer)
    async with server:
        driver = sunspec.SunSpec(sunspec.Options(host="127.0.0.1"), link)
        with pytest.raises(DriverError, match=words):
            await asyncio.wait_for(driver.identify(), PATIENCE_S)
        await driver.close()


async def test_a_list_of_models_that_does_not_end_is_an_error() -> None:
    def answer(head: bytes, request: bytes) -> bytes:
        first, count = int.from_bytes(request[1:3]), int.from_bytes(request[3:5])
        words = [0x5375, 0x6E53] if first == 40000 else [64_001, 0][:count]
        body = b"".join(word.to_bytes(2) for word in words)
        return framed(head, bytes([3, len(body)]) + body)

    server, link = await faulty(answer)
    async with server:
        driver = sunspec.SunSpec(sunspec.Options(host="127.0.0.1"), link)
        with pytest.raises(DriverError, match="does not end"):
            await asyncio.wait_for(driver.identify(), PATIENCE_S)
        await driver.close()
