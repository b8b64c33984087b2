"""The registry's contract: sites with their devices (topic ``assets``, compacted, key site_id)."""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import EpochMs, Fraction, Id, Label, Positive

DeviceKind = Literal["powerwall", "solar", "megapack"]
SiteState = Literal["planned", "commissioning", "active", "suspended", "retired"]
"""``planned``: known, its devices may not connect yet. ``commissioning``: its devices connect and
their readings are shown. ``active``: it is expected, offered and paid as well; only such a site
is. ``suspended``: as commissioning, for a while. ``retired``: its late readings are refused."""
MAX_HISTORY = 20
"""Most changes of state that a record keeps: the newest."""


class Device(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Connected hardware of a site."""

    device_id: Id
    kind: DeviceKind
    """Decides the raw topic."""
    model: Label = ""
    rated_energy_wh: Positive = 0.0
    """Usable energy between soc 0 and 1."""
    rated_charge_w: Positive = 0.0
    rated_discharge_w: Positive = 0.0
    rated_solar_w: Positive = 0.0
    token_sha256: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Hex SHA-256 of the device's bearer token; empty = may connect with a certificate only."""
    meters_connection: bool = False
    """Whether its grid and load are the site's. The values of several marked devices are added; if
    no device is marked, those of one device that measures them count."""


class StateChange(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The beginning of a state of a site."""

    state: SiteState
    since_ms: EpochMs
    reason: Label = ""


class Site(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Premises with one grid connection."""

    site_id: Id
    region: Id
    """Grid or market area."""
    devices: Annotated[tuple[Device, ...], msgspec.Meta(max_length=10_000)] = ()
    export_limit_w: Positive | None = None
    """Largest power to the grid, W; None = no limit beyond the ratings."""
    import_limit_w: Positive | None = None
    backup_reserve: Fraction = 0.2
    """The owner's reserve, fraction of usable energy: never sold."""
    feeder: Id | None = None
    """Part of the region's grid that can have its own limit."""
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    removed: bool = False
    """Only in records of before sites had a history: retired. Not beside a history."""
    history: Annotated[tuple[StateChange, ...], msgspec.Meta(max_length=MAX_HISTORY)] = ()
    """Changes of its state, oldest first: the last one is its state. Empty = active from the
    start. A retired site keeps its record so that late readings are refused with a reason."""

    def __post_init__(self) -> None:
        if self.removed and self.history:
            raise ValueError("a site with a history states there that it is retired: no `removed`")

    @property
    def state(self) -> SiteState:
        """The state that it is in now."""
        if self.history:
            return self.history[-1].state
        return "retired" if self.removed else "active"
