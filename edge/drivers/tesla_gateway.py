"""Tesla's gateway in the home's network, by pypowerwall: measured only.

The gateway's local interface takes no power to hold, so that a home with it is measured and not
commanded. (pypowerwall's ``dispatch_battery_power`` uses an undocumented command that overrides the
owner's reserve, which is not this driver's to give away.)
"""

import asyncio
import math
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from pypowerwall import Powerwall

from edge.driver import Capabilities, DriverError, Identity, Quantity, Readings
from edge.drivers.plausible import readings_from
from edge.vendor_fields.document import at, number
from edge.vendor_fields.tesla_gateway import WITHHELD, fields_of

T = TypeVar("T")

_POWERS: frozenset[Quantity] = frozenset({"battery_w", "grid_w", "solar_w", "load_w"})
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

    can = Capabilities(measure=_POWERS | {"soc", "frequency_hz", "voltage_v", "islanded"})

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
    """The readings in three documents."""
    meters = aggregates if isinstance(aggregates, dict) else {}
    others = {"percentage": at(soe, "percentage"), "grid_status": at(grid, "grid_status")}
    return readings_from(fields_of({**meters, **others}))


def identity_of(status: Any, system: Any) -> Identity:
    """The gateway by its status, and what its batteries can do."""
    return Identity(
        model="Tesla Powerwall",
        firmware=str(at(status, "version") or "")[:64],
        rated_energy_wh=_known(system, "nominal_full_pack_energy") * (1 - WITHHELD),
        rated_charge_w=_known(system, "max_charge_power"),
        rated_discharge_w=_known(system, "max_discharge_power"),
    )


def _known(document: Any, key: str) -> float:
    """A rating; 0 = it is not told."""
    rating = number(at(document, key))
    return 0.0 if math.isnan(rating) else rating


def driver(options: Options) -> TeslaGateway:
    """The driver of a configuration."""
    return TeslaGateway(options)
