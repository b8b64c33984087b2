"""SunSpec models in the registers of a device: where they are, and the values of their points.

The definitions of the models are those of pysunspec2. A point that the device does not implement
(0x8000, 0xFFFF and the like), one whose scale factor is missing or out of range, and one beyond the
end of a short answer has no value: it is None, and never 0.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from sunspec2 import device, mdef

MARK = (0x5375, 0x6E53)
"""Registers that begin a map: "SunS"."""
BASES = (40000, 0, 50000)
"""Addresses at which a map may begin, the usual one first."""
END_ID = 0xFFFF
MOST_MODELS = 100
_LONGEST_MODEL = 2000
_SCALE = range(-10, 11)
"""Powers of ten that a scale factor may be, by the SunSpec information model specification."""


@dataclass(frozen=True, slots=True)
class Place:
    """A model in the map. ``address`` is that of its first register, the model's number."""

    model_id: int
    address: int
    length: int
    """Registers after the first two."""

    @property
    def registers(self) -> int:
        """All of its registers."""
        return self.length + 2


@dataclass(frozen=True, slots=True)
class Point:
    """A point's place in its model, for writing it."""

    offset: int
    """Registers from the model's first one."""
    registers: int


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one model as they were read. ``groups``: its repeated parts, by name."""

    model_id: int
    numbers: dict[str, float | None]
    texts: dict[str, str]
    groups: dict[str, list["Values"]] = field(default_factory=dict)

    def number(self, *names: str) -> float | None:
        """The first of these points that has a value."""
        return next((v for name in names if (v := self.numbers.get(name)) is not None), None)


def is_sound(place: Place) -> bool:
    """Whether a model can be where a device says that it is."""
    return place.length <= _LONGEST_MODEL and place.address + place.registers <= 0x10000


def is_known(model_id: int) -> bool:
    """Whether pysunspec2 knows the model."""
    try:
        return device.get_model_def(model_id) is not None
    except (mdef.ModelDefinitionError, OSError, ValueError):
        return False


def name_of(model_id: int) -> str:
    """What a known model is called."""
    group = device.get_model_def(model_id)["group"]
    return str(group.get("label") or group["name"])


def to_bytes(registers: Sequence[int]) -> bytes:
    """Registers as they are on the wire."""
    return struct.pack(f">{len(registers)}H", *registers)


def values_of(place: Place, registers: Sequence[int]) -> Values:
    """The values of a model, from all its registers or from the first ones.

    A model whose length does not fit its definition has no values.
    """
    data = to_bytes(registers[: place.registers])
    try:
        model = device.Model(place.model_id, model_len=place.length, data=data)
        if tuple(registers[:2]) != (place.model_id, place.length):
            return Values(place.model_id, {}, {})
        return _values(model, model)
    except (device.ModelError, mdef.ModelDefinitionError, TypeError, KeyError, IndexError):
        return Values(place.model_id, {}, {})


def points_of(place: Place, names: Sequence[str]) -> dict[str, Point]:
    """Where these points of a model are; those that its definition has, within its length."""
    model = device.Model(place.model_id, model_len=place.length)
    found = ((name, model.points.get(name)) for name in names)
    return {
        name: Point(point.offset, point.len)
        for name, point in found
        if point is not None and point.offset + point.len <= place.registers
    }


def _values(group: device.Group, model: device.Model) -> Values:
    numbers: dict[str, float | None] = {}
    texts: dict[str, str] = {}
    for name, point in group.points.items():
        if isinstance(point.value, str):
            texts[name] = point.value.strip("\0 ")
        else:
            numbers[name] = _number(point, group, model)
    groups = {
        name: [_values(each, model) for each in parts]
        for name, parts in group.groups.items()
        if isinstance(parts, list)
    }
    return Values(model.model_id, numbers, texts, groups)


def _number(point: device.Point, group: device.Group, model: device.Model) -> float | None:
    """A point's value with its scale factor."""
    raw = point.value
    if not isinstance(raw, int | float) or not math.isfinite(raw):
        return None
    if not point.sf_required:
        return float(raw)
    scale = point.sf_value
    if point.sf is not None:
        holder = group.points.get(point.sf) or model.points.get(point.sf)
        scale = None if holder is None else holder.value
    return float(raw * 10.0**scale) if scale in _SCALE else None
