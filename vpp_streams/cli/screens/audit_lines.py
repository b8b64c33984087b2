"""The audit trail as lines for people."""

from datetime import datetime

from schemas.audit import AuditEvent
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.ranges import records_since
from vpp_streams.settings import Settings


async def audit_since(settings: Settings, since_ms: int) -> list[AuditEvent]:
    """The events that were written since then, each once, in the order of time.

    Raises `BrokerError`.
    """
    clients = KafkaClients(settings)
    found = {
        read.record.event_id: read.record
        async for read in records_since(clients, topics.AUDIT, since_ms)
    }
    return sorted(found.values(), key=lambda event: (event.at_ms, event.event_id))


def line_of(event: AuditEvent) -> str:
    """An event as one line."""
    at = datetime.fromtimestamp(event.at_ms / 1000).astimezone()
    who = event.who or "somebody"
    where = f" from {event.address}" if event.address else ""
    target = f" {event.target}" if event.target else ""
    detail = f": {event.detail}" if event.detail else ""
    line = (
        f"{at:%d %b %H:%M:%S}  {event.result:7}  {who} by {event.how}{where}"
        f"  {event.action}{target}{detail}"
    )
    # Who can write to the topic must not be able to write to a terminal.
    return "".join(char if char.isprintable() else "?" for char in line)
