"""Incidents: what a person should attend to, who acknowledged it, and who was notified."""

from typing import Annotated, Literal, get_args

import msgspec

from schemas.bounds import Count, EpochMs, Id, Label, MaybeId, Number, Sentence
from schemas.dispatch import Source

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""In ascending order."""
IncidentKind = Literal[
    "region_silent",
    "sites_silent",
    "dispatch_silent",
    "not_commandable",
    "held",
    "power_missing",
    "delivery_missed",
    "bids_refused",
    "process_silent",
    "records_refused",
    "readings_refused",
]
INCIDENT_KINDS: tuple[IncidentKind, ...] = get_args(IncidentKind)
Note = Annotated[str, msgspec.Meta(max_length=500)]
IncidentId = Label
"""``<rule>|<subject>|<opened_at_ms>``"""


class Incident(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="incident"):
    """Topic ``incidents``, key incident_id: the newest record of an id is its state.

    Published when it opens, when it becomes much worse, and when it closes.
    """

    incident_id: IncidentId
    rule: Id
    """The rule that opened it."""
    kind: IncidentKind
    severity: Severity
    subject: Label
    """The region, the role of a process, or ``system``."""
    region: MaybeId = ""
    """The region, if it concerns one."""
    opened_at_ms: EpochMs
    at_ms: EpochMs
    """When this state was published."""
    closed_at_ms: EpochMs = 0
    """0 = it is open."""
    value: Number | None
    """What the rule's kind measures, at ``at_ms``; null = not measured then."""
    worst: Number
    """The highest value while it was open."""
    above: Number
    """The rule's threshold."""
    evidence: Sentence
    """One sentence for people: what was measured."""


class Acknowledgement(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="acknowledgement"
):
    """Topic ``incidents``, key ``<incident_id>|ack``: a person attends to an incident.

    The first one of an incident counts.
    """

    incident_id: IncidentId
    by: Source
    at_ms: EpochMs
    note: Note = ""


class Notification(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="notification"
):
    """Topic ``incidents``, key ``<incident_id>|<channel>|<state>``: an attempt to inform people.

    The newest one of a key counts.
    """

    incident_id: IncidentId
    channel: Id
    state: Literal["opened", "closed"]
    at_ms: EpochMs
    delivered: bool
    attempts: Count
    reason: Sentence = ""
    """Why it was not delivered."""


IncidentRecord = Incident | Acknowledgement | Notification
"""A record of topic ``incidents``."""


def incident_key(record: IncidentRecord) -> str:
    """The key of a record of topic ``incidents``."""
    match record:
        case Incident():
            return record.incident_id
        case Acknowledgement():
            return f"{record.incident_id}|ack"
        case Notification():
            return f"{record.incident_id}|{record.channel}|{record.state}"
