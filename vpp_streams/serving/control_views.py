"""Orders that the API accepts and its answers about control: requests, commands and alarms."""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import EpochMs, Fraction, Id, Positive, Watts
from schemas.commands import CommandState
from schemas.dispatch import DispatchStatus, Hold, Limit, Notice, RequestState, Target
from schemas.grid import Alert, Droop
from vpp_streams.domain.control.standing import Finding, Standing
from vpp_streams.serving.story import StoryLine

LONGEST_S = 366 * 86_400
Seconds = Annotated[float, msgspec.Meta(gt=0, le=LONGEST_S)]


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The start and end of an order. One of ``for_s`` and ``ends_at_ms`` must be given."""

    for_s: Seconds | None = None
    """Duration from the start on."""
    ends_at_ms: EpochMs | None = None
    starts_at_ms: EpochMs | None = None
    """null = now."""


class TargetOrder(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Deliver this power with a region's batteries."""

    export_w: Watts | None
    """Battery power, + = discharge; null = release the devices to self-consumption."""
    priority: Literal["operator", "emergency"] = "operator"
    best_effort: bool = False
    """Accept it even if it is more than the region can hold."""
    droop: Droop | None = None
    """Arm frequency response while the target applies."""


class LimitOrder(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keep the sum of a region's grid connections within these limits, W."""

    import_limit_w: Positive | None = None
    export_limit_w: Positive | None = None
    feeder: Id | None = None
    """Only the sites of this feeder."""


class HoldOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kill switch: no device in the region is commanded until the hold is withdrawn."""

    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


class StormOrder(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A storm is expected: fill the batteries of these sites first and reserve them for owners."""

    regions: tuple[Id, ...] = ()
    site_ids: tuple[Id, ...] = ()
    prepare_from_ms: EpochMs | None = None
    """null = now."""
    reserve: Fraction = 1.0


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an order."""

    request_id: str
    state: RequestState | Literal["written"]
    """``written``: it is in Kafka, and the region role has not answered yet (for a storm, it does
    not answer)."""
    reason: str = ""
    by: str = ""
    """The request that outranks it."""
    operator: str


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """A request and its newest state."""

    request: Target | Limit | Hold
    state: RequestState | None
    """null = no state was received yet."""
    reason: str
    by: str
    """The request that outranks, replaces or withdraws it."""
    at_ms: int
    """When this state was reported."""
    ruled_ms: int | None = None
    """How long a request that has ended was active; null = not known."""


class DispatchNow(msgspec.Struct, frozen=True, kw_only=True):
    """A region's dispatch as last received."""

    region: str
    heard_ago_s: float | None
    stale: bool
    """Nothing was received for 10 s, or ever."""
    status: DispatchStatus | None
    notices: list[Notice]
    """Power that is missing, or will be missing."""
    ruling: Target | Limit | Hold | None = None
    """The request that rules the region; null = none, or it is not known here."""


class DispatchHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The last half hour as columns of one length, oldest first; null = no power was requested."""

    at_ms: list[int]
    asked_w: list[float | None]
    allocated_w: list[float | None]
    measured_w: list[float | None]


class DispatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A region's dispatch: its present state, its requests, and the last half hour."""

    now: DispatchNow
    requests: list[RequestView]
    """Requests that have not ended first, then the newest."""
    history: DispatchHistory


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    """A device's newest command beside what it reports."""

    command_id: str
    device_id: str
    site_id: str | None
    """null = the registry does not have the device."""
    region: str
    request_id: str
    state: CommandState
    state_at_ms: int
    reason: str
    created_at_ms: int
    not_before_ms: int
    valid_until_ms: int
    slot: int
    """Gateway slot to which it was routed."""
    epoch: int
    """Epoch of the connection for which it was made."""
    desired_w: float | None
    """Battery power, + = discharge; null = the command ends the previous lease."""
    reported_w: float | None
    """Last measured battery power; null = not measured, or no reading since the command."""
    measured_at_ms: int | None


class CommandList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest command of each device, newest first."""

    counts: dict[str, int]
    """Devices of the region by the state of their newest command; empty without a region."""
    commands: list[CommandView]


class DeviceStory(msgspec.Struct, frozen=True, kw_only=True):
    """A device's recent commands and their outcomes, oldest first."""

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
    its lease holds. ``no_answer``: it has not answered a command for 5 s. ``late``: it has accepted
    a setpoint and not reached it in the time that its ramp takes. ``failed``: the command failed.
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
    """The standing of a region."""

    region: str
    standing: Standing
    incidents_open: int = 0
    """Open incidents of the region."""


class RegionAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that concerns a complete region (see `Standing`)."""

    region: str
    finding: Finding


class AlarmList(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms of devices, the oldest first, and those of complete regions."""

    total: int
    """Alarms of devices."""
    alarms: list[Alarm]
    regions: list[RegionAlarm] = []
    records_rejected: int | None = 0
    """Records that any process refused in the last 5 minutes (see ``/records/rejected``); null =
    the sender may not know."""
    incidents_open: int = 0
    """Incidents that are open (see ``/incidents``)."""
    incidents_unacknowledged: int = 0
    """Of these, the ones that nobody attends to."""


class AlertList(msgspec.Struct, frozen=True, kw_only=True):
    """Storms that have not ended, by their start."""

    alerts: list[Alert]


class ControlUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the live stream: the present state of control."""

    at_ms: int
    regions: list[DispatchNow]
    """Regions with a report since the previous event; the first event has all regions."""
    alarms: AlarmList
    standings: list[RegionStanding] = []
    """All regions, in each event, because a region that stops reporting changes too."""
