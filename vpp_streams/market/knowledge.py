"""What a decision is made from: a fold of records, so that a replay from offsets gives the same.

Used by the optimizer as records come, and by `vpp explain` on those below a bid's offsets.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from schemas.dispatch import DispatchEvent, DispatchStatus
from schemas.encoding import decode_json, encode_json
from schemas.market import (
    PRODUCTS,
    Award,
    Bid,
    Clearing,
    Delivery,
    InputOffset,
    MarketTopicRecord,
    PlanView,
    Refusal,
)
from schemas.windows import Deliverable, RegionLive
from schemas.wire import UNREADABLE
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.decision.fallback import safe_bid
from vpp_streams.domain.market.ledger import Ledger, held_within, uncommitted_w
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import BidRefusedError, MarketRules, Prices, Storage, check_bid
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.kafka import topics

HISTORY_MS = 28 * DAY_MS
"""Prices that are older are not looked at."""
FRESH_MS = 15_000
"""What a region told longer ago is not what it can do now."""
_SLACK_MS = HOUR_MS
"""A record may be written so long before or after the time that it tells of."""
READ_BACK_MS: Mapping[topics.Topic[Any], int] = {
    topics.MARKET_AWARDS: HISTORY_MS + _SLACK_MS,
    topics.MARKET_BIDS: DAY_MS + _SLACK_MS,
    topics.MARKET_DELIVERIES: DAY_MS + _SLACK_MS,
    topics.MARKET_PLANS: DAY_MS + _SLACK_MS,
    topics.DISPATCH_EVENTS: FRESH_MS + 60_000,
    topics.REGION_LIVE: FRESH_MS + 60_000,
}
"""The inputs, and how long before a decision their records may have been written."""
WEAR_PER_MWH = 10.0
"""What a cycle costs the batteries, per MWh given."""

Record = MarketTopicRecord | Bid | DispatchEvent | RegionLive


@dataclass(frozen=True, slots=True)
class Input:
    """A record of an input topic."""

    topic: str
    """Without the namespace."""
    offset: int
    record: Record


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """Which decision is to be made."""

    rules: MarketRules
    region: str
    start_ms: int
    now_ms: int
    reserve: ReservePolicy


class Knowledge:
    """What the records of the input topics have told so far."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._next: dict[str, int] = {}
        self._clearings: dict[str, dict[int, Clearing]] = defaultdict(dict)
        self._history: dict[str, Prices] = {}
        """By market; made anew where a clearing has come since."""
        self._plans: dict[tuple[str, str], PlanView] = {}
        self._delivered: dict[tuple[str, str], dict[str, Delivery]] = defaultdict(dict)
        self._capability: dict[str, tuple[int, tuple[Deliverable, ...]]] = {}
        """By region: when it was told, and what devices that can be commanded could hold."""
        self._live: dict[str, RegionLive] = {}

    def apply(self, read: Input) -> None:
        """Take a record in."""
        self._next[read.topic] = read.offset + 1
        record = read.record
        match record:
            case Bid():
                self.ledger.bid(record)
            case Award() | Refusal():
                self.ledger.outcome(record)
            case Clearing():
                self._clearings[record.market][record.start_ms] = record
                self._history.pop(record.market, None)
            case PlanView():
                self._plans[record.market, record.region] = record
            case Delivery():
                mine = self._delivered[record.market, record.region]
                mine.setdefault(record.bid_id, record)
            case DispatchStatus():
                self._capability[record.region] = record.at_ms, record.capability
            case RegionLive():
                self._live[record.region] = record

    def sources(self) -> tuple[InputOffset, ...]:
        """Up to which record each input is taken in; one that told nothing is absent."""
        return tuple(
            InputOffset(topic=name, partition=0, offset=offset)
            for name, offset in sorted(self._next.items())
        )

    def inputs(self, asked: DecisionRequest) -> CycleInputs:
        """All that is known for a decision."""
        market, region, now_ms = asked.rules.name, asked.region, asked.now_ms
        held = self._held(region, now_ms)
        storage, stored_wh = storage_of(held) if held else (None, None)
        delivered = self._delivered[market, region].values()
        day_ago_ms = now_ms - DAY_MS
        return CycleInputs(
            rules=asked.rules,
            region=region,
            start_ms=asked.start_ms,
            now_ms=now_ms,
            history=self._prices(asked.rules, now_ms),
            storage=storage,
            stored_wh=stored_wh,
            awards=self.ledger.commitments(market, region, now_ms),
            delivered=tuple(
                sorted(
                    (d for d in delivered if d.start_ms >= day_ago_ms),
                    key=lambda delivery: delivery.start_ms,
                )
            ),
            reserve=asked.reserve,
            last_plan=self._plans.get((market, region)),
            sources=self.sources(),
        )

    def forget(self, now_ms: int) -> None:
        """Leave out what no decision looks at any more."""
        self.ledger.forget(now_ms - DAY_MS)
        oldest_ms = now_ms - READ_BACK_MS[topics.MARKET_AWARDS]
        for market, known in self._clearings.items():
            self._clearings[market] = {s: c for s, c in known.items() if s >= oldest_ms}
        for key, mine in self._delivered.items():
            since_ms = now_ms - DAY_MS - _SLACK_MS
            self._delivered[key] = {i: d for i, d in mine.items() if d.start_ms >= since_ms}

    def _held(self, region: str, now_ms: int) -> tuple[Deliverable, ...] | None:
        """What the region could hold: commandable devices, else all that report; None = not known.

        The region role tells both; the first is missing while no request was ever heard.
        """
        told = self._capability.get(region)
        if told is not None and now_ms - told[0] <= FRESH_MS and told[1]:
            return told[1]
        live = self._live.get(region)
        if live is None or now_ms - live.at_ms > FRESH_MS:
            return None
        return live.aggregate.deliverable or None

    def _prices(self, rules: MarketRules, now_ms: int) -> Prices:
        if rules.name not in self._history:
            self._history[rules.name] = _as_prices(rules, self._clearings[rules.name].values())
        known = self._history[rules.name]
        if known.interval_ms != rules.interval_ms:
            known = _as_prices(rules, self._clearings[rules.name].values())
        first = int(np.searchsorted(known.start_ms, now_ms - HISTORY_MS))
        return known.cut(slice(first, None))


