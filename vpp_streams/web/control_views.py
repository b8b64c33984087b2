"""What the API takes and answers about control: orders, requests, commands and alarms."""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import EpochMs, Fraction, Id, Positive, Watts
from schemas.commands import CommandState
from schemas.dispatch import DispatchStatus, Hold, Limit, Notice, RequestState, Target
from schemas.grid import Alert, Droop
from vpp_streams.domain.control.standing import Finding, Standing
from vpp_streams.web.story import StoryLine

LONGEST_S = 366 * 86_400
Seconds = Annotated[float, msgspec.Meta(gt=0, le=LONGEST_S)]


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From when until when. One of ``for_s`` and ``ends_at_ms`` must be given."""

    for_s: Seconds | None = None
    """How long from its start on."""
    ends_at_ms: EpochMs | None = None
    starts_at_ms: EpochMs | None = None
    """null = now."""


class TargetOrder(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Deliver this power with a region's batteries."""

    export_w: Watts | None
    """Battery power, + = discharge; null = leave the devices to themselves."""
    priority: Literal["operator", "emergency"] = "operator"
    best_effort: bool = False
    """Accept it even where it is beyond what the region can hold."""
    droop: Droop | None = None
    """Arm frequency response for as long as it runs."""


class LimitOrder(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keep the sum of a region's grid connections within these."""

    import_limit_w: Positive | None = None
    export_limit_w: Positive | None = None
    feeder: Id | None = None
    """Only the sites of this feeder."""


class HoldOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kill switch: nothing is asked of the region until the hold is withdrawn."""

    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


class StormOrder(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A storm comes: fill the batteries of these before, and keep them for their owners."""

    regions: tuple[Id, ...] = ()
    site_ids: tuple[Id, ...] = ()
    prepare_from_ms: EpochMs | None = None
    """null = now."""
    reserve: Fraction = 1.0


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an order."""

    request_id: str
    state: RequestState | Literal["written"]
    """``written``: it is in Kafka; the region role has said nothing of it yet (or, for a storm,
    need not)."""
    reason: str = ""
    by: str = ""
    """The request that stands above it."""
    operator: str


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """A request and its newest state."""

    request: Target | Limit | Hold
    state: RequestState | None
    """null = not heard of yet."""
    reason: str
    by: str
    """The request that outranks, replaces or withdraws it."""
    at_ms: int
    """When its state was told."""
    ruled_ms: int | None = None
    """Of one that is over: for how long it was active; null = not known."""


class DispatchNow(msgspec.Struct, frozen=True, kw_only=True):
    """A region's dispatch as last heard."""

    region: str
    heard_ago_s: float | None
    stale: bool
    """Not heard for 10 s, or never."""
    status: DispatchStatus | None
    notices: list[Notice]
    """Power that is missing, or will be."""


class DispatchHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The last half hour as columns of one length, oldest first; null = nothing was asked."""

    at_ms: list[int]
    asked_w: list[float | None]
    allocated_w: list[float | None]
    measured_w: list[float | None]


class DispatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A region's dispatch: now, what is asked of it, and the last half hour."""

    now: DispatchNow
    requests: list[RequestView]
    """Those that stand first, then the newest."""
    history: DispatchHistory


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    """A device's newest command beside what it reports."""

    command_id: str
    device_id: str
    site_id: str | None
    """null = the registry does not know it."""
    region: str
    request_id: str
    state: CommandState
    state_at_ms: int
    reason: str
    created_at_ms: int
    not_before_ms: int
    valid_until_ms: int
    slot: int
    """Gateway slot that it was routed to."""
    epoch: int
    """The connection that it was meant for."""
    desired_w: float | None
    """Battery power, + = discharge; null = it ends the lease before."""
    reported_w: float | None
    """Battery power as measured last; null = not measured, or not heard since it was asked."""
    measured_at_ms: int | None


class CommandList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest command of each device, newest first."""

    counts: dict[str, int]
    """Devices of the region by the state of their newest command; empty without a region."""
    commands: list[CommandView]


class DeviceStory(msgspec.Struct, frozen=True, kw_only=True):
    """What a device was asked lately and what became of it, oldest first."""

    device_id: str
    site_id: str
    region: str
    since_ms: int
    newest: CommandView | None
    story: list[StoryLine]


AlarmKind = Literal["deviates", "no_answer", "late", "failed"]


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A device whose reported power is not the desired one.

    ``deviates``: it has reached its setpoint and is off by more than 5 % and 100 W for 5 s, while
    its lease stands. ``no_answer``: asked 5 s ago and nothing was answered. ``late``: accepted,
    and not reached in the time that its ramp takes. ``failed``: the command came to nothing.
    """

    device_id: str
    site_id: str | None
    region: str
    kind: AlarmKind
    since_ms: int
    desired_w: float | None
    reported_w: float | None
    command_id: str
    request_id: str
    reason: str


class RegionStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a region stands."""

    region: str
    standing: Standing


class RegionAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong with a region as a whole (see `Standing`)."""

    region: str
    finding: Finding


class AlarmList(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms of devices, the longest standing first, and those of whole regions."""

    total: int
    """Alarms of devices."""
    alarms: list[Alarm]
    regions: list[RegionAlarm] = []
    records_rejected: int = 0
    """Records that any process refused in the last 5 minutes (see ``/records/rejected``)."""


class AlertList(msgspec.Struct, frozen=True, kw_only=True):
    """Storms that are not over, by when they start."""

    alerts: list[Alert]


class ControlUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the live stream: control as it is now."""

    at_ms: int
    regions: list[DispatchNow]
    """Those of which something was told since the event before; all in the first."""
    alarms: AlarmList
    standings: list[RegionStanding] = []
    """All regions, in each event: one that nothing more is heard of changes too."""
