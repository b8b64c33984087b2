"""The flows of past events: from the windows in memory, and the older ones from history."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import structlog

from schemas.windows import SiteWindow
from vpp_streams.domain.history.kinds import BY_NAME, Kind
from vpp_streams.domain.statements.flows import EventFlows, event_flows
from vpp_streams.domain.statements.past_events import PastEvent
from vpp_streams.errors import VppError
from vpp_streams.history.reports import NoHistoryError, open_history
from vpp_streams.settings import Settings

log = structlog.get_logger()

LIMIT_S = 4.0
_KINDS = (BY_NAME["site_minutes"], BY_NAME["site_windows"])
"""Minutes are kept for a shorter time, and most events are no quarters of an hour."""


Span = tuple[int, int]
"""Start and end of an event, ms."""


def span_of(event: PastEvent) -> Span:
    """Start and end of an event."""
    return event.start_ms, event.end_ms


class PastFlows:
    """Reads windows of past events from a directory of history, which may not exist yet."""

    def __init__(self, settings: Settings, counters: Counter[str]) -> None:
        self._root = settings.history_dir
        self._lateness_ms = settings.window_retention_s * 1000
        self._counters = counters

    def of(
        self, site_id: str, events: Collection[PastEvent], reserve: Mapping[Span, float | None]
    ) -> dict[Span, EventFlows]:
        """Flows of events by start and end; one that is not in history completely is left out.

        ``reserve`` is that of the owner in each event. It reads files: not for the
        event loop. A history that cannot be read is counted and logged, and gives no flows.
        """
        found: dict[Span, EventFlows] = {}
        for kind in _KINDS:
            spans = [span for event in events if (span := span_of(event)) not in found]
            windows = self._windows(kind, site_id, spans) if spans else []
            for span in spans:
                if (flows := event_flows(windows, *span, reserve[span])) is not None:
                    found[span] = flows
        return found

    def _windows(self, kind: Kind, site_id: str, spans: Sequence[Span]) -> list[SiteWindow]:
        try:
            history = open_history(self._root, self._lateness_ms)
            return history.site_windows(kind, site_id, spans, LIMIT_S)
        except NoHistoryError:
            return []
        except VppError as error:
            self._counters["history_reads_failed"] += 1
            log.warning("flows of past events cannot be read", reason=str(error))
            return []
