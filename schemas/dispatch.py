"""Requests to a region, what the region can deliver, and the outcomes of the requests.

``export_w`` is battery power towards the market as measured at the batteries, + = discharge; the
consumption of homes is not part of it, except in a target that is metered at the connection.
Limits apply at the grid connections (ADR 8).
"""

from typing import Annotated, Literal, get_args

import msgspec

from schemas.bounds import (
    Count,
    EpochMs,
    Id,
    MaybeId,
    MeteredAt,
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
"""Origin of a request: ``operator:<name>``, ``owner:<name>``, ``schedule:<name>`` or
``market:<name>``."""
Priority = Literal["self_consumption", "operator", "market", "emergency", "grid_limit"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""In ascending order."""


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="target"):
    """Topic ``dispatch.targets``, key request_id: a power to deliver from a start to an end."""

    request_id: Id
    region: Id
    export_w: Watts | None
    """Battery power, + = discharge; None = self-consumption."""
    starts_at_ms: EpochMs
    ends_at_ms: EpochMs
    priority: Priority
    source: Source
    issued_at_ms: EpochMs
    best_effort: bool = False
    """Accepted even if it is more than the region can hold; the region delivers what it can."""
    droop: Droop | None = None
    """Arms frequency response on the devices while the target applies."""
    metered_at: MeteredAt = "battery"
    """``connection``: ``export_w`` is the region's power at its grid connections, and the batteries
    make up for load and solar power as measured."""


class Limit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="limit"):
    """Topic ``dispatch.targets``, key request_id: limits of the connections' sum."""

    request_id: Id
    region: Id
    feeder: Id | None = None
    """Only the sites of this feeder; None = of the complete region."""
    import_limit_w: Positive | None = None
    export_limit_w: Positive | None = None
    starts_at_ms: EpochMs
    ends_at_ms: EpochMs
    priority: Priority = "grid_limit"
    source: Source
    issued_at_ms: EpochMs


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="hold"):
    """Topic ``dispatch.targets``, key request_id: the kill switch. It applies until withdrawn."""

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
    "measures_only",
]
"""Why power is missing. ``reserve``: nothing above the owner's reserve (charging: no room).
``connection``: no room at the grid connection. ``rating``: the full rating is in use. ``feeder``:
behind a feeder at its limit. ``limit``: a limit of the region takes precedence over the target.
``not_heard``: a fleet partition does not report its supply. ``not_believed``: the devices' readings
are bad (beyond what is registered for them, or against the balance of powers). ``measures_only``:
the devices take no setpoint."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Power that cannot be delivered, and why."""

    cause: Cause
    devices: Count
    """0 if the cause is not one of single devices."""
    up_w: Watts
    """Discharge that these devices could deliver otherwise, W >= 0."""
    down_w: Watts
    """Charge that they could take otherwise, W >= 0."""


Causes = Annotated[tuple[Missing, ...], msgspec.Meta(max_length=1000)]
States = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=32)], Count], msgspec.Meta(max_length=32)
]
"""Number of devices by the state of their newest command; ``none`` = no lease."""


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """The power that the devices of one feeder (or of none) in one partition give at each price.

    The curve is piecewise linear and rising: at price ``prices[k]`` the power is ``power_w[k]``.
    Below the first and above the last it is flat. Prices have no currency: they are the
    multiplier of the allocation (1/h with the default aim; see ``domain/allocate.py``).
    """

    feeder: MaybeId = ""
    """Empty for the sites of no feeder."""
    prices: Annotated[tuple[Number, ...], msgspec.Meta(max_length=10_000)]
    power_w: Annotated[tuple[Watts, ...], msgspec.Meta(max_length=10_000)]
    uncontrolled_w: Watts
    """Battery power of devices that cannot be commanded: measured, or that of their last lease."""
    net_load_w: Watts
    """Load minus solar of the sites that report: the connections' power without the batteries."""


class SupplyPartial(msgspec.Struct, frozen=True, tag="supply", kw_only=True):
    """Topic ``region.partials``, key region: what one fleet partition can deliver now."""

    region: Id
    partition: PartitionNumber
    at_ms: EpochMs
    """When it was computed."""
    supplies: Annotated[tuple[Supply, ...], msgspec.Meta(max_length=10_000)]
    deliverable: Deliverables
    """Of the devices that can be commanded, with the reserves for storms applied."""
    commanded_w: Watts
    """Sum of the setpoints of leases that hold."""
    measured_w: Watts
    """Battery power of all devices: measured, or by the leases of those that do not report."""
    states: States
    """Number of devices by the state of their newest command; ``none`` = no lease."""
    missing: Causes = ()
    storm_wh: WattHours = 0.0
    """Energy still to be charged into batteries that are kept for a storm."""
    applied_ms: EpochMs = 0
    """``issued_at_ms`` of the newest `Dispatch` that it includes."""
    commandable: Commandable | None = None
    """Of the region's batteries in this partition; null = not measured."""