def storage_of(held: tuple[Deliverable, ...]) -> tuple[Storage, float]:
    """A region's batteries as one, and the energy in them above the reserves, Wh.

    Power is what could be held for the shortest time that is told, energy what could be given
    (taken) over the longest one: a battery that needs longer, or is held back by its connection,
    counts for less than it has. Losses are not in what is told, so energies are those stored.
    """
    short = min(held, key=lambda told: told.duration_s)
    long = max(held, key=lambda told: told.duration_s)
    stored_wh = long.up_w * long.duration_s / 3600
    room_wh = long.down_w * long.duration_s / 3600
    storage = Storage(
        energy_wh=stored_wh + room_wh,
        charge_w=short.down_w,
        discharge_w=short.up_w,
        wear_per_mwh=WEAR_PER_MWH,
    )
    return storage, stored_wh


def inputs_from_records(records: Iterable[Input], asked: DecisionRequest) -> CycleInputs:
    """The inputs of a decision from the records of the input topics, each topic in order."""
    known = Knowledge()
    for read in records:
        known.apply(read)
    return known.inputs(asked)


def records_below(records: Iterable[Input], bid: Bid) -> Iterable[Input]:
    """Those of the records that had been read when a bid was decided."""
    ends = {source.topic: source.offset for source in bid.sources}
    return (read for read in records if read.offset < ends.get(read.topic, 0))


def sound_bid(inputs: CycleInputs, decided: Bid) -> Bid:
    """The bid that goes out: what is sold already cut off; a safe one where it is no bid at all."""
    try:
        # Read as the market does: a number that JSON does not have would make it no record.
        check_bid(decode_json(encode_json(decided), Bid), inputs.rules, inputs.now_ms)
    except (BidRefusedError, *UNREADABLE) as error:
        return safe_bid(inputs, (f"the decision was no bid: {error}",))
    if inputs.storage is None or inputs.stored_wh is None:
        return decided
    least_w, most_w = uncommitted_w(
        decided, inputs.now_ms, inputs.storage, inputs.stored_wh, inputs.awards
    )
    offer = held_within(decided.energy, least_w - 1.0, most_w + 1.0)
    if offer == decided.energy:
        return decided
    faults = (*decided.faults, f"cut to {least_w:.0f}..{most_w:.0f} W: the rest is sold already")
    return msgspec.structs.replace(decided, energy=offer, faults=faults)


def _as_prices(rules: MarketRules, clearings: Iterable[Clearing]) -> Prices:
    mine = [c for c in clearings if c.interval_ms == rules.interval_ms]
    mine.sort(key=lambda clearing: clearing.start_ms)
    return Prices(
        rules.name,
        rules.currency,
        rules.interval_ms,
        np.array([c.start_ms for c in mine], np.int64),
        {p: np.array([c.prices.get(p, np.nan) for c in mine], np.float64) for p in PRODUCTS},
    )
