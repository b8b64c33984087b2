"""The inputs of a decision, as a fold of records: a replay from offsets gives the same inputs.

The optimizer folds records as they arrive, `vpp explain` those below a bid's offsets.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from schemas.dispatch import DispatchEvent, DispatchStatus
from schemas.forecast import RegionForecast
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
from schemas.orders import OrderBook
from schemas.published import SERIES_KINDS, PublishedSeries
from schemas.windows import Deliverable, RegionLive
from vpp_streams.domain.market.connection import NO_LIMITS, ConnectionLimits
from vpp_streams.domain.market.cycle_inputs import NO_SERIES, CycleInputs
from vpp_streams.domain.market.forecast.publications import Publications, feed_of
from vpp_streams.domain.market.forecast.series import Feed
from vpp_streams.domain.market.ledger import Ledger
from vpp_streams.domain.market.reserve import ReservePolicy
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage
from vpp_streams.domain.moments import DAY_MS, HOUR_MS

HISTORY_MS = 28 * DAY_MS
"""Older prices are not used."""
FRESH_MS = 15_000
"""A region's report that is older than this does not say what the region can do now."""
SLACK_MS = HOUR_MS
"""A record may be written this long before or after the time that it describes."""
WEAR_PER_MWH = 10.0
"""What discharging costs the batteries, money per MWh."""

PUBLISHED_MS = 2 * DAY_MS
"""Published prices that arrived earlier are not used: they are of days that are over."""

Record = (
    MarketTopicRecord
    | Bid
    | DispatchEvent
    | RegionLive
    | RegionForecast
    | PublishedSeries
    | OrderBook
)


@dataclass(frozen=True, slots=True)
class Input:
    """A record of an input topic."""

    topic: str
    """Name without the namespace."""
    offset: int
    record: Record
    written_at_ms: int = 0
    """When the broker wrote it; 0 = not known. Only a published series depends on it."""


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """Which decision to make: the market's rules, region, interval and reserve policy."""

    rules: MarketRules
    region: str
    start_ms: int
    now_ms: int
    reserve: ReservePolicy
    intervals: int = 1
    """Intervals that the decision is for; more than one = a day's."""
    limits: ConnectionLimits = NO_LIMITS
    """Of the region's grid connections, by the registry at the time."""


