"""Hardware that is slow, silent, stuck or broken: no call holds up the agent."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from edge.driver import DriverError, Identity, Reading, Readings
from edge.driver_calls import DriverCalls, DriverStuckError
from edge.drivers.simulated import Options, SimulatedHome
from edge.home import Power
from edge.inverter import Held, Inverter, is_due


class Faulty(SimulatedHome):
    """A simulated inverter whose next calls do something else first."""

    def __init__(self) -> None:
        super().__init__(Options())
        self.fault: Callable[[], Awaitable[None]] | None = None
        self.calls: list[str] = []

    async def _do(self, name: str) -> None:
        self.calls.append(name)
        if self.fault is not None:
            await self.fault()

    async def read(self) -> Readings:
        await self._do("read")
        return (Reading("soc", 0.5),)

    async def apply(self, power_w: float, until_ms: int) -> None:
        await self._do(f"apply {power_w:g}")

    async def release(self) -> None:
        await self._do("release")


@pytest.fixture(autouse=True)
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("READ_S", "APPLY_S"):
        monkeypatch.setattr(f"edge.driver_calls.{name}", 0.05)


def calls_of(driver: Faulty) -> tuple[DriverCalls, Counter[str]]:
    counters: Counter[str] = Counter()
    return DriverCalls(driver, counters), counters


async def test_a_call_that_works() -> None:
    calls, counters = calls_of(Faulty())
    assert await calls.read() == (Reading("soc", 0.5),)
    assert await calls.apply(100.0, 1)
    assert isinstance(await calls.identify(), Identity)
    assert (counters["driver_read_ok"], calls.trouble) == (1, "")


async def test_a_silent_device_is_given_up_and_asked_again() -> None:
    driver = Faulty()
    calls, counters = calls_of(driver)
    driver.fault = asyncio.Event().wait  # type: ignore[assignment]  # what it returns is not used
    assert await calls.read() is None
    assert not await calls.release()
    assert (counters["driver_read_timeout"], counters["driver_release_timeout"]) == (1, 1)
    assert "no answer within 0.05 s" in calls.trouble
    driver.fault = None
    assert await calls.read() is not None
    assert calls.trouble == ""


async def test_a_call_that_ignores_its_end_blocks_no_other_for_long_and_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = Faulty()
    calls, counters = calls_of(driver)
    may_end = asyncio.Event()

    async def stubborn() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    driver.fault = stubborn
    assert await calls.read() is None
    assert await calls.read() is None
    assert (driver.calls, counters["driver_busy"]) == (["read"], 1)
    monkeypatch.setattr("edge.driver_calls.STUCK_S", 0.0)
    with pytest.raises(DriverStuckError):
        await calls.read()
    may_end.set()
    driver.fault = None
    assert await calls.read() is not None


@pytest.mark.parametrize("error", [DriverError("register 40071 is empty"), OSError("no route")])
async def test_a_device_that_fails_is_counted(error: Exception) -> None:
    driver = Faulty()
    calls, counters = calls_of(driver)

    async def fail() -> None:
        raise error

    driver.fault = fail
    assert await calls.read() is None
    assert (counters["driver_read_error"], calls.trouble) == (1, f"read: {error}")


async def test_a_bug_of_a_driver_is_not_swallowed() -> None:
    driver = Faulty()
    calls, _ = calls_of(driver)

    async def bug() -> None:
        raise KeyError("typo")

    driver.fault = bug
    with pytest.raises(KeyError):
        await calls.read()


def test_a_command_is_repeated_only_if_it_has_to_be() -> None:
    held = Held(3000.0, 60_000)
    assert is_due(None, Power(3000.0, 60_000), 0)
    assert not is_due(held, Power(3000.0, 60_000), 1000)
    assert not is_due(held, Power(3029.0, 60_000), 1000)
    assert is_due(held, Power(3031.0, 60_000), 1000)
    assert not is_due(held, Power(3000.0, 60_000), 29_000)
    assert is_due(held, Power(3000.0, 60_000), 31_000), "less than half of the timer is left"
    assert is_due(held, Power(3000.0, 5000), 1000), "it would hold it for too long"
    assert is_due(held, Power(3000.0, 60_000), 60_000)


async def test_an_inverter_is_released_once_and_commanded_again_if_it_did_not_answer() -> None:
    driver = Faulty()
    calls, _ = calls_of(driver)
    inverter = Inverter(calls)
    await inverter.follow(None, 0)
    await inverter.follow(None, 1000)
    assert driver.calls == ["release"]

    async def fail() -> None:
        raise DriverError("busy")

    driver.fault = fail
    await inverter.follow(Power(500.0, 60_000), 2000)
    assert inverter.held is None
    driver.fault = None
    await inverter.follow(Power(500.0, 60_000), 3000)
    assert inverter.held == Held(500.0, 63_000)
    await inverter.follow(None, 4000)
    assert driver.calls == ["release", "apply 500", "apply 500", "release"]
