"""Tesla's gateway in the home's network, by pypowerwall: measured only.

The gateway's local interface takes no power to hold, so that a home with it is measured and not
commanded. (pypowerwall's ``dispatch_battery_power`` uses an undocumented command that overrides the
owner's reserve, which is not this driver's to give away.)
"""

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pypowerwall import Powerwall

from edge.driver import Capabilities, DriverError, Identity, Quantity, Readings
from edge.drivers.json_values import at, number
from edge.drivers.plausible import reading_of

T = TypeVar("T")

_METERS: dict[Quantity, str] = {
    "battery_w": "battery",
    "grid_w": "site",
    "solar_w": "solar",
    "load_w": "load",
}
_ISLANDED = {"SystemGridConnected": 0.0, "SystemIslandedActive": 1.0, "SystemIslandedReady": 1.0}
_OLDEST_S = 60.0
"""A meter that is read less often than the newest one by this is not measured now."""
_WITHHELD = 5.0
"""Percent of the battery that the gateway counts and nobody can use."""
_TIMEOUT_S = 2


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway and its customer's login."""

    host: str
    password_file: str
    email: str = "customer@example.com"
    """The gateway wants one, and accepts any."""

    def __post_init__(self) -> None:
        if not Path(self.password_file).is_file():
            raise ValueError(f"password_file: there is no file {self.password_file}")


class TeslaGateway:
    """A `edge.driver.Driver`. pypowerwall blocks, so that it has one thread of its own."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._powerwall: Powerwall | None = None
        self._thread = ThreadPoolExecutor(1, "tesla_gateway")
        self._session = tempfile.TemporaryDirectory()
        self._busy: asyncio.Future[Any] | None = None

    can = Capabilities(measure=frozenset({*_METERS, "soc", "frequency_hz", "islanded"}))

    async def identify(self) -> Identity:
        """See `edge.driver.Driver.identify`."""
        return await self._call(lambda powerwall: identity_of(*_asked(powerwall, _STATUS, _SYSTEM)))

    async def read(self) -> Readings:
        """See `edge.driver.Driver.read`."""
        documents = await self._call(lambda powerwall: _asked(powerwall, _AGGREGATES, _SOE, _GRID))
        if documents[0] is None:
            raise DriverError(f"the gateway at {self._options.host} does not give its meters")
        return readings_of(*documents)

    async def apply(self, power_w: float, until_ms: int) -> None:  # noqa: ARG002 - as the interface
        """See `edge.driver.Driver.apply`."""
        raise DriverError("a Tesla gateway is measured only")

    async def release(self) -> None:
        """See `edge.driver.Driver.release`."""
        raise DriverError("a Tesla gateway is measured only")

    async def close(self) -> None:
        """See `edge.driver.Driver.close`."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._session.cleanup()

    async def _call(self, ask: Callable[[Powerwall], T]) -> T:
        if self._busy is not None and not self._busy.done():
            raise DriverError(f"the gateway at {self._options.host} still holds the call before")
        loop = asyncio.get_running_loop()
        self._busy = calling = loop.run_in_executor(self._thread, self._asked, ask)
        return await asyncio.shield(calling)  # a thread cannot be cancelled; the next call waits

    def _asked(self, ask: Callable[[Powerwall], T]) -> T:
        """In the thread: connect if need be, and ask."""
        options = self._options
        try:
            if self._powerwall is None:
                self._powerwall = Powerwall(
                    options.host,
                    Path(options.password_file).read_text(encoding="utf-8").strip(),
                    options.email,
                    pwcacheexpire=0,
                    timeout=_TIMEOUT_S,
                    cachefile=str(Path(self._session.name) / "session"),
                    failover=False,
                )
            if not self._powerwall.is_connected():
                raise DriverError(
                    f"the gateway at {options.host} does not answer, or refuses login"
                )
            return ask(self._powerwall)
        except DriverError:
            self._powerwall = None
            raise
        except Exception as error:  # the library raises whatever its parts do
            self._powerwall = None
            raise DriverError(f"the gateway at {options.host}: {error!r}"[:200]) from None


_AGGREGATES, _SOE = "/api/meters/aggregates", "/api/system_status/soe"
_GRID, _STATUS, _SYSTEM = "/api/system_status/grid_status", "/api/status", "/api/system_status"


def _asked(powerwall: Powerwall, *paths: str) -> list[Any]:
    return [powerwall.poll(path) for path in paths]


def readings_of(aggregates: Any, soe: Any, grid: Any) -> Readings:
    """The readings in three documents; their signs are the canonical ones."""
    meters = {quantity: at(aggregates, name) for quantity, name in _METERS.items()}
    powers = {q: number(at(meter, "instant_power")) for q, meter in meters.items()}
    percent = number(at(soe, "percentage"))
    if not any(powers.values()) and not percent:
        return ()  # a gateway that starts shows 0 for everything
    lost = _lost(meters)
    if any(powers[quantity] for quantity in lost):
        lost |= {"load_w"}  # the gateway computes it from its meters, one of which is old here
    found = [reading_of(q, power_w) for q, power_w in powers.items() if q not in lost]
    if percent is not None:
        found.append(reading_of("soc", max(percent - _WITHHELD, 0.0) / (100.0 - _WITHHELD)))
    hz = [number(at(meters[q], "frequency")) for q in ("grid_w", "battery_w", "load_w")]
    found.append(reading_of("frequency_hz", next((each for each in hz if each), None)))
    found.append(reading_of("islanded", _ISLANDED.get(str(at(grid, "grid_status")))))
    return tuple(reading for reading in found if reading is not None)


def identity_of(status: Any, system: Any) -> Identity:
    """The gateway by its status, and what its batteries can do."""
    return Identity(
        model="Tesla Powerwall",
        firmware=str(at(status, "version") or "")[:64],
        rated_energy_wh=(number(at(system, "nominal_full_pack_energy")) or 0.0)
        * (1 - _WITHHELD / 100),
        rated_charge_w=number(at(system, "max_charge_power")) or 0.0,
        rated_discharge_w=number(at(system, "max_discharge_power")) or 0.0,
    )


def _lost(meters: dict[Quantity, Any]) -> set[Quantity]:
    """Meters that are not there, or whose last value is far older than the newest one."""
    absent = {q for q, meter in meters.items() if at(meter, "num_meters_aggregated") == 0}
    times = {q: _time_s(at(meter, "last_communication_time")) for q, meter in meters.items()}
    known = {q: time for q, time in times.items() if time is not None}
    newest = max(known.values(), default=0.0)
    return absent | {q for q, time in known.items() if newest - time > _OLDEST_S}


def _time_s(text: Any) -> float | None:
    """The time in a text such as 2021-10-17T07:23:34.289652105-07:00."""
    if not isinstance(text, str) or text.startswith("0001-"):
        return None
    head, dot, tail = text.partition(".")
    zone = tail.lstrip("0123456789") if dot else ""
    try:
        return datetime.fromisoformat(head + zone.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def driver(options: Options) -> TeslaGateway:
    """The driver of a configuration."""
    return TeslaGateway(options)
