"""The life of incidents: a fold of measurements that opens and closes them by the rules.

Time is an argument, and an incident's id follows from what opened it: a watch that starts again and
reads its own incidents continues them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from schemas.incidents import Incident, IncidentKind
from vpp_streams.domain.incidents.rules import Rule

MUCH_WORSE = 1.25
"""An open incident is published again once its worst value has grown by this factor."""
QUIET_MS = 60_000
"""An open incident is published at most this often."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of rule measures of one subject, now."""

    kind: IncidentKind
    subject: str
    region: str = ""
    value: float | None
    """None = not measured: this opens nothing, and closes nothing."""
    evidence: str
    """One sentence for people."""


@dataclass(slots=True)
class _Case:
    """One rule and one subject."""

    above_since_ms: int | None = None
    below_since_ms: int | None = None
    incident: Incident | None = None
    """The open one."""


class Watch:
    """Opens, updates and closes the incidents of a set of rules."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._cases: dict[tuple[str, str], _Case] = {}

    @property
    def open(self) -> list[Incident]:
        """Incidents that are open, the oldest first."""
        found = [case.incident for case in self._cases.values() if case.incident is not None]
        return sorted(found, key=lambda incident: incident.opened_at_ms)

    def restore(self, incident: Incident) -> None:
        """Take up an incident as the log has it; the newest record of an id counts."""
        case = self._cases.setdefault((incident.rule, incident.subject), _Case())
        if not incident.closed_at_ms:
            case.incident = incident
        elif case.incident is not None and case.incident.incident_id == incident.incident_id:
            case.incident = None

    def step(self, now_ms: int, measurements: Iterable[Measurement]) -> list[Incident]:
        """The records to publish of incidents that opened, became much worse, or closed."""
        found = list(measurements)
        measured = {
            (rule.id, one.subject): (rule, one)
            for rule in self._rules
            for one in found
            if one.kind == rule.kind and rule.concerns(one.region)
        }
        changes = list(self._abandoned(now_ms, measured.keys()))
        for key, (rule, one) in measured.items():
            case = self._cases.setdefault(key, _Case())
            change = _stepped(case, rule, one, now_ms)
            if change is not None:
                case.incident = None if change.closed_at_ms else change
                changes.append(change)
        return changes

    def _abandoned(self, now_ms: int, measured: Iterable[tuple[str, str]]) -> Iterator[Incident]:
        """Close what nothing will ever close: its rule or its subject is gone."""
        for key in self._cases.keys() - set(measured):
            incident = self._cases.pop(key).incident
            if incident is not None:
                evidence = f"{incident.subject} is no longer watched by rule {incident.rule}"
                yield _closed(incident, None, evidence, now_ms)


def _stepped(case: _Case, rule: Rule, one: Measurement, now_ms: int) -> Incident | None:
    """The change of one case, if any."""
    if one.value is None:
        case.above_since_ms = case.below_since_ms = None
        return None
    if one.value > rule.above:
        case.below_since_ms = None
        since_ms = case.above_since_ms = (
            now_ms if case.above_since_ms is None else min(case.above_since_ms, now_ms)
        )
        if case.incident is not None:
            return _worse(case.incident, one, one.value, now_ms)
        if now_ms - since_ms < rule.for_s * 1000:
            return None
        return _opened(rule, one, one.value, now_ms)
    case.above_since_ms = None
    if case.incident is None:
        return None
    if case.below_since_ms is None or case.below_since_ms > now_ms:
        case.below_since_ms = now_ms
    if now_ms - case.below_since_ms < rule.clear_s * 1000:
        return None
    return _closed(case.incident, one.value, one.evidence, now_ms)


def _opened(rule: Rule, one: Measurement, value: float, now_ms: int) -> Incident:
    return Incident(
        incident_id=f"{rule.id}|{one.subject}|{now_ms}",
        rule=rule.id,
        kind=one.kind,
        severity=rule.severity,
        subject=one.subject,
        region=one.region,
        opened_at_ms=now_ms,
        at_ms=now_ms,
        value=value,
        worst=value,
        above=rule.above,
        evidence=one.evidence,
    )


def _worse(incident: Incident, one: Measurement, value: float, now_ms: int) -> Incident | None:
    if value <= incident.worst * MUCH_WORSE or now_ms - incident.at_ms < QUIET_MS:
        return None
    return msgspec.structs.replace(
        incident, at_ms=now_ms, value=value, worst=value, evidence=one.evidence
    )


def _closed(incident: Incident, value: float | None, evidence: str, now_ms: int) -> Incident:
    # A clock that was set back must not close an incident before it opened.
    at_ms = max(now_ms, incident.opened_at_ms + 1)
    return msgspec.structs.replace(
        incident, at_ms=at_ms, closed_at_ms=at_ms, value=value, evidence=evidence
    )
