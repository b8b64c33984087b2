"""The content of an event's payloads for a region: setpoints, capacity limits, alerts and prices.

Signs. OpenADR counts a resource's consumption: a setpoint of + 50 KW is 50 kW of charging, which
is -50 kW of `export_w`. Capacity limits are >= 0 in both systems.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from openadr3.entities.raw import RawEvent, RawEventPayloadDescriptor, RawProgram, RawValuesMap

from schemas.bounds import MAX_TIME_MS
from vpp_streams.domain.openadr.time import Span
from vpp_streams.domain.openadr.wire import Remark

SETPOINT, PRICE = "DISPATCH_SETPOINT", "PRICE"
IMPORT_LIMIT, EXPORT_LIMIT = "IMPORT_CAPACITY_LIMIT", "EXPORT_CAPACITY_LIMIT"
EMERGENCIES = frozenset({"ALERT_GRID_EMERGENCY", "ALERT_BLACK_START"})
"""The grid needs the least possible use: no import, and setpoints beside it take precedence."""
SCARCITY = "ALERT_FLEX_ALERT"
"""Flexible devices should reduce their use: no import, at the market's priority."""
STORMS = frozenset({"ALERT_POSSIBLE_OUTAGE", "ALERT_FIRE", "ALERT_WIND", "ALERT_TSUNAMI"})
"""The supply itself may fail: batteries are filled and kept for their owners."""
_WITHOUT: dict[str, str] = {
    "SIMPLE": "a level is no power; each program defines its meaning",
    "DISPATCH_SETPOINT_RELATIVE": "it is relative to what the batteries would do by themselves,"
    " and a target is absolute",
    "CHARGE_STATE_SETPOINT": "a region has no target of stored energy",
    "EXPORT_PRICE": "a region has one price of energy, and that is PRICE",
}
_POWER_W = {"W": 1.0, "KW": 1e3, "MW": 1e6}
_PER_MWH = {"WH": Decimal(1_000_000), "KWH": Decimal(1000), "MWH": Decimal(1)}
MOST_W = 1e12
MOST_PRICE = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Setpoint:
    """A power that the batteries have to deliver."""

    export_w: float
    urgent: bool
    """Whether an emergency alert is in the same interval."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Limits of the connections' import and export, W; None = no limit."""

    import_w: float | None
    export_w: float | None
    why: Literal["limit", "emergency", "scarcity"]


@dataclass(frozen=True, slots=True)
class Storm:
    """The batteries have to be full."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of energy, per MWh."""

    per_mwh: float
    currency: str


Content = Setpoint | Capacity | Storm | Price


@dataclass(frozen=True, slots=True)
class Order:
    """One order of one interval, with its time."""

    start_ms: int
    end_ms: int
    """`MAX_TIME_MS` = without end."""
    interval_id: int
    content: Content


