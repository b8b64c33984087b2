"""What is asked of a region, what it can give, and what became of the asking.

``export_w`` is battery power towards the market as measured at the batteries, + = discharge;
what a home consumes is not ours to promise. Limits are at the grid connections (ADR 8).
"""

from typing import Annotated, Literal, get_args

import msgspec

from schemas.assets import Id, Positive
from schemas.commandable import Commandable
from schemas.grid import Droop
from schemas.telemetry import EpochMs
from schemas.windows import Deliverable

Watts = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
"""Finite: JSON has no other, and the limits keep it so."""
Source = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
"""Who asks: ``operator:<name>``, ``schedule:<name>``, ``market:<name>``."""
Priority = Literal["self_consumption", "operator", "market", "emergency", "grid_limit"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""From the least to the most."""


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="target"):
    """Topic ``dispatch.targets``, key request_id: deliver this from a start to an end."""

    request_id: Id
    region: Id
    export_w: Watts | None
    """None = leave the devices to themselves (self-consumption)."""
    starts_at_ms: EpochMs
    ends_at_ms: EpochMs
    priority: Priority
    source: Source
    issued_at_ms: EpochMs
    best_effort: bool = False
    """True = accepted even where it is beyond what the region can hold: it gives what it can."""
    droop: Droop | None = None
    """Arms frequency response on the devices for as long as the target runs."""


class Limit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="limit"):
    """Topic ``dispatch.targets``, key request_id: keep the connections' sum within these."""

    request_id: Id
    region: Id
    feeder: Id | None = None
    """Only the sites of this feeder; None = of the whole region."""
    import_limit_w: Positive | None = None
    export_limit_w: Positive | None = None
    starts_at_ms: EpochMs
    ends_at_ms: EpochMs
    priority: Priority = "grid_limit"
    source: Source
    issued_at_ms: EpochMs


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="hold"):
    """Topic ``dispatch.targets``, key request_id: the kill switch. It stands until withdrawn."""

    request_id: Id
    region: Id
    source: Source
    issued_at_ms: EpochMs
    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Withdraw(msgspec.Struct, frozen=True, kw_only=True, tag="withdraw"):
    """Topic ``dispatch.targets``, key request_id: ends the request (or hold) that it names."""

    request_id: Id
    region: Id
    withdraws: Id
    source: Source
    issued_at_ms: EpochMs


Request = Target | Limit | Hold | Withdraw

Cause = Literal[
    "offline",
    "refused",
    "opted_out",
    "islanded",
    "not_following",
    "no_answer",
    "storm",
    "reserve",
    "connection",
    "rating",
    "feeder",
    "not_heard",
    "limit",
]
"""Why power is missing. ``reserve``: nothing above the owner's reserve (charging: no room).
``connection``: no room at the grid connection. ``rating``: all that it is rated for is given.
``feeder``: behind a feeder at its limit. ``limit``: a limit of the region goes before the target.
``not_heard``: a fleet partition's supply is not known."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Power that cannot be had, and why."""

    cause: Cause
    devices: int
    """0 where it is nothing that single devices have."""
    up_w: float
    """Discharge that these devices could give otherwise, W >= 0."""
    down_w: float
    """Charge, W >= 0."""


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """What the devices of one feeder (or of none) in one partition give at which price.

    The curve is piecewise linear and rising: at price ``prices[k]`` they give ``power_w[k]``.
    Below the first and above the last it is flat. Prices have no currency: they are the
    multiplier of the allocation (1/h with the default aim; see ``domain/allocate.py``).
    """

    feeder: str = ""
    """"" = the sites of no feeder."""
    prices: tuple[float, ...]
    power_w: tuple[float, ...]
    uncontrolled_w: float
    """Battery power of those that cannot be commanded: measured, or that of a lease unheard of."""
    net_load_w: float
    """Load less solar of the sites that report: what the connections see beside the batteries."""


