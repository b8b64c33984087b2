"""The mapping file of the MQTT driver: which message is which quantity, and how to command.

A value is found by its topic, or by the topic at which Home Assistant's discovery describes it
(``homeassistant/sensor/NAME/config``); of a description, the topic, the unit, the expiry, the
availability and a plain ``value_json`` path are followed.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edge.driver import Quantity

Topic = Annotated[str, msgspec.Meta(pattern=r"^[^+#\0]*$", max_length=500)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Watts = Annotated[float, msgspec.Meta(ge=0, le=1e7)]

_UNITS = {"W": 1.0, "kW": 1e3, "MW": 1e6, "%": 0.01, "Hz": 1.0, "V": 1.0, "°C": 1.0, "C": 1.0}
_FIELD = re.compile(
    r"^\{\{\s*value_json((?:\.\w+|\[['\"][^'\"]+['\"]\])+)\s*(?:\|\s*float(?:\([^)]*\))?\s*)?\}\}$"
)
_STEP = re.compile(r"\.(\w+)|\[['\"]([^'\"]+)['\"]\]")
_WHOLE = re.compile(r"^\{\{\s*value\s*(?:\|\s*float(?:\([^)]*\))?\s*)?\}\}$")
_SHORT = {
    "stat_t": "state_topic",
    "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
    "exp_aft": "expire_after",
    "avty_t": "availability_topic",
    "pl_avail": "payload_available",
}
"""Home Assistant's abbreviations."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a quantity comes from: ``topic``, or ``discovery``."""

    topic: Topic = ""
    discovery: Topic = ""
    """A topic of Home Assistant's discovery that describes the value."""
    field: str = ""
    """Where the value is in a JSON payload, as "a.b"; "" = the payload is the value."""
    scale: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] = 1.0
    """By what the value is multiplied, for example -1 to turn its sign, or 0.01 for percent.

    The unit that a discovery tells is applied before.
    """
    max_age_s: Seconds = 10.0
    """An older value is not measured."""
    available: Topic = ""
    """A topic that says whether the value is to be believed."""
    available_payload: str = "online"

    def __post_init__(self) -> None:
        if bool(self.topic) == bool(self.discovery):
            raise ValueError("give either topic, or discovery")
        if self.scale == 0.0:
            raise ValueError("scale cannot be 0")


class Battery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What nothing on MQTT tells: the battery's ratings."""

    model: str = "MQTT"
    energy_wh: Watts = 0.0
    charge_w: Watts = 0.0
    discharge_w: Watts = 0.0
    solar_w: Watts = 0.0


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to set a power. In ``payload``, ``{power_w}`` is the battery's power, + = discharge,
    ``{charge_w}`` the same, + = charge, and ``{seconds}`` how long it has to hold."""

    topic: Annotated[Topic, msgspec.Meta(min_length=1)]
    payload: str
    release_payload: str
    release_topic: Topic = ""
    """"" = the same topic."""
    own_timer: bool
    """Whether what receives the command ends it by itself after ``{seconds}``.

    If not, the broker is the watch-dog: it publishes the release once this agent is gone.
    """

    def __post_init__(self) -> None:
        if "{power_w}" not in self.payload and "{charge_w}" not in self.payload:
            raise ValueError("payload needs {power_w} or {charge_w}")
        if self.own_timer and "{seconds}" not in self.payload:
            raise ValueError("own_timer = true needs {seconds} in payload")

    def message(self, power_w: float, seconds: int) -> str:
        """The payload that sets a power, W, + = discharge."""
        values = {"power_w": round(power_w), "charge_w": -round(power_w), "seconds": seconds}
        return re.sub(r"\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), self.payload)


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping file."""

    measure: Annotated[dict[Quantity, Source], msgspec.Meta(min_length=1)]
    battery: Battery = Battery()
    command: Command | None = None


def read_mapping(path: str) -> Mapping:
    """Read a mapping file. Raises ValueError, with a sentence for who wrote it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return msgspec.convert(tomllib.loads(text), Mapping)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"mapping {path} cannot be read: {error}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"mapping {path}: {error}") from None


def described(source: Source, payload: bytes) -> Source | None:
    """The source that a discovery message describes; None = in a way that is not understood."""
    try:
        told = json.loads(payload)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    told = {_SHORT.get(key, key): value for key, value in told.items()}
    field = _field_of(told.get("value_template"))
    unit = _UNITS.get(told.get("unit_of_measurement", "W"))
    if field is None or unit is None:
        return None
    try:
        return msgspec.convert(
            {
                "topic": _topic(told, "state_topic"),
                "field": field,
                "scale": source.scale * unit,
                "max_age_s": told.get("expire_after") or source.max_age_s,
                "available": _topic(told, "availability_topic") or source.available,
                "available_payload": told.get("payload_available", source.available_payload),
            },
            Source,
        )
    except msgspec.ValidationError:
        return None


def _topic(told: dict[str, Any], key: str) -> str:
    """A topic, with Home Assistant's "~" for a common beginning or end."""
    topic, base = told.get(key, ""), told.get("~", "")
    if not isinstance(topic, str) or not isinstance(base, str) or not base:
        return topic if isinstance(topic, str) else ""
    if topic.startswith("~"):
        return base + topic[1:]
    return topic[:-1] + base if topic.endswith("~") else topic


def _field_of(template: Any) -> str | None:
    """The field of a plain template; None = it computes, which only Home Assistant can."""
    if template is None or (isinstance(template, str) and _WHOLE.match(template)):
        return ""
    found = _FIELD.match(template) if isinstance(template, str) else None
    if found is None:
        return None
    return ".".join(plain or quoted for plain, quoted in _STEP.findall(found[1]))
