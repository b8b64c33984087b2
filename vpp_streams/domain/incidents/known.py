"""The content of topic ``incidents``: each incident's newest state, and who acknowledged it."""

import msgspec

from schemas.incidents import Acknowledgement, Incident, IncidentRecord, Notification

MAX_INCIDENTS = 10_000
"""Incidents kept; beyond it the ones that closed first are dropped, then the oldest open ones."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One incident, with what was done about it."""

    incident: Incident
    acknowledgement: Acknowledgement | None
    notifications: tuple[Notification, ...]
    """The newest one of each channel and state."""


class KnownIncidents:
    """Incidents as the log has them; pure and bounded, whatever the topic carries."""

    def __init__(self, most: int = MAX_INCIDENTS) -> None:
        self._most = most
        self._incidents: dict[str, Incident] = {}
        self._acknowledged: dict[str, Acknowledgement] = {}
        self._notified: dict[str, dict[tuple[str, str], Notification]] = {}

    def __contains__(self, incident_id: str) -> bool:
        return incident_id in self._incidents

    def apply(self, record: IncidentRecord) -> None:
        """Apply a record, in the order of the log."""
        match record:
            case Incident():
                self._incidents[record.incident_id] = record
                self._drop_surplus()
            case Acknowledgement() if record.incident_id in self._incidents:
                self._acknowledged.setdefault(record.incident_id, record)
            case Notification() if record.incident_id in self._incidents:
                notified = self._notified.setdefault(record.incident_id, {})
                notified[record.channel, record.state] = record
            case _:
                pass  # about an incident that retention has deleted

    def all(self) -> list[Known]:
        """Every incident: open ones first, then the newest first."""
        ordered = sorted(
            self._incidents.values(),
            key=lambda one: (one.closed_at_ms != 0, -one.opened_at_ms, one.incident_id),
        )
        return [self._known(incident) for incident in ordered]

    def one(self, incident_id: str) -> Known | None:
        """An incident by its id."""
        incident = self._incidents.get(incident_id)
        return None if incident is None else self._known(incident)

    def open(self) -> list[Incident]:
        """Incidents that are open."""
        return [one for one in self._incidents.values() if not one.closed_at_ms]

    def closed_since(self, since_ms: int) -> list[Incident]:
        """Incidents that closed at a time or later."""
        return [one for one in self._incidents.values() if one.closed_at_ms > since_ms]

    @property
    def acknowledged(self) -> frozenset[str]:
        """Ids of incidents that a person attends to."""
        return frozenset(self._acknowledged)

    def _known(self, incident: Incident) -> Known:
        id_ = incident.incident_id
        return Known(
            incident=incident,
            acknowledgement=self._acknowledged.get(id_),
            notifications=tuple(self._notified.get(id_, {}).values()),
        )

    def _drop_surplus(self) -> None:
        if len(self._incidents) <= self._most:
            return
        drop = min(
            self._incidents.values(),
            key=lambda one: (one.closed_at_ms == 0, one.closed_at_ms, one.opened_at_ms),
        )
        for kept in (self._incidents, self._acknowledged, self._notified):
            kept.pop(drop.incident_id, None)
