"""Inverters and batteries that speak SunSpec over Modbus TCP or RTU.

The device is held to what it says of itself: which models it has, what it measures, and whether its
own timer ends a power that was set. One that has no such timer is measured only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import msgspec

from edge.clock import monotonic_ms
from edge.driver import Capabilities, DriverError, Identity, Quantity, Readings
from edge.drivers.modbus import Address, ModbusLink
from edge.drivers.sunspec_controls import Control, control_of
from edge.drivers.sunspec_map import (
    BASES,
    END_ID,
    MARK,
    MOST_MODELS,
    Place,
    Values,
    is_known,
    is_sound,
    values_of,
)
from edge.drivers.sunspec_quantities import (
    COMMON,
    MEASURED,
    NAMEPLATES,
    Powers,
    identity_of,
    powers_of,
    readings_of,
)

_TRIM = 0.3
"""How much of what is newly seen to be lost between battery and AC side counts at once."""
_MOST_TRIM = 0.1
"""Largest correction, as a share of the battery's rating: losses are less than that."""
_WORTH_W = 25.0
"""A correction that is smaller than this is not written."""

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the device is, and what it does not say of itself."""

    host: str = ""
    port: Port = 502
    serial: str = ""
    """A serial line such as /dev/ttyUSB0, in place of ``host``."""
    baud: Annotated[int, msgspec.Meta(ge=1200, le=115_200)] = 9600
    unit: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1
    meter: Literal["import", "export"] = "import"
    """What the meter at the grid connection counts as positive; `vpp edge probe` finds out."""
    energy_wh: Annotated[float, msgspec.Meta(ge=0, le=1e7)] = 0.0
    """Usable energy of the battery, if the device does not tell it."""

    def __post_init__(self) -> None:
        if bool(self.host) == bool(self.serial):
            raise ValueError("give either host, or serial")


@dataclass(slots=True)
class _Hold:
    """A battery power that the device was asked to hold, and how it was asked."""

    power_w: float
    until_ms: int
    written_w: float
    """The power in its registers; on the AC side it is another than the battery's."""
    trim_w: float = 0.0


