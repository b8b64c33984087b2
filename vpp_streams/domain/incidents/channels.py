"""Channels: where people are notified of incidents, of which ones, and when not."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from schemas.bounds import Id
from schemas.incidents import Incident, Severity

LocalTime = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d(?!\n)$")]
State = Literal["opened", "closed"]
RETRY_MS = (0, 10_000, 60_000, 300_000, 900_000)
"""How long to wait before each attempt; after the last one the notification has failed."""


class Quiet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours of each day in which nobody is disturbed, in local time; they may include midnight."""

    begins: LocalTime
    ends: LocalTime
    tz: str
    """Name of a time zone of the IANA database."""
    unless: tuple[Severity, ...] = ("critical",)
    """Severities that are sent all the same."""


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to reach people."""

    id: Id
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    """An Apprise URL (``mailto://``, ``json://`` for a webhook, and others); it holds secrets."""
    severities: tuple[Severity, ...] = ("warning", "critical")
    regions: tuple[Id, ...] = ()
    """Empty = all, and what concerns no region."""
    closed: bool = True
    """Whether it is notified that an incident of which it was notified has closed."""
    quiet: Quiet | None = None

    def wants(self, incident: Incident) -> bool:
        """Whether it is to be notified of an incident, at some time."""
        here = not self.regions or incident.region in self.regions
        return here and incident.severity in self.severities

    def is_quiet(self, incident: Incident, now_ms: int) -> bool:
        """Whether it is not to be disturbed by an incident now."""
        if self.quiet is None or incident.severity in self.quiet.unless:
            return False
        local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(self.quiet.tz))
        at = local.time().replace(tzinfo=None)
        begins, ends = time.fromisoformat(self.quiet.begins), time.fromisoformat(self.quiet.ends)
        if begins <= ends:
            return begins <= at < ends
        return at >= begins or at < ends


class Attempts(msgspec.Struct, frozen=True):
    """How often a notification was tried, and whether nothing more is to be tried."""

    number: int
    last_ms: int
    settled: bool
    """It was delivered, or has failed for good."""
    delivered: bool


Key = tuple[str, str, State]
"""Incident, channel and state."""


def due(
    channel: Channel,
    incidents: Iterable[Incident],
    tried: Mapping[Key, Attempts],
    acknowledged: frozenset[str],
    now_ms: int,
) -> list[tuple[Incident, State]]:
    """What to send to a channel now, the oldest incident first.

    What opened in quiet hours is sent at their end if it is still open and nobody has acknowledged
    it. That it closed is sent only where its opening was delivered.
    """
    found: list[tuple[Incident, State]] = []
    for incident in incidents:
        if not channel.wants(incident) or channel.is_quiet(incident, now_ms):
            continue
        opened = tried.get((incident.incident_id, channel.id, "opened"))
        if not incident.closed_at_ms:
            if incident.incident_id not in acknowledged and _is_due(opened, now_ms):
                found.append((incident, "opened"))
        elif channel.closed and opened is not None and opened.delivered:
            closed = tried.get((incident.incident_id, channel.id, "closed"))
            if _is_due(closed, now_ms):
                found.append((incident, "closed"))
    return sorted(found, key=lambda one: (one[0].opened_at_ms, one[0].incident_id))


def is_last(attempts: int) -> bool:
    """Whether nothing more is tried after this many attempts."""
    return attempts >= len(RETRY_MS)


def _is_due(attempts: Attempts | None, now_ms: int) -> bool:
    if attempts is None:
        return True
    if attempts.settled:
        return False
    waited_ms = now_ms - attempts.last_ms
    return not is_last(attempts.number) and not 0 <= waited_ms < RETRY_MS[attempts.number]


def faults_of_channels(channels: tuple[Channel, ...], zones: frozenset[str]) -> list[str]:
    """Why channels cannot be used, a sentence each; ``zones`` are the time zones that exist."""
    faults = []
    seen: set[str] = set()
    for channel in channels:
        if channel.id in seen:
            faults.append(f"channel {channel.id!r} is there twice")
        seen.add(channel.id)
        if channel.quiet is None:
            continue
        if channel.quiet.tz not in zones:
            faults.append(
                f"channel {channel.id!r}: there is no time zone {channel.quiet.tz!r};"
                " give a name like Europe/Berlin"
            )
        if channel.quiet.begins == channel.quiet.ends:
            faults.append(f"channel {channel.id!r}: its quiet hours begin when they end")
    return faults


def message_of(sent: Iterable[tuple[Incident, State]]) -> tuple[str, str]:
    """Title and text of one message about several incidents, in order."""
    sent = list(sent)
    opened = sum(state == "opened" for _, state in sent)
    closed = len(sent) - opened
    parts = [
        f"{number} {word}" for number, word in ((opened, "opened"), (closed, "closed")) if number
    ]
    if len(sent) == 1:
        incident, state = sent[0]
        title = f"{incident.severity}: {incident.rule} of {incident.subject} {state}"
    else:
        title = "Incidents: " + ", ".join(parts)
    return title, "\n".join(_line(incident, state) for incident, state in sent)


def _line(incident: Incident, state: State) -> str:
    at_ms = incident.closed_at_ms if state == "closed" else incident.opened_at_ms
    at = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"{at} {state} [{incident.severity}] {incident.rule} of {incident.subject}:"
        f" {incident.evidence}"
    )
