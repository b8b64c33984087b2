"""The newest refused records, each once, and whether they are recent enough for an alarm."""

from collections import Counter, deque
from itertools import islice

from schemas.rejected import RejectedRecord
from vpp_streams.serving.newest_commands import REFUSED_LATELY_MS
from vpp_streams.serving.rejections import preview
from vpp_streams.serving.views import RejectedRecordRow, RejectedRecordsPage

_MAX_TIMES = 10_000


class RejectedRecords:
    """The content of topic ``records.rejected``; a dead letter written twice counts once."""

    def __init__(self, keep: int = 1000) -> None:
        self._keep = keep
        self._newest: dict[str, RejectedRecordRow] = {}
        self._counts: Counter[str] = Counter()
        self._times_ms: deque[int] = deque(maxlen=_MAX_TIMES)

    def apply(self, rejected: RejectedRecord) -> None:
        """Count and keep a refused record, unless it is known."""
        if rejected.rejected_id in self._newest:
            return
        self._counts[rejected.source_topic] += 1
        self._times_ms.append(rejected.at_ms)
        self._newest[rejected.rejected_id] = _row(rejected)
        if len(self._newest) > self._keep:
            del self._newest[next(iter(self._newest))]

    def lately(self, now_ms: int) -> int:
        """Number of records refused in the last minutes: more than 0 is an alarm."""
        return sum(now_ms - at_ms <= REFUSED_LATELY_MS for at_ms in self._times_ms)

    def page(self, topic: str | None, limit: int, now_ms: int) -> RejectedRecordsPage:
        """The newest ``limit`` refused records, of one topic if it is given."""
        newest_first = reversed(self._newest.values())
        found = (row for row in newest_first if topic is None or row.topic == topic)
        return RejectedRecordsPage(
            lately=self.lately(now_ms),
            counts=dict(self._counts.most_common()),
            rejected=list(islice(found, limit)),
        )


def _row(rejected: RejectedRecord) -> RejectedRecordRow:
    text, _ = preview(rejected.original_base64)
    return RejectedRecordRow(
        rejected_id=rejected.rejected_id,
        topic=rejected.source_topic,
        partition=rejected.source_partition,
        offset=rejected.source_offset,
        written_at_ms=rejected.written_at_ms,
        at_ms=rejected.at_ms,
        reason=rejected.reason,
        detail=rejected.detail,
        process=rejected.process,
        original=text,
        original_bytes=rejected.size,
    )
