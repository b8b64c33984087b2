"""What operators watch: health, incidents, refused records, and who did what."""

from schemas.audit import AuditEvent
from schemas.duty import Duty
from schemas.health import Health
from schemas.incidents import IncidentRecord, incident_key
from schemas.rejected import RejectedRecord
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.kafka.topic import Key, Topic, by

RECORDS_REJECTED = Topic[RejectedRecord](
    "records.rejected",
    "dead letters of every other topic: records that were refused, why, and their bytes",
    RejectedRecord,
    by("rejected_id"),
    partitions=1,
    partition="single",
    keep="compact,delete",
    retention_ms=30 * DAY_MS,
)
AUDIT = Topic[AuditEvent](
    "audit",
    "who signed in, gave an order or changed an account: from where, and with which result",
    AuditEvent,
    by("event_id"),
    partitions=1,
    partition="single",
    retention_ms=400 * DAY_MS,
)
INCIDENTS = Topic[IncidentRecord](
    "incidents",
    "what people should attend to, who acknowledged it, and who was notified",
    IncidentRecord,
    Key("incident_id, with what else the record is about", incident_key),
    partitions=1,
    partition="single",
    keep="compact,delete",
    retention_ms=400 * DAY_MS,
)
HEALTH = Topic[Health](
    "health",
    "each process's counters and gauges",
    Health,
    by("process_id"),
    partitions=1,
    partition="single",
    retention_ms=DAY_MS,
)
DUTY = Topic[Duty](
    "duty",
    "which instance of a role works, of those that stand by",
    Duty,
    by("role"),
    partitions=1,
    partition="single",
    keep="compact",
)
