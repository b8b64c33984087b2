"""Kafka as every process here uses it: clients made in one place, one way in and one way out."""

from vpp_streams.kafka.clients import no_broker, no_topic
from vpp_streams.kafka.legacy import (
    apply_asset,
    ensure_topics,
    follow_all,
    following,
    new_producer,
    read_to_end_then_follow,
    records_since,
    send_one,
)

__all__ = [
    "apply_asset",
    "ensure_topics",
    "follow_all",
    "following",
    "new_producer",
    "no_broker",
    "no_topic",
    "read_to_end_then_follow",
    "records_since",
    "send_one",
]
