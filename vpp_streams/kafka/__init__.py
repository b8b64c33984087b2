"""Kafka as every process here uses it: clients made in one place, one way in and one way out."""

from vpp_streams.kafka.legacy import (
    apply_asset,
    ensure_topics,
    following,
    new_producer,
    read_to_end_then_follow,
    send_one,
)

__all__ = [
    "apply_asset",
    "ensure_topics",
    "following",
    "new_producer",
    "read_to_end_then_follow",
    "send_one",
]
