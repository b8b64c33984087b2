"""The API's answers about incidents."""

import msgspec

from schemas.incidents import IncidentId, IncidentKind, Note, Notification, Severity
from vpp_streams.domain.incidents.known import Known


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest attempt to notify a channel."""

    channel: str
    state: str
    """``opened`` or ``closed``: what it was about."""
    at_ms: int
    delivered: bool
    attempts: int
    reason: str
    """Why it was not delivered."""


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """An incident, who attends to it, and who was notified."""

    incident_id: str
    rule: str
    kind: IncidentKind
    severity: Severity
    subject: str
    region: str
    """Empty if it concerns no region."""
    opened_at_ms: int
    closed_at_ms: int | None
    """null = it is open."""
    at_ms: int
    """When its state was last published."""
    value: float | None
    """What its kind measures, then; null = not measured."""
    worst: float
    above: float
    """The rule's threshold."""
    unit: str
    """Of value, worst and threshold: ``s``, ``share`` (0..1) or ``count``."""
    evidence: str
    acknowledged_by: str | None
    acknowledged_at_ms: int | None
    note: str
    notifications: list[NotificationView]


class IncidentList(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents: open ones first, then the newest first."""

    total: int
    """Number of incidents that match, of which these are the first."""
    open: int
    """Number of open ones, whatever was searched for."""
    unacknowledged: int
    """Of the open ones, those that nobody attends to."""
    incidents: list[IncidentView]


class AcknowledgeOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person attends to an incident."""

    incident_id: IncidentId
    note: Note = ""


def view_of(known: Known, unit: str) -> IncidentView:
    """An incident as the API shows it."""
    incident, by = known.incident, known.acknowledgement
    return IncidentView(
        **msgspec.structs.asdict(incident) | {"closed_at_ms": incident.closed_at_ms or None},
        unit=unit,
        acknowledged_by=by.by.removeprefix("operator:") if by else None,
        acknowledged_at_ms=by.at_ms if by else None,
        note=by.note if by else "",
        notifications=[_notification(one) for one in known.notifications],
    )


def _notification(one: Notification) -> NotificationView:
    fields = msgspec.structs.asdict(one)
    del fields["incident_id"]
    return NotificationView(**fields)
