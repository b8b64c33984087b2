"""The simulated market's loop: it looks at each gate, however long its broker takes."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import msgspec

from schemas.market import Gate
from tests.support.waiting import PATIENCE_S
from vpp_streams.domain.market.sim_market import SimMarket, sim_rules
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.simulated import MarketDesk, interval_trading
from vpp_streams.process.health import HealthReporter

INTERVAL_MS = 600_000
RULES = sim_rules(INTERVAL_MS, 60_000)
GATE_MS = 1_763_856_000_000 // INTERVAL_MS * INTERVAL_MS - 60_000


class SlowBroker:
    """An outlet whose first flush begins just before a gate closes, and ends after it."""

    def __init__(self) -> None:
        self.now_ms = GATE_MS - 100
        self.gates: list[int] = []
        self.second_opened = asyncio.Event()

    async def send(self, _topic: Topic, record: msgspec.Struct) -> None:
        if isinstance(record, Gate):
            self.gates.append(record.start_ms)

    async def flush(self) -> None:
        self.now_ms = GATE_MS + 100
        if len(self.gates) == 2:
            self.second_opened.set()


async def test_a_gate_that_closes_while_the_broker_is_slow_is_not_slept_through() -> None:
    broker = SlowBroker()
    outlet: Any = broker
    desk = MarketDesk(
        interval_trading(SimMarket(RULES)),
        MagicMock(follow_in=AsyncMock()),
        outlet,
        HealthReporter("market"),
        lambda: broker.now_ms,
    )
    loop = asyncio.create_task(desk.run())
    try:
        await asyncio.wait_for(broker.second_opened.wait(), PATIENCE_S)
    finally:
        loop.cancel()
    first = GATE_MS + RULES.gate_ms
    assert broker.gates == [first, first + INTERVAL_MS]
