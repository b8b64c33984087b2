"""Incidents with defaults for what a test leaves open."""

from typing import Any

from schemas.incidents import Incident

OPENED_MS = 1_763_855_000_000


def incident(subject: str = "coast", *, opened_ms: int = OPENED_MS, **changes: Any) -> Incident:
    """An open incident of a silent region."""
    fields: dict[str, Any] = {
        "incident_id": f"region-silent|{subject}|{opened_ms}",
        "rule": "region-silent",
        "kind": "region_silent",
        "severity": "critical",
        "subject": subject,
        "region": subject,
        "opened_at_ms": opened_ms,
        "at_ms": opened_ms,
        "value": 20.0,
        "worst": 20.0,
        "above": 10.0,
        "evidence": "no telemetry of the region for 20 s",
    }
    return Incident(**fields | changes)
