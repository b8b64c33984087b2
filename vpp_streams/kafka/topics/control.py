"""What is asked of regions and devices, and the outcomes."""

from schemas.commands import CommandEvents, CommandFrame
from schemas.dispatch import Dispatch, DispatchEvent, Request
from schemas.grid import Alert, FrequencyEvent
from schemas.preferences import Preferences
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka.topic import Topic, by

ASKED_MS = 62 * DAY_MS
"""Every decision of the last two months can be read, not the newest alone: settlement finds in
them a pause, or a request, that began and ended while it was away. It remembers opt-outs as long.
"""

PREFERENCES = Topic[Preferences](
    "preferences",
    "what owners decide about their sites: reserve, storms, and when they take part",
    Preferences,
    by("site_id"),
    keep="compact",
    uncompacted_ms=ASKED_MS,
)
DISPATCH_TARGETS = Topic[Request](
    "dispatch.targets",
    "what is asked of regions: targets, limits, holds, and their withdrawal",
    Request,
    by("request_id"),
    partitions=1,
    partition="single",
    keep="compact",
    uncompacted_ms=ASKED_MS,
)
DISPATCH = Topic[Dispatch](
    "dispatch",
    "what each fleet partition is to give for a region, each cycle",
    Dispatch,
    by("region"),
    partition="partition",
)
DISPATCH_EVENTS = Topic[DispatchEvent](
    "dispatch.events",
    "what became of requests, power that will be missing, and each region's dispatch now",
    DispatchEvent,
    by("region"),
    partitions=1,
    partition="single",
    retention_ms=30 * DAY_MS,
)
COMMANDS = Topic[CommandFrame](
    "commands",
    "the audit trail: what was asked of which devices; partition = that of the sites",
    CommandFrame,
    by("region"),
    partition="partition",
    retention_ms=30 * DAY_MS,
)
COMMAND_EVENTS = Topic[CommandEvents](
    "command.events",
    "the audit trail: what became of commands; partition = that of the sites",
    CommandEvents,
    partition="partition",
    retention_ms=30 * DAY_MS,
)
GRID_FREQUENCY = Topic[FrequencyEvent](
    "grid.frequency",
    "the grid's frequency by region",
    FrequencyEvent,
    by("region"),
    partitions=1,
    partition="single",
)
GRID_ALERTS = Topic[Alert](
    "grid.alerts",
    "storms that are coming",
    Alert,
    by("alert_id"),
    partitions=1,
    partition="single",
    keep="compact",
)
