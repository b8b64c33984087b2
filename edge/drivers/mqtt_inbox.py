"""What MQTT messages said of a home, and how old it is: the pure part of the driver.

Home Assistant's conventions hold: "unknown", "unavailable" and an empty payload are no value, and
what an availability topic calls offline is not believed. A retained message may be days old, so
that it counts for descriptions and availability, and never as a measurement.
"""

import json
import re
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import Any

from edge.driver import Quantity, Reading, Readings
from edge.drivers.mqtt_mapping import Source, described
from edge.drivers.plausible import reading_of

_NUMBER = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$", re.ASCII)
_SWITCHED = {"on": 1.0, "true": 1.0, "off": 0.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class _Received:
    value: float | None
    at_ms: int


class Inbox:
    """The newest value of each source. Times are ms of one monotonic clock."""

    def __init__(self, sources: AnyMapping[Quantity, Source]) -> None:
        self._asked = dict(sources)
        self._sources = {q: s for q, s in sources.items() if s.topic}
        self._received: dict[Quantity, _Received] = {}
        self._available: dict[str, str] = {}

    @property
    def topics(self) -> set[str]:
        """All topics to subscribe to; more of them once descriptions have arrived."""
        found = {source.discovery for source in self._asked.values()}
        for source in (*self._asked.values(), *self._sources.values()):
            found |= {source.topic, source.available}
        return found - {""}

    def receive(self, topic: str, payload: bytes, *, retained: bool, now_ms: int) -> None:
        """Take in a message."""
        for quantity, asked in self._asked.items():
            if asked.discovery == topic:
                self._describe(quantity, asked, payload)
        for quantity, source in self._sources.items():
            if source.available == topic:
                self._available[topic] = payload.decode("utf-8", "replace")
            if source.topic == topic and not retained:
                self._received[quantity] = _Received(_value(source, payload), now_ms)

    def readings(self, now_ms: int) -> Readings:
        """What is known now."""
        found = (self._reading(quantity, now_ms) for quantity in self._sources)
        return tuple(reading for reading in found if reading is not None)

    def _describe(self, quantity: Quantity, asked: Source, payload: bytes) -> None:
        source = described(asked, payload)
        if source == self._sources.get(quantity):
            return
        self._received.pop(quantity, None)  # another unit or topic than before
        if source is None:
            self._sources.pop(quantity, None)
        else:
            self._sources[quantity] = source

    def _reading(self, quantity: Quantity, now_ms: int) -> Reading | None:
        source, received = self._sources[quantity], self._received.get(quantity)
        if received is None or now_ms - received.at_ms > source.max_age_s * 1000:
            return None
        # Without a word of availability a fresh value speaks for itself.
        told = self._available.get(source.available, source.available_payload)
        if told != source.available_payload:
            return None
        return reading_of(quantity, received.value)


def _value(source: Source, payload: bytes) -> float | None:
    """The number in a payload, in the quantity's unit; None = there is none."""
    try:
        found: Any = json.loads(payload) if source.field else payload.decode()
        for key in source.field.split(".") if source.field else ():
            found = found[int(key)] if isinstance(found, list) else found[key]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    if isinstance(found, bool):
        return float(found)
    if isinstance(found, str):
        if (switched := _SWITCHED.get(found.strip().lower())) is not None:
            return switched
        if not _NUMBER.match(found.strip()):
            return None
        found = float(found)
    if not isinstance(found, int | float):
        return None
    try:
        return float(found) * source.scale
    except OverflowError:
        return None
