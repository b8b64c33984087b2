"""Dead letters of the fleet role: what reached ``telemetry`` and no window can take."""

import base64

import orjson

from schemas.telemetry import Rejected, rejected_reading_id
from vpp_streams.domain.fleet.twins import Batch

MAX_ORIGINAL_BYTES = 65_536
"""Bytes kept of a frame that cannot be read: all of it may not fit into a record as base64."""


def too_late(topic: str, partition: int, offset: int, line: int, batch: Batch) -> Rejected:
    """A reading older than the windows that are kept."""
    detail = "The reading is older than the windows that are kept for corrections."
    return _of_reading(topic, partition, offset, line, batch, reason="too_late", detail=detail)


def maybe_repeat(topic: str, partition: int, offset: int, line: int, batch: Batch) -> Rejected:
    """A reading that may have been counted already: its boot or number was forgotten."""
    detail = "Its boot or number was forgotten, so it may be a repeat: it is not counted."
    return _of_reading(topic, partition, offset, line, batch, reason="maybe_repeat", detail=detail)


def _of_reading(
    topic: str, partition: int, offset: int, line: int, batch: Batch, *, reason: str, detail: str
) -> Rejected:
    """A dead letter whose original is the reading's canonical row."""
    values = {name: column[line].item() for name, column in batch.columns.items()}
    device_id, site_id = batch.device_id[line].as_py(), batch.site_id[line].as_py()
    values |= {"device_id": device_id, "site_id": site_id}
    return Rejected(
        rejected_id=rejected_reading_id(device_id, values["boot"], values["seq"], reason),
        reason=reason,
        detail=detail,
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
        line=line,
        received_at_ms=values["received_at_ms"],
        original_base64=base64.b64encode(orjson.dumps(values)).decode(),
        device_id=device_id,
        site_id=site_id,
    )


def bad_frame(
    topic: str, partition: int, offset: int, *, value: bytes | None, why: str, now_ms: int
) -> Rejected:
    """A record of ``telemetry`` that is no canonical frame."""
    return Rejected(
        rejected_id=f"{topic}-{partition}-{offset}--1",
        reason="bad_frame",
        detail=f"The record is no canonical frame: {why}.",
        source_topic=topic,
        source_partition=partition,
        source_offset=offset,
        line=-1,
        received_at_ms=now_ms,
        original_base64=base64.b64encode((value or b"")[:MAX_ORIGINAL_BYTES]).decode(),
    )