class SunSpec:
    """A `edge.driver.Driver`. ``now_ms`` is the monotonic clock."""

    def __init__(
        self, options: Options, link: ModbusLink, now_ms: Callable[[], int] = monotonic_ms
    ) -> None:
        self.places: tuple[Place, ...] = ()
        """The device's models, as it lists them."""
        self.link = link
        self._options, self._now_ms = options, now_ms
        self._measured: tuple[Place, ...] = ()
        self._control: Control | None = None
        self._most_trim_w = 0.0
        self._measures: frozenset[Quantity] = frozenset()
        self._hold: _Hold | None = None
        self._solar_w = 0.0
        """The newest that was measured: a reading without it does not move the battery."""

    @property
    def can(self) -> Capabilities:
        """See `edge.driver.Driver.can`."""
        commands = self._control is not None
        return Capabilities(measure=self._measures, set_power=commands, reverts_itself=commands)

    async def identify(self) -> Identity:
        """See `edge.driver.Driver.identify`."""
        self.places = await self._listed()
        self._measured = tuple(p for p in self.places if p.model_id in MEASURED)
        asked = (COMMON, *NAMEPLATES, *MEASURED, 704)
        models = [await self._values(p) for p in self.places if p.model_id in asked]
        identity = identity_of(models)
        if self._options.energy_wh:
            identity = replace(identity, rated_energy_wh=self._options.energy_wh)
        self._control = control_of(
            self.places,
            models,
            charge_w=identity.rated_charge_w,
            discharge_w=identity.rated_discharge_w,
        )
        ratings_w = max(identity.rated_charge_w, identity.rated_discharge_w)
        self._most_trim_w = _MOST_TRIM * ratings_w
        readings = readings_of(models, self._powers(models))
        self._measures = frozenset(reading.quantity for reading in readings)
        return identity

    async def read(self) -> Readings:
        """See `edge.driver.Driver.read`."""
        models = await self.measured_models()
        powers = self._powers(models)
        if powers.solar_w is not None:
            self._solar_w = powers.solar_w
        await self._keep(powers)
        return readings_of(models, powers)

    async def measured_models(self) -> list[Values]:
        """What is measured now, as the device's models have it."""
        return [await self._values(place) for place in self._measured]

    async def apply(self, power_w: float, until_ms: int) -> None:
        """See `edge.driver.Driver.apply`."""
        trim_w = 0.0 if self._hold is None else self._hold.trim_w
        await self._write_hold(power_w, until_ms, trim_w)

    async def release(self) -> None:
        """See `edge.driver.Driver.release`."""
        self._hold = None
        if self._control is None:
            raise DriverError(f"{self.link.address} cannot be commanded")
        for address, registers in self._control.release():
            await self.link.write(address, registers)

    async def close(self) -> None:
        """See `edge.driver.Driver.close`."""
        self.link.close()

    async def _listed(self) -> tuple[Place, ...]:
        """The models that the device lists, without those that nobody knows."""
        address = await self._begin() + len(MARK)
        places: list[Place] = []
        for _ in range(MOST_MODELS):
            model_id, length = await self.link.read(address, 2)
            if model_id == END_ID:
                break
            place = Place(model_id, address, length)
            if not is_sound(place):
                raise DriverError(
                    f"{self.link.address}: model {model_id} at {address} cannot have a length of"
                    f" {length}; the list of models is damaged"
                )
            places.append(place)
            address += place.registers
        else:
            raise DriverError(f"{self.link.address}: the list of models does not end")
        return tuple(place for place in places if is_known(place.model_id))

    async def _begin(self) -> int:
        """The address of the map."""
        troubles: list[DriverError] = []
        for base in BASES:
            try:
                if tuple(await self.link.read(base, len(MARK))) == MARK:
                    return base
            except DriverError as error:
                troubles.append(error)  # some refuse addresses that they do not have
        if len(troubles) == len(BASES):
            raise troubles[0]
        raise DriverError(f"{self.link.address} answers, but has no SunSpec map")

    async def _values(self, place: Place) -> Values:
        return values_of(place, await self.link.read(place.address, place.registers))

    def _powers(self, models: list[Values]) -> Powers:
        return powers_of(models, meter_exports=self._options.meter == "export")

    async def _keep(self, powers: Powers) -> None:
        """Correct a power that is held on the AC side: the sun moves, and there are losses."""
        hold = self._hold
        if hold is None or self._control is None or not self._control.sets_ac:
            return
        if self._now_ms() >= hold.until_ms:
            self._hold = None
            return
        if powers.battery_w is None:
            return
        lost_w = hold.written_w - powers.battery_w - self._solar_w
        trim_w = hold.trim_w + _TRIM * (lost_w - hold.trim_w)
        hold.trim_w = max(min(trim_w, self._most_trim_w), -self._most_trim_w)
        wanted_w = hold.power_w + self._solar_w + hold.trim_w
        if abs(wanted_w - hold.written_w) >= _WORTH_W:
            await self._write_hold(hold.power_w, hold.until_ms, hold.trim_w)

    async def _write_hold(self, power_w: float, until_ms: int, trim_w: float) -> None:
        if self._control is None:
            raise DriverError(f"{self.link.address} cannot be commanded")
        written_w = power_w
        if self._control.sets_ac:
            written_w += self._solar_w + trim_w
        seconds = max(-(-(until_ms - self._now_ms()) // 1000), 1)
        self._hold = _Hold(power_w, until_ms, written_w, trim_w)
        for address, registers in self._control.hold(written_w, seconds):
            await self.link.write(address, registers)


def driver(options: Options, now_ms: Callable[[], int] = monotonic_ms) -> SunSpec:
    """The driver of a configuration."""
    at = Address(
        host=options.host,
        port=options.port,
        serial=options.serial,
        baud=options.baud,
        unit=options.unit,
    )
    return SunSpec(options, ModbusLink(at), now_ms)
