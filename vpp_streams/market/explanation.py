"""A bid explained: its inputs are read up to the bid's offsets, and the decision is repeated."""

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from schemas.market import (
    Award,
    Bid,
    Clearing,
    Delivery,
    MarketTopicRecord,
    Refusal,
    Shortfall,
)
from vpp_streams.domain.market.connection import ConnectionLimits
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.autobidder import Autobidder
from vpp_streams.domain.market.decision.sound_bid import sound_bid
from vpp_streams.domain.market.knowledge import (
    DecisionRequest,
    Input,
    inputs_from_records,
    records_below,
)
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.sim_market import sim_rules
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.errors import InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.ranges import RangeReader, reading
from vpp_streams.kafka.topic import Topic
from vpp_streams.market.input_topics import READ_BACK_MS
from vpp_streams.settings import Settings

_BEFORE_MS, _AFTER_MS = 3 * HOUR_MS, 3 * HOUR_MS
"""A bid is at most this much older than its interval; its delivery follows within this time."""
_NEWEST_BIDS = 5
_PROGRESS_EVERY = 20_000
Progress = Callable[[str], None]
T = TypeVar("T")


class InputFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of a decision in figures; null = not known."""

    records: dict[str, int]
    """Number of records read per topic."""
    stored_wh: float | None
    """Energy above the owners' reserves at the time of the decision."""
    energy_wh: float | None
    charge_w: float | None
    discharge_w: float | None
    prices: int
    newest_price_ms: int | None
    """Start of the newest interval whose price was known."""
    newest_price: float | None
    open_awards: int
    """Number of intervals that were not over and already sold."""
    delivered: int
    """Number of deliveries of the day before, which the reserve policy uses."""


class BidOutcome(msgspec.Struct, kw_only=True):
    """The outcome of a bid; null = not published yet."""

    price: float | None = None
    """Clearing price of energy."""
    award: Award | None = None
    refusal: Refusal | None = None
    delivery: Delivery | None = None
    shortfall: Shortfall | None = None
    """The newest shortfall."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A bid, its inputs, the repeated decision, and the outcome."""

    bid: Bid
    inputs: InputFigures
    lost: tuple[str, ...]
    """Sentences that name the inputs that are no longer kept."""
    again: Bid
    differs: tuple[str, ...]
    """Differences of the repeated decision; empty = it is the same."""
    became: BidOutcome


async def explain(settings: Settings, id_: str, progress: Progress) -> Explanation:
    """Read the inputs, repeat the decision and compare.

    Raises `InputError` for a bid that does not exist or is not of the simulated market, and for an
    order book; `BrokerError` where Kafka does not answer.
    """
    if ":day-" in id_:
        raise InputError(
            f"{id_[:200]!r} is an order book; only bids for one interval are explained here. Its"
            " faults, forecast and input offsets are in topic market.orders"
        )
    # Each jump waits for the fetch before it.
    async with reading(KafkaClients(settings), *READ_BACK_MS, fetch_max_wait_ms=20) as ranges:
        reader = _Reader(ranges, progress)
        bid = await _find(reader, id_)
        if bid.market != "sim":
            raise InputError(
                f"{id_} is of market {bid.market}; only the rules of the simulated market, sim,"
                " are known here"
            )
        records, lost = await _inputs(reader, bid)
        progress("deciding again")
        inputs = inputs_from_records(records_below(records, bid), request_of(bid))
        again = decide_again(inputs)
        return Explanation(
            bid=bid,
            inputs=_figures(inputs, records),
            lost=lost,
            again=again,
            differs=differences(bid, again),
            became=await _outcome(reader, bid),
        )


def request_of(bid: Bid) -> DecisionRequest:
    """The request that a bid of the simulated market answers."""
    into_w, out_w = bid.import_limit_w, bid.export_limit_w
    return DecisionRequest(
        rules=sim_rules(bid.interval_ms, bid.start_ms - bid.gate_ms, bid.metered_at),
        region=bid.region,
        start_ms=bid.start_ms,
        now_ms=bid.made_at_ms,
        reserve=ReservePolicy(),
        limits=ConnectionLimits(
            math.inf if into_w is None else into_w, math.inf if out_w is None else out_w
        ),
    )


def decide_again(inputs: CycleInputs) -> Bid:
    """The decision, without a time limit."""
    decided, _plan = Autobidder().decide(inputs, time.monotonic, float("inf"))
    return sound_bid(inputs, decided)


def differences(bid: Bid, again: Bid) -> tuple[str, ...]:
    """Differences between two offers; the rung and the time taken do not count."""
    found = []
    if again.energy != bid.energy:
        found.append("the energy curve")
    if again.capacity != bid.capacity:
        found.append("the capacity offers")
    if again.expected_w != bid.expected_w:
        found.append(f"the expected power: {again.expected_w:.0f} W, not {bid.expected_w:.0f} W")
    return tuple(found)


