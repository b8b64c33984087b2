"""The readings of devices as they are sent: all of the telemetry contracts that a device needs.

`schemas.telemetry` has the others. They are apart because the canonical frame needs pyarrow, which
the software in a home does without.
"""

from enum import IntEnum
from typing import Annotated, Any

import msgspec

from schemas.bounds import MAX_INTERVAL_MS, Code, EpochMs

Boot = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{1,8}(?!\n)$")]
"""A device's boot id: 1 to 8 hex digits, new at every start of the device."""

JsonValue = Any
"""A decoded JSON value."""


class Quality(IntEnum):
    """How far a reading can be trusted (OpenADR 3 terms)."""

    OK = 0
    ESTIMATED = 1
    MISSING = 2
    BAD = 3


class NativeBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reading of a device with native ``vpp.v1``: one second of one device."""

    t: EpochMs
    """Measured at, device clock, ms since 1970 UTC; the start of the interval it stands for."""
    p: float | None = None
    """Battery power, W, + = discharge."""
    g: float | None = None
    """Grid power at the site meter, W, + = import."""
    pv: float | None = None
    """Solar power, W, >= 0."""
    l: float | None = None  # noqa: E741 - one-letter keys keep a fleet's frames small
    """Household load, W, >= 0."""
    soc: float | None = None
    """State of charge, fraction 0..1 of usable energy."""
    hz: float | None = None
    """Grid frequency, Hz."""
    v: float | None = None
    """Grid voltage, line to neutral, V."""
    tc: float | None = None
    """Battery temperature, degrees Celsius."""
    isl: bool | None = None
    """True while the site is islanded (off grid)."""
    iv: Annotated[int, msgspec.Meta(gt=0, le=MAX_INTERVAL_MS)] = 1000
    """The time this reading stands for, ms, from ``t`` on."""


class VendorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vendor's own document, wrapped: the gateway passes it on, ingest normalises it."""

    vendor: Code
    """The normaliser that reads ``body``, for example ``tesla_gateway``."""
    body: msgspec.Raw
    """The vendor's document, unchanged."""
    t: EpochMs | None = None
    """When the device obtained the document; used if the document has no time of its own."""
    iv: Annotated[int, msgspec.Meta(gt=0, le=MAX_INTERVAL_MS)] = 1000
    """The time this reading stands for, ms."""