class Knowledge:
    """What the records of the input topics have reported so far."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._next: dict[str, int] = {}
        self._clearings: dict[str, dict[int, Clearing]] = defaultdict(dict)
        self._history: dict[str, Prices] = {}
        """By market; rebuilt after a newer clearing."""
        self._plans: dict[tuple[str, str], PlanView] = {}
        self._delivered: dict[tuple[str, str], dict[str, Delivery]] = defaultdict(dict)
        self._capability: dict[str, tuple[int, tuple[Deliverable, ...]]] = {}
        """By region: when it was reported, and what its commandable devices can hold."""
        self._live: dict[str, RegionLive] = {}
        self._published = Publications()
        self._books: dict[str, int] = {}
        """Ids of order books, with the time when each was made, ms."""
        self._forecasts: dict[str, RegionForecast] = {}
        """By region; of two with one start the first."""

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
            case OrderBook():
                self._books.setdefault(record.book_id, record.made_at_ms)
            case PublishedSeries():
                self._published.add(record, read.written_at_ms)
            case DispatchStatus() | RegionLive() | RegionForecast():
                self._apply_region(record)

    def _apply_region(self, record: DispatchStatus | RegionLive | RegionForecast) -> None:
        match record:
            case DispatchStatus():
                self._capability[record.region] = record.at_ms, record.capability
            case RegionLive():
                self._live[record.region] = record
            case RegionForecast():
                known = self._forecasts.get(record.region)
                if known is None or record.start_ms > known.start_ms:
                    self._forecasts[record.region] = record

    def has_book(self, id_: str) -> bool:
        """Whether an order book of this id was made."""
        return id_ in self._books

    def sources(self) -> tuple[InputOffset, ...]:
        """Offset up to which each input is applied; an input without records is absent."""
        return tuple(
            InputOffset(topic=name, partition=0, offset=offset)
            for name, offset in sorted(self._next.items())
        )

    def inputs(self, request: DecisionRequest) -> CycleInputs:
        """All that is known for a decision."""
        market, region, now_ms = request.rules.name, request.region, request.now_ms
        held = self._held(region, now_ms)
        storage, stored_wh = storage_of(held) if held else (None, None)
        delivered = self._delivered[market, region].values()
        day_ago_ms = now_ms - DAY_MS
        published, left_out = self._published_prices(request.rules, now_ms)
        live = self._fresh_live(region, now_ms)
        return CycleInputs(
            rules=request.rules,
            region=region,
            start_ms=request.start_ms,
            now_ms=now_ms,
            history=self._prices(request.rules, now_ms),
            storage=storage,
            stored_wh=stored_wh,
            awards=self.ledger.commitments(market, region, now_ms),
            delivered=tuple(
                sorted(
                    (d for d in delivered if d.start_ms >= day_ago_ms),
                    key=lambda delivery: delivery.start_ms,
                )
            ),
            reserve=request.reserve,
            last_plan=self._plans.get((market, region)),
            published=published,
            series=self._series(request) if request.intervals > 1 else NO_SERIES,
            left_out=left_out,
            region_forecast=self._forecasts.get(region),
            load_seen_w=live.aggregate.load_w if live else None,
            solar_seen_w=live.aggregate.solar_w if live else None,
            limits=request.limits,
            sources=self.sources(),
        )

    def forget(self, now_ms: int) -> None:
        """Drop what no decision can use any more."""
        self.ledger.forget(now_ms - DAY_MS)
        oldest_ms = now_ms - HISTORY_MS - SLACK_MS
        for market, known in self._clearings.items():
            self._clearings[market] = {s: c for s, c in known.items() if s >= oldest_ms}
        self._published.forget(oldest_ms)
        self._books = {id_: made for id_, made in self._books.items() if made >= oldest_ms}
        for key, mine in self._delivered.items():
            since_ms = now_ms - DAY_MS - SLACK_MS
            self._delivered[key] = {i: d for i, d in mine.items() if d.start_ms >= since_ms}

    def _held(self, region: str, now_ms: int) -> tuple[Deliverable, ...] | None:
        """What the region can hold: commandable devices, else all that report; None = not known.

        The region role reports both; the first only once it has received a request.
        """
        at_ms, capability = self._capability.get(region, (0, ()))
        if capability and now_ms - at_ms <= FRESH_MS:
            return capability
        live = self._fresh_live(region, now_ms)
        return (live.aggregate.deliverable or None) if live else None

    def _fresh_live(self, region: str, now_ms: int) -> RegionLive | None:
        live = self._live.get(region)
        return live if live is not None and now_ms - live.at_ms <= FRESH_MS else None

    def _published_prices(self, rules: MarketRules, now_ms: int) -> tuple[Feed, tuple[str, ...]]:
        """Prices that others expect, and sentences about those that are no prices of the market."""
        unit = f"{rules.currency}/MWh"
        known = self._published.since(rules.name, "price", now_ms - PUBLISHED_MS)
        others = sorted({one.series.unit for one in known} - {unit})
        left_out = tuple(
            f"published prices in {other} were left out: the market's are in {unit}"
            for other in others
        )
        mine = (one for one in known if one.series.unit == unit)
        return feed_of(mine, rules.interval_ms), left_out

    def _series(self, request: DecisionRequest) -> dict[str, Feed]:
        """Published forecasts of power, by kind."""
        market, since_ms = request.rules.name, request.now_ms - HISTORY_MS
        known = {
            kind: self._published.since(market, kind, since_ms)
            for kind in SERIES_KINDS
            if kind != "price"
        }
        interval_ms = request.rules.interval_ms
        return {str(kind): feed_of(mine, interval_ms) for kind, mine in known.items() if mine}

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

    Power is what the region can hold for the shortest reported duration, energy what it can give
    (take) over the longest one: a battery that needs longer, or is limited by its connection,
    counts for less than it has. Reports exclude losses, so these are stored energies.
    """
    short = min(held, key=lambda level: level.duration_s)
    long = max(held, key=lambda level: level.duration_s)
    stored_wh = long.up_w * long.duration_s / 3600
    room_wh = long.down_w * long.duration_s / 3600
    storage = Storage(
        energy_wh=stored_wh + room_wh,
        charge_w=short.down_w,
        discharge_w=short.up_w,
        wear_per_mwh=WEAR_PER_MWH,
    )
    return storage, stored_wh


def inputs_from_records(records: Iterable[Input], request: DecisionRequest) -> CycleInputs:
    """The inputs of a decision from the records of the input topics, each topic in order."""
    known = Knowledge()
    for read in records:
        known.apply(read)
    return known.inputs(request)


def records_below(records: Iterable[Input], made: Bid | OrderBook) -> Iterable[Input]:
    """The records that had been read when a bid or an order book was decided."""
    ends = {source.topic: source.offset for source in made.sources}
    return (read for read in records if read.offset < ends.get(read.topic, 0))


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
