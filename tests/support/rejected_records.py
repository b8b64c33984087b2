"""A rejected record, as the web process reads it."""

from base64 import b64encode
from typing import Any

import msgspec

from schemas.rejected import RejectedRecord
from tests.support.web_records import NOW_MS

REJECTED_RECORD = RejectedRecord(
    rejected_id="presence-4-17",
    source_topic="presence",
    source_partition=4,
    source_offset=17,
    written_at_ms=NOW_MS - 60_000,
    reason="invalid",
    detail="Expected `int` <= 7 - at `$.gateway_slot`",
    process="fleet-host-1",
    at_ms=NOW_MS - 1000,
    size=90,
    key_base64="",
    original_base64=b64encode(b'{"gateway_slot":40000}').decode(),
)


def rejected_record(**changes: Any) -> RejectedRecord:
    """Return a presence record with a gateway slot out of range, rejected a second ago."""
    return msgspec.structs.replace(REJECTED_RECORD, **changes)
