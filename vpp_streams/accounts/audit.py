"""The audit trail on its way to Kafka: kept in the file of accounts until it is published.

An event is in the same transaction as the change that it reports, and an outage of Kafka loses
none. Beyond `MOST_WAITING` the oldest ones are dropped, and counted.
"""

import secrets
from collections import Counter
from collections.abc import Iterable

import msgspec
import structlog

from schemas.audit import AuditEvent, AuditHow, AuditResult
from vpp_streams.accounts.store import Store

log = structlog.get_logger()
MOST_WAITING = 100_000
_LABEL, _SENTENCE, _CODE = 200, 2000, 64


class Audit:
    """Notes events, and hands them out until they are published."""

    def __init__(self, store: Store, counters: Counter[str] | None = None) -> None:
        """Dropped events are counted in ``counters``."""
        self._store = store
        self._counters = Counter() if counters is None else counters

    def note(
        self,
        at_ms: int,
        *,
        who: str,
        how: AuditHow,
        action: str,
        result: AuditResult,
        target: str = "",
        address: str = "",
        detail: str = "",
    ) -> None:
        """Keep an event until it is published.

        Text from clients is cut to the contract's limits, and loses its control characters.
        """
        event = AuditEvent(
            event_id=secrets.token_hex(12),
            at_ms=at_ms,
            who=_plain(who)[:_LABEL],
            how=how,
            action=action[:_CODE],
            target=_plain(target)[:_LABEL],
            address=_plain(address)[:_LABEL],
            result=result,
            detail=_plain(detail)[:_SENTENCE],
        )
        content = msgspec.json.encode(event)
        self._store.change("INSERT INTO audit VALUES (?, ?, ?)", event.event_id, at_ms, content)
        self._drop_oldest()

    def waiting(self, limit: int = 100) -> list[AuditEvent]:
        """The oldest events that are not published yet."""
        rows = self._store.rows("SELECT event FROM audit ORDER BY at_ms, rowid LIMIT ?", limit)
        return [msgspec.json.decode(content, type=AuditEvent) for (content,) in rows]

    def published(self, events: Iterable[AuditEvent]) -> None:
        """Forget events that Kafka has."""
        with self._store.together():
            for event in events:
                self._store.change("DELETE FROM audit WHERE id = ?", event.event_id)

    def _drop_oldest(self) -> None:
        dropped = self._store.change(
            "DELETE FROM audit WHERE rowid <= (SELECT max(rowid) FROM audit) - ?", MOST_WAITING
        )
        if dropped:
            self._counters["audit_dropped"] += dropped
            log.error("audit events were dropped: Kafka has not taken any for long", events=dropped)


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
