"""The API's answers to a home's owner."""

import msgspec

from schemas.bounds import Id
from vpp_streams.domain.owners.events import EventAhead
from vpp_streams.domain.owners.why import Reason


class ChoicesView(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner decided, with what applies where nothing was decided."""

    backup_reserve: float
    """Fraction of usable energy that is never sold, 0..1."""
    registered_reserve: float
    """The reserve in the registry, which applies unless the owner chooses another."""
    storm_mode: bool
    paused_until_ms: int | None
    """null = not paused."""
    left: bool
    set_at_ms: int | None
    """null = nothing was decided yet."""


class StormView(msgspec.Struct, frozen=True, kw_only=True):
    """An announced storm, and what it means for this home."""

    alert_id: str
    prepare_from_ms: int
    starts_at_ms: int
    ends_at_ms: int
    reserve: float
    charge_wh: float | None
    """Energy still to be charged for it; null = the state of charge is not known."""
    cost: float | None
    """Cost of that energy at the region's present price, in ``currency``; null = not known."""
    currency: str


class Flows(msgspec.Struct, frozen=True, kw_only=True):
    """Powers of the home, W; battery + = discharge, grid + = import; null = not measured."""

    at_ms: int | None
    """When the newest reading was received; null = none was."""
    heard_ago_s: float | None
    battery_w: float | None
    grid_w: float | None
    solar_w: float | None
    load_w: float | None
    soc: float | None
    stored_wh: float | None
    usable_wh: float


class HomeView(msgspec.Struct, frozen=True, kw_only=True):
    """A home for its owner: flows, the reason, events ahead, storms, and what was decided."""

    site_id: str
    region: str
    at_ms: int
    state: str
    flows: Flows
    flows_error: str | None
    """Why there are no flows, in one sentence."""
    reason: Reason
    choices: ChoicesView
    events: list[EventAhead]
    storms: list[StormView]


class HomeList(msgspec.Struct, frozen=True, kw_only=True):
    """The homes that the sender owns, by id."""

    homes: list[str]


class SkipOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take no part in an event, or take part again."""

    request_id: Id
    skip: bool = True
