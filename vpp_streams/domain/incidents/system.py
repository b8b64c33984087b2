"""What incidents' rules measure of the system itself: its processes, and what they refused."""

from collections import deque
from collections.abc import Iterator

from schemas.health import DOES_ALSO, Health
from vpp_streams.domain.incidents.watch import Measurement
from vpp_streams.domain.moments import MINUTE_MS

SYSTEM = "system"
SPAN_MS = 5 * MINUTE_MS
MAX_ROLES, MAX_PROCESSES, MAX_REFUSED = 100, 1000, 100_000
READINGS = ("canonical", "rejected")
"""Counters of role ``ingest``."""


class SystemSeen:
    """The newest reports of processes, and the refused records of the last minutes."""

    def __init__(self) -> None:
        self._roles: dict[str, int] = {}
        """When any process of a role last reported, ms."""
        self._refused: deque[int] = deque(maxlen=MAX_REFUSED)
        self._ingest: dict[tuple[str, int], deque[tuple[int, int, int]]] = {}
        """Of each run of a process: time, canonical and rejected readings since it started."""

    def expect(self, role: str, now_ms: int) -> None:
        """A role that should report, from now on at the latest."""
        self._roles.setdefault(role, now_ms)

    def health(self, health: Health, now_ms: int) -> None:
        """Apply a process's report."""
        if health.role in self._roles or len(self._roles) < MAX_ROLES:
            self._roles[health.role] = max(now_ms, self._roles.get(health.role, 0))
        if "ingest" not in (health.role, *DOES_ALSO.get(health.role, ())):
            return
        run = (health.process_id, health.started_at_ms)
        if run not in self._ingest and len(self._ingest) >= MAX_PROCESSES:
            self._ingest.pop(next(iter(self._ingest)))
        counts = self._ingest.setdefault(run, deque())
        canonical, rejected = (health.counters.get(name, 0) for name in READINGS)
        counts.append((now_ms, canonical, rejected))
        while counts[0][0] < now_ms - SPAN_MS:
            counts.popleft()

    def record_refused(self, at_ms: int) -> None:
        """A record that any process refused."""
        self._refused.append(at_ms)

    def measured(self, now_ms: int) -> Iterator[Measurement]:
        """Every measurement of the system."""
        for role, reported_ms in self._roles.items():
            age_s = max(now_ms - reported_ms, 0) / 1000
            said = f"no process of role {role} has reported for {age_s:,.0f} s"
            yield Measurement(kind="process_silent", subject=role, value=age_s, evidence=said)
        refused = sum(at_ms > now_ms - SPAN_MS for at_ms in self._refused)
        said = f"{refused:,} records were refused in the last 5 minutes"
        yield Measurement(
            kind="records_refused", subject=SYSTEM, value=float(refused), evidence=said
        )
        yield self._readings_refused(now_ms)

    def _readings_refused(self, now_ms: int) -> Measurement:
        recent = [
            (counts[0], counts[-1])
            for counts in self._ingest.values()
            if counts[-1][0] > now_ms - SPAN_MS
        ]
        accepted = sum(last[1] - first[1] for first, last in recent)
        rejected = sum(last[2] - first[2] for first, last in recent)
        total = accepted + rejected
        share = rejected / total if total > 0 else None
        said = (
            f"{rejected:,} of {total:,} readings were refused in the last 5 minutes"
            if total > 0
            else "no reading was received in the last 5 minutes"
        )
        return Measurement(kind="readings_refused", subject=SYSTEM, value=share, evidence=said)