class Share(msgspec.Struct, frozen=True):
    """The power that the devices of one feeder (or of none) in one partition have to deliver."""

    feeder: MaybeId
    share_w: Watts
    uncontrolled_w: Watts | None = None
    """Power of the devices beside them that cannot be commanded, as the order counts on it. The
    partition makes up for any difference, as a device may have left or returned since; null = it
    does not."""


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``dispatch``, partition = the fleet partition, key region: the current orders.

    ``shares`` None = release: end the leases of the region's devices.
    """

    region: Id
    partition: PartitionNumber
    request_id: MaybeId
    """The request that applies; of a release, the one that applied before."""
    issued_at_ms: EpochMs
    asked_at_ms: EpochMs
    """``issued_at_ms`` of the request."""
    until_ms: EpochMs
    """The latest end of any lease that is made from it."""
    shares: Annotated[tuple[Share, ...], msgspec.Meta(max_length=10_000)] | None
    droop: Droop | None = None


RequestState = Literal["accepted", "rejected", "active", "outranked", "completed", "withdrawn"]
FINAL_STATES: frozenset[str] = frozenset({"rejected", "completed", "withdrawn"})


class RequestEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="request"):
    """Topic ``dispatch.events``, key region: a state of a request, with the reason."""

    request_id: Id
    region: Id
    state: RequestState
    at_ms: EpochMs
    reason: Sentence = ""
    """One sentence for people."""
    by: MaybeId = ""
    """The request that outranks or withdraws it."""
    request: Target | Limit | Hold | Withdraw | None = None
    """The request itself, on its first event."""
    ruled_ms: Annotated[int, msgspec.Meta(ge=0, le=10**13)] | None = None
    """On its last event: how long it was active in total. null = not known (another worker decided
    for a part of it)."""


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="notice"):
    """Topic ``dispatch.events``, key region: requested power that will be missing.

    Published when it becomes known, when amount or causes change, and (``missing_w`` 0) when it
    is over.
    """

    region: Id
    request_id: Id
    at_ms: EpochMs
    missing_w: Watts
    """Requested power minus what can be delivered; it has the sign of the request."""
    from_ms: EpochMs
    """When it will be missing: now, or when the energy above the reserves is used up."""
    causes: Causes = ()


class StormCost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What storms withhold from the market now."""

    devices: Count
    """Batteries that are kept for their owners."""
    withheld_w: Watts
    """Discharge that they could have held for 15 minutes."""
    charge_wh: WattHours
    """Energy that is still to be charged into them."""
    money: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """Cost of that energy at the region's present price, decimal; "" = no price is known."""
    currency: Annotated[str, msgspec.Meta(max_length=3)] = ""


Mode = Literal["idle", "target", "limit", "hold", "self_consumption"]


class DispatchStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="status"):
    """Topic ``dispatch.events``, key region: the region's dispatch now, each cycle while it runs.

    ``idle`` records are published every few seconds, so that readers know the capability.
    """

    region: Id
    at_ms: EpochMs
    mode: Mode
    request_id: MaybeId = ""
    ends_at_ms: EpochMs = 0
    asked_w: Watts | None = None
    """The target (or the power that the limit requires)."""
    allocated_w: Watts | None = None
    """Sum of the shares and of the power that cannot be commanded."""
    measured_w: Watts
    net_load_w: Watts
    missing_w: Watts = 0.0
    capability: Deliverables
    """Power that the commandable devices could hold."""
    states: States
    causes: Causes = ()
    limited_by: Annotated[tuple[Id, ...], msgspec.Meta(max_length=100_000)] = ()
    """The limits in force, where power is missing because of them."""
    waiting: Annotated[tuple[Id, ...], msgspec.Meta(max_length=100_000)] = ()
    """Requests that are outranked at present."""
    storm: StormCost | None = None
    partitions_expected: Count
    partitions_heard: Count
    commandable: Commandable | None = None
    """Of the batteries in the partitions that report; null = not measured in all of them."""


DispatchEvent = RequestEvent | Notice | DispatchStatus
"""A record of topic ``dispatch.events``."""