class Reader:
    """Reads the payloads of one event; `remarks` collects what cannot be used."""

    def __init__(self, event: RawEvent, event_id: str, program: RawProgram | None) -> None:
        self._event_id = event_id
        self.remarks: list[Remark] = []
        descriptors = [*((program.payload_descriptors if program else None) or ())]
        descriptors += event.payload_descriptors or ()
        self._descriptors = {
            d.payload_type: d for d in descriptors if isinstance(d, RawEventPayloadDescriptor)
        }

    def orders(self, span: Span) -> list[Order]:
        """The orders of an interval; several may apply at the same time."""
        by_type = {payload.type: payload for payload in span.payloads}
        found: list[Content | None] = [self._price(p) for p in span.payloads if p.type == PRICE]
        setpoint = self._setpoint(by_type)
        found += [setpoint, self._limit(by_type)]
        if by_type.keys() & EMERGENCIES and setpoint is None:
            found.append(Capacity(0.0, None, "emergency"))
        if SCARCITY in by_type:
            found.append(Capacity(0.0, None, "scarcity"))
        if by_type.keys() & STORMS:
            found.append(Storm())
        for payload in span.payloads:
            self._refuse_others(payload.type)
        orders = [self._timed(span, content) for content in found if content is not None]
        return [order for order in orders if order is not None]

    def _timed(self, span: Span, content: Content) -> Order | None:
        end_ms = span.end_ms
        if end_ms is None and isinstance(content, Setpoint | Price):
            self._say(
                "no_duration", "a setpoint or a price has no duration, so its time is not known"
            )
            return None
        if end_ms is None:
            end_ms = MAX_TIME_MS  # a state: it holds until it is changed or withdrawn
        return Order(span.start_ms, end_ms, span.interval_id, content)

    def _setpoint(self, by_type: dict[str, RawValuesMap]) -> Setpoint | None:
        payload = by_type.get(SETPOINT)
        if payload is None:
            return None
        consumption_w = self._power_w(payload)
        if consumption_w is None:
            return None
        if consumption_w < 0:
            self._say(
                "negative_setpoint",
                "a negative DISPATCH_SETPOINT, which the enumeration does not have, was read as"
                " discharge",
            )
        return Setpoint(0.0 - consumption_w, bool(by_type.keys() & EMERGENCIES))

    def _limit(self, by_type: dict[str, RawValuesMap]) -> Capacity | None:
        sides: list[float | None] = []
        for name in (IMPORT_LIMIT, EXPORT_LIMIT):
            payload = by_type.get(name)
            limit_w = None if payload is None else self._power_w(payload)
            if limit_w is not None and limit_w < 0:
                self._say("bad_value", f"{name} is {limit_w:g} W; a limit is not below 0")
                limit_w = None
            sides.append(limit_w)
        return None if sides == [None, None] else Capacity(sides[0], sides[1], "limit")

    def _price(self, payload: RawValuesMap) -> Price | None:
        descriptor, value = self._descriptors.get(PRICE), self._number(payload)
        if value is None:
            return None
        units = ((descriptor and descriptor.units) or "").upper()
        currency = ((descriptor and descriptor.currency) or "").upper()
        if not units or units not in _PER_MWH:
            self._units(PRICE, units, "KWH")
            return None
        if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):
            self._say(
                "no_currency", f"the payloadDescriptor of PRICE names no currency: {currency!r}"
            )
            return None
        per_mwh = Decimal(str(value)) * _PER_MWH[units]
        if abs(per_mwh) > MOST_PRICE:
            self._say("bad_value", f"a PRICE of {per_mwh} per MWh is no price")
            return None
        return Price(float(per_mwh), currency)

    def _power_w(self, payload: RawValuesMap) -> float | None:
        value = self._number(payload)
        if value is None:
            return None
        descriptor = self._descriptors.get(payload.type)
        units = ((descriptor and descriptor.units) or "").upper()
        if units not in _POWER_W:
            self._units(payload.type, units, "KW")
            return None
        if abs(value * _POWER_W[units]) > MOST_W:
            self._say("bad_value", f"{payload.type} of {value:g} {units} is no power")
            return None
        return value * _POWER_W[units]

    def _number(self, payload: RawValuesMap) -> float | None:
        values = payload.values
        number = values[0] if len(values) == 1 else None
        if isinstance(number, bool) or not isinstance(number, int | float):
            self._say("bad_value", f"{payload.type} needs one number")
            return None
        if abs(number) > 1e300 or not math.isfinite(number):
            self._say("bad_value", f"{payload.type} is not finite")
            return None
        return number

    def _units(self, name: str, units: str, usual: str) -> None:
        if units:
            self._say("bad_units", f"{name} is in {units[:40]}, which we do not convert")
        else:
            self._say("no_units", f"no payloadDescriptor has the units of {name}, e.g. {usual}")

    def _refuse_others(self, name: str) -> None:
        mapped = {SETPOINT, PRICE, IMPORT_LIMIT, EXPORT_LIMIT, SCARCITY} | EMERGENCIES | STORMS
        if name not in mapped:
            why = _WITHOUT.get(name, "we have no counterpart of it")
            self._say("no_counterpart", f"{name[:40]}: {why}")

    def _say(self, reason: str, detail: str) -> None:
        self.remarks.append(Remark(self._event_id, reason, detail))
