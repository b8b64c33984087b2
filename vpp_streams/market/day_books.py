"""The optimizer's order books: one for each region and day of a day-ahead auction."""

import asyncio
import time
from collections.abc import Callable

import msgspec
import structlog

from schemas.market import Gate
from schemas.orders import OrderBook
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.day_ahead.decision import decide_day, empty_book
from vpp_streams.domain.market.day_ahead.order_books import book_id
from vpp_streams.domain.market.knowledge import DecisionRequest, Knowledge
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.sim_days import sim_day_rules
from vpp_streams.kafka import topics
from vpp_streams.market.awards import Send
from vpp_streams.process.health import HealthReporter

log = structlog.get_logger()

WAIT_SHARE = 0.75
"""Share of the time to the gate that a decision may take."""
DecideDay = Callable[[CycleInputs, int], OrderBook]


class DayBooks:
    """Decides and sends order books."""

    def __init__(
        self,
        known: Knowledge,
        health: HealthReporter,
        send: Send,
        now_ms: Callable[[], int],
        *,
        decide: DecideDay = decide_day,
    ) -> None:
        self._known = known
        self._counters = health.counters
        self._send = send
        self._now_ms = now_ms
        self._decide_day = decide
        self._made: set[str] = set()
        """Ids of our books, whether or not they are in the topic yet."""

    async def book_for(self, gate: Gate, region: str) -> None:
        """One region's book for one day, unless it has one."""
        id_, now_ms = book_id(gate.market, region, gate.start_ms), self._now_ms()
        if self._known.has_book(id_) or id_ in self._made:
            return
        if now_ms >= gate.gate_ms:
            self._counters["gates_missed"] += 1
            log.warning("no book was made in time", book=id_, late_ms=now_ms - gate.gate_ms)
            return
        inputs = self._known.inputs(day_request(gate, region, now_ms))
        book = await self._decide(inputs, gate)
        self._made.add(id_)
        await self._send(topics.MARKET_ORDERS, book)
        self._counters["books"] += 1
        self._counters["loops"] += len(book.loops)
        self._counters["late"] += self._now_ms() > gate.gate_ms

    async def _decide(self, inputs: CycleInputs, gate: Gate) -> OrderBook:
        """The decision; a book that offers nothing where it fails or takes too long."""
        left_s, began_s = (gate.gate_ms - self._now_ms()) / 1000, time.monotonic()
        try:
            async with asyncio.timeout(WAIT_SHARE * left_s):
                book = await asyncio.to_thread(self._decide_day, inputs, gate.intervals)
            return msgspec.structs.replace(
                book, solve_ms=round((time.monotonic() - began_s) * 1e3, 3)
            )
        except TimeoutError:
            fault = "the decision took too long"
        except Exception as error:  # of any kind: the gate must be met
            fault = f"the decision failed: {error!r}"[:200]
            log.exception("the decision failed", region=inputs.region, start_ms=inputs.start_ms)
        self._counters["decisions_failed"] += 1
        return empty_book(inputs, gate.intervals, (fault,))


def day_request(gate: Gate, region: str, now_ms: int) -> DecisionRequest:
    """The decision that a gate of the simulated auction asks for."""
    return DecisionRequest(
        rules=sim_day_rules(gate.interval_ms),
        region=region,
        start_ms=gate.start_ms,
        now_ms=now_ms,
        reserve=ReservePolicy(),
        intervals=gate.intervals,
    )
