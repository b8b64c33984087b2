"""What devices send, who they are, and what is sent to them."""

import pyarrow as pa

from schemas.assets import Site
from schemas.bounds import GATEWAY_SLOTS
from schemas.commands import CommandFrame
from schemas.presence import Presence
from schemas.telemetry import Rejected
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka.topic import Topic, by

_RAW = "what devices of kind {} send live, gathered by a gateway: NDJSON frames, or by columns"


def _raw(kind: str) -> Topic[bytes]:
    about = _RAW.format(kind)
    return Topic[bytes](f"raw.{kind}", about, "ndjson", partition="chosen", timed_by_broker=True)


RAW_POWERWALL, RAW_SOLAR, RAW_MEGAPACK = map(_raw, ("powerwall", "solar", "megapack"))
RAW_BACKFILL = Topic[bytes](
    "raw.backfill",
    "readings kept by devices through an outage: they correct windows, never live values",
    "ndjson",
    partition="chosen",
    timed_by_broker=True,
)
TELEMETRY = Topic[pa.RecordBatch](
    "telemetry",
    "canonical telemetry: one Arrow IPC stream of one batch of telemetry.v1 per record",
    "arrow",
    partition="chosen",
    timed_by_broker=True,
)
TELEMETRY_REJECTED = Topic[Rejected](
    "telemetry.rejected",
    "dead letters: why a row gave no reading, and its original bytes",
    Rejected,
    by("rejected_id"),
    partition="source_partition",
    retention_ms=30 * DAY_MS,
)
ASSETS = Topic[Site](
    "assets", "the registry: each site with its devices", Site, by("site_id"), keep="compact"
)
PRESENCE = Topic[Presence](
    "presence",
    "who is connected to which gateway",
    Presence,
    by("device_id"),
    keep="compact",
)
GATEWAY_OUT = Topic[CommandFrame](
    "gateway.out",
    "commands for the devices of one gateway: partition = gateway slot",
    CommandFrame,
    by("region"),
    partitions=GATEWAY_SLOTS,
    partition="slot",
    retention_ms=DAY_MS,
)
