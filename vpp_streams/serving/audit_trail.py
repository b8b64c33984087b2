"""Publishes the audit trail: what the accounts' file keeps becomes records of topic ``audit``."""

import asyncio

import structlog
from aiokafka.errors import KafkaError
from msgspec.structs import asdict

from vpp_streams.accounts.audit import Audit
from vpp_streams.kafka import topics
from vpp_streams.serving.desk import WRITE_S, Kafka

log = structlog.get_logger()
PAUSE_S = 1.0


async def publish_for_ever(audit: Audit, kafka: Kafka) -> None:
    """Publish what is waiting, every second until cancelled; an outage of Kafka loses nothing."""
    while True:
        try:
            await publish_waiting(audit, kafka)
        except (KafkaError, TimeoutError) as error:
            log.warning("audit events wait for Kafka", error=type(error).__name__)
        await asyncio.sleep(PAUSE_S)


async def publish_waiting(audit: Audit, kafka: Kafka) -> int:
    """Publish the events that wait now; returns their number.

    Raises `KafkaError` or `TimeoutError`; what was not published is kept.
    """
    count = 0
    for event in audit.waiting():
        async with asyncio.timeout(WRITE_S):
            await kafka.write(topics.AUDIT, event)
        audit.published([event])
        log.info("audit", **{name: value for name, value in asdict(event).items() if value})
        count += 1
    return count