class SupplyPartial(msgspec.Struct, frozen=True, tag="supply", kw_only=True):
    """Topic ``region.partials``, key region: what one fleet partition's devices can give now."""

    region: Id
    partition: int
    at_ms: int
    """When it was made."""
    supplies: tuple[Supply, ...]
    deliverable: tuple[Deliverable, ...]
    """Of the devices that can be commanded, with storms' reserves."""
    commanded_w: float
    """Sum of the setpoints of leases that stand."""
    measured_w: float
    """Battery power of all: measured, or of the leases of those not heard of."""
    states: dict[str, int]
    """Devices by what became of their newest command; ``none`` = no lease."""
    missing: tuple[Missing, ...] = ()
    storm_wh: float = 0.0
    """Energy that batteries in a storm's way are still to be charged with."""
    applied_ms: int = 0
    """``issued_at_ms`` of the newest `Dispatch` that it includes."""
    commandable: Commandable | None = None
    """Of the region's batteries in this partition; null = not measured."""


class Share(msgspec.Struct, frozen=True):
    """What the devices of one feeder (or of none) in one partition are to give together."""

    feeder: str
    share_w: float


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``dispatch``, partition = the fleet partition, key region: this second's orders.

    ``shares`` None = release: end the leases of the region's devices.
    """

    region: Id
    partition: int
    request_id: str
    """The request that rules; of a release, the one that did."""
    issued_at_ms: int
    asked_at_ms: int
    """``issued_at_ms`` of the request."""
    until_ms: int
    """No lease made from this may go beyond."""
    shares: tuple[Share, ...] | None
    droop: Droop | None = None


RequestState = Literal["accepted", "rejected", "active", "outranked", "completed", "withdrawn"]
FINAL_STATES: frozenset[str] = frozenset({"rejected", "completed", "withdrawn"})


class RequestEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="request"):
    """Topic ``dispatch.events``, key region: what became of a request, and why."""

    request_id: str
    region: str
    state: RequestState
    at_ms: int
    reason: str = ""
    """One sentence that a person understands."""
    by: str = ""
    """The request that outranks or withdraws it."""
    request: Target | Limit | Hold | Withdraw | None = None
    """The request itself, on its first event."""
    ruled_ms: Annotated[int, msgspec.Meta(ge=0, le=10**13)] | None = None
    """On its last event: for how long it was active in all. null = not known (another worker
    ruled for a part of it)."""


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="notice"):
    """Topic ``dispatch.events``, key region: power that is asked for and will be missing.

    Published when it is first known, when amount or causes change, and (``missing_w`` 0) when
    it is over.
    """

    region: str
    request_id: str
    at_ms: int
    missing_w: float
    """Asked less what can be given; the sign is that of the asking."""
    from_ms: int
    """When it will be missing: now, or when the energy above the reserves will be used up."""
    causes: tuple[Missing, ...] = ()


class StormCost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What storms take from the market now."""

    devices: int
    """Batteries that are kept for their owners."""
    withheld_w: float
    """Discharge that they could have held for 15 minutes."""
    charge_wh: float
    """Energy that they are still to be charged with."""
    money: str = ""
    """What that energy costs at the region's price now, decimal; "" = no price is known."""
    currency: str = ""


Mode = Literal["idle", "target", "limit", "hold", "self_consumption"]


class DispatchStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="status"):
    """Topic ``dispatch.events``, key region: the region's dispatch now, each cycle while it runs.

    ``idle`` records come each few seconds, so that a reader knows the capability.
    """

    region: str
    at_ms: int
    mode: Mode
    request_id: str = ""
    ends_at_ms: int = 0
    asked_w: float | None = None
    """The target (or what the limit calls for)."""
    allocated_w: float | None = None
    """Sum of the shares, with what cannot be commanded."""
    measured_w: float
    net_load_w: float
    missing_w: float = 0.0
    capability: tuple[Deliverable, ...]
    """What the devices that can be commanded could hold."""
    states: dict[str, int]
    causes: tuple[Missing, ...] = ()
    waiting: tuple[str, ...] = ()
    """Requests that are outranked now."""
    storm: StormCost | None = None
    partitions_expected: int
    partitions_heard: int
    commandable: Commandable | None = None
    """Of the batteries in the partitions that were heard; null = not measured in all of those."""
