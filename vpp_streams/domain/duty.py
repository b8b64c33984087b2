"""When a standby may take over the duty of a role from the instance that has it.

These rules only decide how soon. That two instances never write is Kafka's decision: a takeover
starts the role's transactional producer again, and Kafka refuses whatever the former one still
sends (`vpp_streams.kafka.fenced`). A takeover that was too early therefore costs a restart, and
never a second writer.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.duty import Duty
from schemas.health import Health

BEAT_MS = 500
"""Interval between two reports of the instance on duty."""
SILENT_MS = 3_000
"""An instance that reports nothing for this long is replaced."""
STEP_MOST_MS = 500
"""Most silence that counts between two looks: a standby that was paused itself has missed the
reports, and must read for a while before it may say that there are none."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a role; ``started_at_ms`` tells it from an earlier one with its id."""

    process_id: str
    started_at_ms: int


class Standing:
    """What one instance of a role knows about the duty. Feed it each record, and look regularly."""

    def __init__(self, me: Instance, now_ms: int) -> None:
        self._me = me
        self.newest: Duty | None = None
        """The newest report of any instance."""
        self._silent_ms = 0
        self._looked_ms = now_ms

    def apply(self, record: Duty) -> None:
        """Apply a report, in the order of the log. One of an earlier term changes nothing."""
        if self.newest is not None and record.term < self.newest.term:
            return
        self.newest = record
        self._silent_ms = 0

    def not_answered(self) -> None:
        """Kafka does not answer: nobody can report, and silence begins again."""
        self._silent_ms = 0

    def look(self, now_ms: int) -> None:
        """Count the silence since the last look; ``now_ms`` is of a clock that never goes back."""
        passed_ms = max(now_ms - self._looked_ms, 0)
        self._silent_ms += min(passed_ms, STEP_MOST_MS)
        self._looked_ms = now_ms

    @property
    def may_claim(self) -> bool:
        """Whether this instance may take over now."""
        newest = self.newest
        if newest is None or newest.released:
            return True
        if newest.process_id == self._me.process_id:
            # An earlier process of our id has ended, or we would not have its id.
            return newest.started_at_ms < self._me.started_at_ms
        return self._silent_ms >= SILENT_MS

    def report(self, role: str, term: int, since_ms: int, now_ms: int, *, last: bool) -> Duty:
        """This instance's own report; ``last`` where it hands over."""
        return Duty(
            role=role,
            process_id=self._me.process_id,
            started_at_ms=self._me.started_at_ms,
            term=term,
            since_ms=since_ms,
            at_ms=now_ms,
            released=last,
        )

    @property
    def next_term(self) -> int:
        """Number of the term that a takeover begins."""
        return 1 if self.newest is None else self.newest.term + 1


def who_works(reports: Iterable[Duty], healths: Iterable[Health], now_ms: int) -> list[str]:
    """For each role with standbys, in words: who works since when, and who stands by.

    ``reports`` and ``healths`` are recent, in the order of the log.
    """
    newest = {report.role: report for report in reports}
    running = {health.process_id: health for health in healths if "on_duty" in health.gauges}
    found = []
    for role in sorted(newest.keys() | {health.role for health in running.values()}):
        report = newest.get(role)
        works = report is not None and not report.released and now_ms - report.at_ms < SILENT_MS
        word = (
            f"{report.process_id} for {(now_ms - report.since_ms) / 1000:.0f} s"
            if report is not None and works
            else "NOBODY"
        )
        warm = [h.process_id for h in running.values() if h.role == role and h.gauges["warm"]]
        standby = f"{', '.join(sorted(warm))} stands by" if warm else "no standby"
        found.append(f"{role}: {word} ({standby})")
    return found
