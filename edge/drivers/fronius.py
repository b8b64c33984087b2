"""Fronius inverters: measured by the Solar API of their local page, commanded by SunSpec.

The Solar API is there without any setting, but only reads; with ``modbus_port`` ("Modbus TCP" on
the inverter's page, with inverter control allowed), the battery is commanded by the inverter's
storage model, whose own timer ends a power.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from edge.driver import Capabilities, DriverError, Identity, Quantity, Readings
from edge.drivers import sunspec
from edge.drivers.http_get import get_json
from edge.drivers.plausible import readings_from
from edge.vendor_fields.document import at, items, number
from edge.vendor_fields.fronius import power_flow

_POWER_FLOW = "/solar_api/v1/GetPowerFlowRealtimeData.fcgi"
_STORAGE = "/solar_api/v1/GetStorageRealtimeData.cgi?Scope=System"
_INVERTERS = "/solar_api/v1/GetInverterInfo.cgi"

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the inverter is."""

    host: str
    port: Port = 80
    modbus_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Usually 502; 0 = the home is measured only."""
    modbus_unit: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1


class Fronius:
    """A `edge.driver.Driver`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._modbus: sunspec.SunSpec | None = None
        if options.modbus_port:
            at = sunspec.Options(
                host=options.host, port=options.modbus_port, unit=options.modbus_unit
            )
            self._modbus = sunspec.driver(at)
        self._measures: frozenset[Quantity] = frozenset()

    @property
    def can(self) -> Capabilities:
        """See `edge.driver.Driver.can`."""
        if self._modbus is None:
            return Capabilities(measure=self._measures)
        return replace(self._modbus.can, measure=self._measures)

    async def identify(self) -> Identity:
        """See `edge.driver.Driver.identify`."""
        told = identity_of(await self._get(_INVERTERS), await self._get(_STORAGE))
        if self._modbus is not None:
            named = await self._modbus.identify()
            told = replace(
                named,
                rated_energy_wh=told.rated_energy_wh or named.rated_energy_wh,
                rated_solar_w=told.rated_solar_w or named.rated_solar_w,
            )
        self._measures = frozenset(reading.quantity for reading in await self.read())
        if told.rated_energy_wh:  # a battery that is silent at this moment has them later
            self._measures |= {"battery_w", "soc"}
        return told

    async def read(self) -> Readings:
        """See `edge.driver.Driver.read`; what the Solar API lacks comes by SunSpec."""
        found = readings_of(await self._get(_POWER_FLOW))
        if self._modbus is None:
            return found
        known = {reading.quantity for reading in found}
        others = await self._modbus.read()
        return (
            *found,
            *(
                r
                for r in others
                if r.quantity in ("frequency_hz", "voltage_v") and r.quantity not in known
            ),
        )

    async def apply(self, power_w: float, until_ms: int) -> None:
        """See `edge.driver.Driver.apply`."""
        await self._commanded().apply(power_w, until_ms)

    async def release(self) -> None:
        """See `edge.driver.Driver.release`."""
        await self._commanded().release()

    async def close(self) -> None:
        """See `edge.driver.Driver.close`."""
        if self._modbus is not None:
            await self._modbus.close()

    def _commanded(self) -> sunspec.SunSpec:
        if self._modbus is None:
            raise DriverError("without modbus_port this inverter is measured only")
        return self._modbus

    async def _get(self, path: str) -> Any:
        document = await get_json(self._options.host, self._options.port, path)
        status = at(document, "Head", "Status")
        if at(status, "Code") != 0:
            reason = str(at(status, "Reason") or "it gives no reason")
            raise DriverError(f"{self._options.host} refuses {path}: {reason[:120]}")
        return at(document, "Body", "Data")


def readings_of(data: Any) -> Readings:
    """The readings in a power flow."""
    fields = power_flow(data)
    return () if fields is None else readings_from(fields)


def identity_of(inverters: Any, storage: Any) -> Identity:
    """The system by its lists of inverters and batteries."""
    controllers = [at(each, "Controller") for each in items(storage)]
    names = [at(each, "Details", "Model") for each in controllers]
    return Identity(
        model=" ".join(["Fronius", *(name.strip() for name in names if isinstance(name, str))])[
            :64
        ],
        firmware="",
        rated_energy_wh=_sum(at(each, "Capacity_Maximum") for each in controllers),
        rated_solar_w=_sum(at(each, "PVPower") for each in items(inverters)),
    )


def _sum(values: Iterator[Any]) -> float:
    return sum(known for known in map(number, values) if known > 0)


def driver(options: Options) -> Fronius:
    """The driver of a configuration."""
    return Fronius(options)
