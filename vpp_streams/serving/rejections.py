"""The newest rejected readings, each once, and their number by reason."""

import base64
import binascii
from collections import Counter
from collections.abc import Callable
from itertools import islice

from schemas.telemetry import Rejected
from vpp_streams.serving.views import RejectedPage, RejectedRow

PREVIEW_CHARS = 2000
_MAX_REASONS = 200
OTHER = "other"


class Rejections:
    """The content of topic ``telemetry.rejected``; a reading published again counts once."""

    def __init__(self, keep: int = 2000) -> None:
        self._keep = keep
        self._newest: dict[str, RejectedRow] = {}
        self._counts: Counter[str] = Counter()

    def apply(self, rejected: Rejected) -> None:
        """Count and keep a rejected reading, unless it is known."""
        if rejected.rejected_id in self._newest:
            return
        known = rejected.reason in self._counts or len(self._counts) < _MAX_REASONS
        self._counts[rejected.reason if known else OTHER] += 1
        # The original may be a frame of megabytes: only the part that is shown is kept.
        self._newest[rejected.rejected_id] = _row(rejected)
        if len(self._newest) > self._keep:
            del self._newest[next(iter(self._newest))]

    def reasons(self) -> list[str]:
        """Reasons received so far, sorted."""
        return sorted(self._counts)

    def page(
        self,
        reason: str | None,
        limit: int,
        sees: Callable[[str | None], bool] | None = None,
    ) -> RejectedPage:
        """The newest ``limit`` rejected readings, of one reason if it is given.

        With ``sees(site_id)`` only those of sites for which it returns true are shown, and counted
        among those that are kept.
        """
        newest_first = [
            row for row in reversed(self._newest.values()) if not sees or sees(row.site_id)
        ]
        found = (row for row in newest_first if reason is None or row.reason == reason)
        counts = self._counts if sees is None else Counter(row.reason for row in newest_first)
        return RejectedPage(counts=dict(counts.most_common()), rejected=list(islice(found, limit)))


def _row(rejected: Rejected) -> RejectedRow:
    text, size = preview(rejected.original_base64)
    return RejectedRow(
        rejected_id=rejected.rejected_id,
        reason=rejected.reason,
        detail=rejected.detail,
        received_at_ms=rejected.received_at_ms,
        source=(
            f"{rejected.source_topic}/{rejected.source_partition}"
            f" @ {rejected.source_offset}, line {rejected.line}"
        ),
        device_id=rejected.device_id,
        site_id=rejected.site_id,
        original=text,
        original_bytes=size,
    )


def preview(original_base64: str) -> tuple[str, int]:
    """The bytes as readable text of at most `PREVIEW_CHARS`, and their number."""
    try:
        original = base64.b64decode(original_base64, validate=True)
    except (binascii.Error, ValueError):
        return "(the record's base64 cannot be read)", 0
    head = original[: 4 * PREVIEW_CHARS]
    try:
        # The cut may split a character: that alone does not make it binary.
        text = head.decode(errors="strict" if len(head) == len(original) else "ignore")
    except UnicodeDecodeError:
        text = head.hex(" ")
    return (text if len(text) <= PREVIEW_CHARS else text[:PREVIEW_CHARS] + " …"), len(original)
