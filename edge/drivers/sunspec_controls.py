"""How a SunSpec device is commanded: the registers to write, so that its own timer is the lease.

Two models can hold a power and end it by themselves. Model 704 sets the inverter's power on the AC
side, sun included (``WSet`` with ``WSetRvrtTms``). Model 124 sets the battery's, as shares of its
largest charge and discharge (``OutWRte`` and ``InWRte``, with ``InOutWRte_RvrtTms``): both limits
at one power leave the battery no other. A device whose timer is not implemented is not commanded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.drivers.sunspec_map import Place, Point, Values, points_of

Write = tuple[int, tuple[int, ...]]
"""Address of the first register, and the registers' new values."""

LONGEST_S = 0xFFFE
_ENABLED, _DISABLED, _WATTS = 1, 0, 1
_BOTH_LIMITS = 0b11
_FROM_GRID = 1


@dataclass(frozen=True, slots=True)
class SetPower:
    """Model 704."""

    place: Place
    points: dict[str, Point]
    scale: int
    """``WSet_SF``: powers of ten."""

    sets_ac = True
    """The power is the inverter's, not the battery's."""

    def hold(self, power_w: float, seconds: int) -> list[Write]:
        """Hold an AC power, W, + = out of the inverter; the enable comes last."""
        return [
            self._write("WSetEnaRvrt", _DISABLED),
            self._write("WSetRvrtTms", min(seconds, LONGEST_S)),
            self._write("WSetMod", _WATTS),
            self._write("WSet", round(power_w / 10.0**self.scale)),
            self._write("WSetEna", _ENABLED),
        ]

    def release(self) -> list[Write]:
        """Return to the device's own mode."""
        return [self._write("WSetEna", _DISABLED)]

    def _write(self, name: str, value: int) -> Write:
        return _write(self.place, self.points[name], value)


@dataclass(frozen=True, slots=True)
class Rates:
    """Model 124."""

    place: Place
    points: dict[str, Point]
    scale: int
    """``InOutWRte_SF``."""
    charge_w: float
    """The power that is 100 % of charge."""
    discharge_w: float
    """The power that is 100 % of discharge."""

    sets_ac = False

    def hold(self, power_w: float, seconds: int) -> list[Write]:
        """Hold a battery power, W, + = discharge; the mode that activates it comes last."""
        out = self._share(power_w, self.discharge_w)
        into = self._share(-power_w, self.charge_w)
        writes = [
            self._write("InOutWRte_RvrtTms", min(seconds, LONGEST_S)),
            self._write("OutWRte", out),
            self._write("InWRte", into),
        ]
        if "ChaGriSet" in self.points and power_w < 0:
            writes.append(self._write("ChaGriSet", _FROM_GRID))
        return [*writes, self._write("StorCtl_Mod", _BOTH_LIMITS)]

    def release(self) -> list[Write]:
        """Return to the device's own mode."""
        return [self._write("StorCtl_Mod", 0)]

    def _share(self, power_w: float, of_w: float) -> int:
        percent = max(min(100.0 * power_w / of_w, 100.0), -100.0)
        return round(percent / 10.0**self.scale)

    def _write(self, name: str, value: int) -> Write:
        return _write(self.place, self.points[name], value)


Control = SetPower | Rates


def control_of(
    places: Sequence[Place], models: Sequence[Values], *, charge_w: float, discharge_w: float
) -> Control | None:
    """How the device can be commanded, by the ratings of its battery; None = it cannot be."""
    values = {each.model_id: each for each in models}
    by_id = {place.model_id: place for place in reversed(places)}
    if 704 in by_id and 704 in values:
        made = _set_power(by_id[704], values[704])
        if made is not None:
            return made
    if 124 in by_id and 124 in values and charge_w > 0 and discharge_w > 0:
        return _rates(by_id[124], values[124], charge_w, discharge_w)
    return None


def _set_power(place: Place, values: Values) -> SetPower | None:
    names = ("WSetEna", "WSetMod", "WSet", "WSetEnaRvrt", "WSetRvrtTms")
    points = points_of(place, names)
    scale = values.number("WSet_SF")
    has_timer = values.number("WSetRvrtTms") is not None
    if len(points) < len(names) or not has_timer or not _is_scale(scale):
        return None
    return SetPower(place, points, int(scale or 0))


def _rates(place: Place, values: Values, charge_w: float, discharge_w: float) -> Rates | None:
    names = ("StorCtl_Mod", "OutWRte", "InWRte", "InOutWRte_RvrtTms")
    points = points_of(place, (*names, "ChaGriSet"))
    scale = values.number("InOutWRte_SF")
    has_timer = values.number("InOutWRte_RvrtTms") is not None
    if not points.keys() >= set(names) or not has_timer or not _is_scale(scale):
        return None
    if values.number("ChaGriSet") is None:
        points.pop("ChaGriSet", None)
    return Rates(place, points, int(scale or 0), values.number("WChaMax") or charge_w, discharge_w)


def _is_scale(scale: float | None) -> bool:
    return scale is not None and -10 <= scale <= 10


def _write(place: Place, point: Point, value: int) -> Write:
    shifts = reversed(range(0, 16 * point.registers, 16))
    return place.address + point.offset, tuple((value >> shift) & 0xFFFF for shift in shifts)