class _Reader:
    """Reads ranges of the input topics, of one partition each, and reports progress."""

    def __init__(self, ranges: RangeReader, progress: Progress) -> None:
        self._ranges = ranges
        self._progress = progress

    async def bounds(self, topic: Topic, since_ms: int) -> tuple[int, int, int]:
        """Offsets: the first that is kept, the first written since then, and the end."""
        return await self._ranges.bounds(topic, since_ms)

    async def read(self, topic: Topic[T], first: int, end: int) -> AsyncIterator[Read[T]]:
        """Records from an offset on, below another."""
        seen = 0
        async for read in self._ranges.read(topic, first, end):
            seen += 1
            if seen % _PROGRESS_EVERY == 0:
                part = (read.offset - first) / max(end - first, 1)
                self._progress(f"reading {topic.name}: {part:.0%}")
            yield read


async def _find(reader: _Reader, id_: str) -> Bid:
    """The first record of the bid. Raises `InputError` where there is none."""
    tail = id_.rpartition(":")[2]
    if tail.isdecimal() and len(tail) <= 15:
        start_ms = int(tail)
        _, first, _ = await reader.bounds(topics.MARKET_BIDS, start_ms - _BEFORE_MS)
        _, after, _ = await reader.bounds(topics.MARKET_BIDS, start_ms)
        async for read in reader.read(topics.MARKET_BIDS, first, after):
            if read.record.bid_id == id_:
                return read.record
    kept, _, end = await reader.bounds(topics.MARKET_BIDS, 0)
    newest = [
        read.record.bid_id
        async for read in reader.read(topics.MARKET_BIDS, max(kept, end - 50), end)
    ]
    known = ", ".join(list(dict.fromkeys(newest))[-_NEWEST_BIDS:][::-1])
    raise InputError(
        f"there is no bid {id_[:200]!r} in market.bids (kept for"
        f" {topics.MARKET_BIDS.retention_ms // DAY_MS} days);"
        f" {f'the newest: {known}' if known else 'none was made yet'}"
    )


async def _inputs(reader: _Reader, bid: Bid) -> tuple[list[Input], tuple[str, ...]]:
    """The input records that the decision had read, and those of them that are no longer kept."""
    ends = {source.topic: source.offset for source in bid.sources}
    found: list[Input] = []
    lost: list[str] = []
    for topic, back_ms in READ_BACK_MS.items():
        wanted_end = ends.get(topic.name, 0)
        if not wanted_end:
            continue
        kept, first, end = await reader.bounds(topic, bid.made_at_ms - back_ms)
        began = len(found)
        oldest_ms: int | None = None
        async for read in reader.read(topic, first, min(wanted_end, end)):
            oldest_ms = oldest_ms or read.written_at_ms
            found.append(Input(topic.name, read.offset, read.record, read.written_at_ms))
        if wanted_end > end:
            lost.append(f"{topic.name} ends at {end}, {wanted_end} had been read: it was made anew")
        elif kept >= wanted_end:
            lost.append(f"{topic.name}: nothing of it is kept any more, its first is {kept}")
        elif kept and first == kept and len(found) > began and oldest_ms is not None:
            lost.append(f"{topic.name} is kept only from {_utc(oldest_ms)} on")
    return found, tuple(lost)


async def _outcome(reader: _Reader, bid: Bid) -> BidOutcome:
    """The bid's outcome and delivery."""
    became = BidOutcome()
    over_ms = bid.start_ms + bid.interval_ms + _AFTER_MS
    reported_in: tuple[Topic[Any], ...] = (topics.MARKET_AWARDS, topics.MARKET_DELIVERIES)
    for topic in reported_in:
        _, first, end = await reader.bounds(topic, bid.made_at_ms - HOUR_MS)
        async for read in reader.read(topic, first, end):
            if read.written_at_ms > over_ms or became.delivery is not None:
                break
            _add_outcome(became, read.record, bid)
    return became


def _add_outcome(became: BidOutcome, record: MarketTopicRecord, bid: Bid) -> None:
    match record:
        case Clearing() if (record.market, record.start_ms) == (bid.market, bid.start_ms):
            became.price = record.prices.get("energy")
        case Shortfall() if record.bid_id == bid.bid_id:
            became.shortfall = record
        case Award() if record.bid_id == bid.bid_id:
            became.award = became.award or record
        case Refusal() if record.bid_id == bid.bid_id:
            became.refusal = became.refusal or record
        case Delivery() if record.bid_id == bid.bid_id:
            became.delivery = record


def _figures(inputs: CycleInputs, records: Iterable[Input]) -> InputFigures:
    counts: dict[str, int] = {}
    for read in records:
        counts[read.topic] = counts.get(read.topic, 0) + 1
    storage, history = inputs.storage, inputs.history
    known = len(history.start_ms) > 0
    return InputFigures(
        records=counts,
        stored_wh=inputs.stored_wh,
        energy_wh=storage.energy_wh if storage else None,
        charge_w=storage.charge_w if storage else None,
        discharge_w=storage.discharge_w if storage else None,
        prices=len(history.start_ms),
        newest_price_ms=int(history.start_ms[-1]) if known else None,
        newest_price=float(history.energy[-1]) if known else None,
        open_awards=len(inputs.awards),
        delivered=len(inputs.delivered),
    )


def _utc(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
