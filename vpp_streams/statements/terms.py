"""The terms that owners are paid by, read from topic ``programs`` where it answers."""

import asyncio

from schemas.programs import Program
from vpp_streams.errors import BrokerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.ranges import records_since
from vpp_streams.settings import Settings

READ_S = 15.0


async def terms_now(settings: Settings) -> list[Program]:
    """Every version of every program. Raises `BrokerError` where Kafka does not answer in time."""
    try:
        async with asyncio.timeout(READ_S):
            records = records_since(KafkaClients(settings), topics.PROGRAMS, 0)
            return [read.record async for read in records]
    except TimeoutError:
        raise BrokerError(f"Kafka did not answer within {READ_S:.0f} s") from None
