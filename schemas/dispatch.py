"""What is asked of a region, what it can give, and what became of the asking.

``export_w`` is battery power towards the market as measured at the batteries, + = discharge;
what a home consumes is not ours to promise. Limits are at the grid connections (ADR 8).
"""

from typing import Annotated, Literal, get_args

import msgspec

from schemas.bounds import (
    Count,
    EpochMs,
    Id,
    MaybeId,
    Number,
    PartitionNumber,
    Positive,
    Sentence,
    WattHours,
    Watts,
)
from schemas.commandable import Commandable
from schemas.grid import Droop
from schemas.windows import Deliverables

Source = Annotated[str, msgspec.Meta(max_length=120, pattern=r"^[^\x00-\x1f\x7f]+(?!\n)$")]
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
    "not_believed",
]
"""Why power is missing. ``reserve``: nothing above the owner's reserve (charging: no room).
``connection``: no room at the grid connection. ``rating``: all that it is rated for is given.
``feeder``: behind a feeder at its limit. ``limit``: a limit of the region goes before the target.
``not_heard``: a fleet partition's supply is not known. ``not_believed``: what the devices measure
is bad (beyond what is registered for them, or against the balance of powers)."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Power that cannot be had, and why."""

    cause: Cause
    devices: Count
    """0 where it is nothing that single devices have."""
    up_w: Watts
    """Discharge that these devices could give otherwise, W >= 0."""
    down_w: Watts
    """Charge, W >= 0."""


Causes = Annotated[tuple[Missing, ...], msgspec.Meta(max_length=1000)]
States = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=32)], Count], msgspec.Meta(max_length=32)
]
"""Devices by what became of their newest command; ``none`` = no lease."""


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """What the devices of one feeder (or of none) in one partition give at which price.

    The curve is piecewise linear and rising: at price ``prices[k]`` they give ``power_w[k]``.
    Below the first and above the last it is flat. Prices have no currency: they are the
    multiplier of the allocation (1/h with the default aim; see ``domain/allocate.py``).
    """

    feeder: MaybeId = ""
    """"" = the sites of no feeder."""
    prices: Annotated[tuple[Number, ...], msgspec.Meta(max_length=10_000)]
    power_w: Annotated[tuple[Watts, ...], msgspec.Meta(max_length=10_000)]
    uncontrolled_w: Watts
    """Battery power of those that cannot be commanded: measured, or that of a lease unheard of."""
    net_load_w: Watts
    """Load less solar of the sites that report: what the connections see beside the batteries."""


class SupplyPartial(msgspec.Struct, frozen=True, tag="supply", kw_only=True):
    """Topic ``region.partials``, key region: what one fleet partition's devices can give now."""

    region: Id
    partition: PartitionNumber
    at_ms: EpochMs
    """When it was made."""
    supplies: Annotated[tuple[Supply, ...], msgspec.Meta(max_length=10_000)]
    deliverable: Deliverables
    """Of the devices that can be commanded, with storms' reserves."""
    commanded_w: Watts
    """Sum of the setpoints of leases that stand."""
    measured_w: Watts
    """Battery power of all: measured, or of the leases of those not heard of."""
    states: States
    """Devices by what became of their newest command; ``none`` = no lease."""
    missing: Causes = ()
    storm_wh: WattHours = 0.0
    """Energy that batteries in a storm's way are still to be charged with."""
    applied_ms: EpochMs = 0
    """``issued_at_ms`` of the newest `Dispatch` that it includes."""
    commandable: Commandable | None = None
    """Of the region's batteries in this partition; null = not measured."""


class Share(msgspec.Struct, frozen=True):
    """What the devices of one feeder (or of none) in one partition are to give together."""

    feeder: MaybeId
    share_w: Watts


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``dispatch``, partition = the fleet partition, key region: this second's orders.

    ``shares`` None = release: end the leases of the region's devices.
    """

    region: Id
    partition: PartitionNumber
    request_id: MaybeId
    """The request that rules; of a release, the one that did."""
    issued_at_ms: EpochMs
    asked_at_ms: EpochMs
    """``issued_at_ms`` of the request."""
    until_ms: EpochMs
    """No lease made from this may go beyond."""
    shares: Annotated[tuple[Share, ...], msgspec.Meta(max_length=10_000)] | None
    droop: Droop | None = None


RequestState = Literal["accepted", "rejected", "active", "outranked", "completed", "withdrawn"]
FINAL_STATES: frozenset[str] = frozenset({"rejected", "completed", "withdrawn"})


class RequestEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="request"):
    """Topic ``dispatch.events``, key region: what became of a request, and why."""

    request_id: Id
    region: Id
    state: RequestState
    at_ms: EpochMs
    reason: Sentence = ""
    """One sentence that a person understands."""
    by: MaybeId = ""
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

    region: Id
    request_id: Id
    at_ms: EpochMs
    missing_w: Watts
    """Asked less what can be given; the sign is that of the asking."""
    from_ms: EpochMs
    """When it will be missing: now, or when the energy above the reserves will be used up."""
    causes: Causes = ()


class StormCost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What storms take from the market now."""

    devices: Count
    """Batteries that are kept for their owners."""
    withheld_w: Watts
    """Discharge that they could have held for 15 minutes."""
    charge_wh: WattHours
    """Energy that they are still to be charged with."""
    money: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """What that energy costs at the region's price now, decimal; "" = no price is known."""
    currency: Annotated[str, msgspec.Meta(max_length=3)] = ""


Mode = Literal["idle", "target", "limit", "hold", "self_consumption"]


class DispatchStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="status"):
    """Topic ``dispatch.events``, key region: the region's dispatch now, each cycle while it runs.

    ``idle`` records come each few seconds, so that a reader knows the capability.
    """

    region: Id
    at_ms: EpochMs
    mode: Mode
    request_id: MaybeId = ""
    ends_at_ms: EpochMs = 0
    asked_w: Watts | None = None
    """The target (or what the limit calls for)."""
    allocated_w: Watts | None = None
    """Sum of the shares, with what cannot be commanded."""
    measured_w: Watts
    net_load_w: Watts
    missing_w: Watts = 0.0
    capability: Deliverables
    """What the devices that can be commanded could hold."""
    states: States
    causes: Causes = ()
    waiting: Annotated[tuple[Id, ...], msgspec.Meta(max_length=100_000)] = ()
    """Requests that are outranked now."""
    storm: StormCost | None = None
    partitions_expected: Count
    partitions_heard: Count
    commandable: Commandable | None = None
    """Of the batteries in the partitions that were heard; null = not measured in all of those."""


DispatchEvent = RequestEvent | Notice | DispatchStatus
"""A record of topic ``dispatch.events``."""
