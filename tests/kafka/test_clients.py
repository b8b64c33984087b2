"""A producer during a block: whatever happens when it is closed, the block's error is raised."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from vpp_streams.errors import BrokerError
from vpp_streams.kafka.clients import KafkaClients, producing


def clients_of(stop: Callable[[], Awaitable[None]]) -> KafkaClients:
    """Clients whose producer starts at once and stops like this."""

    async def start() -> None:
        return

    producer = SimpleNamespace(start=start, stop=stop)
    security = SimpleNamespace(tokens=None)
    return cast(
        KafkaClients, SimpleNamespace(producer=lambda _linger_ms: producer, security=security)
    )


async def test_a_sender_that_ends_as_cancelled_does_not_hide_the_error() -> None:
    async def stop() -> None:
        raise asyncio.CancelledError

    with pytest.raises(BrokerError, match="the reason"):
        async with producing(clients_of(stop)):
            raise BrokerError("the reason")


async def test_a_broker_that_is_away_is_waited_for_no_longer_than_stated() -> None:
    ended = asyncio.Event()

    async def stop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(BrokerError, match="the reason"):
        async with producing(clients_of(stop), finish_s=0.0):
            raise BrokerError("the reason")
    assert ended.is_set(), "nothing of it is left"


async def test_what_goes_wrong_while_it_is_closed_is_raised() -> None:
    async def stop() -> None:
        raise BrokerError("it was fenced")

    with pytest.raises(BrokerError, match="it was fenced"):
        async with producing(clients_of(stop)):
            pass
