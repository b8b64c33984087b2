"""The last day of each region's intervals, as the ``market.*`` topics report them.

Bounded, whatever the topics carry. `market_answers` turns it into what people see.
"""

import msgspec

from schemas.market import (
    Award,
    Bid,
    Clearing,
    Delivery,
    Gate,
    MarketTopicRecord,
    PlanView,
    Refusal,
    Shortfall,
)
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import RefusedError

MAX_INTERVALS = 2_880
"""Intervals kept per region, and prices per market: a day of intervals of 30 s."""
MAX_REGIONS = 60
"""Pairs of market and region; beyond it the ones without records for longest are dropped."""
MAX_MARKETS = 20
Offered = Bid | Award | Refusal | Delivery | Shortfall


class Forecast(msgspec.Struct, frozen=True):
    """The forecast of an interval's price, before its gate."""

    low: float | None
    mid: float
    high: float | None


class Interval:
    """All records of one interval of a region; the first bid, outcome and delivery stand."""

    __slots__ = ("bid", "delivery", "forecast", "outcome", "planned_w", "shortfall")

    def __init__(self) -> None:
        self.bid: Bid | None = None
        self.outcome: Award | Refusal | None = None
        self.delivery: Delivery | None = None
        self.shortfall: Shortfall | None = None
        """The newest one."""
        self.forecast: Forecast | None = None
        self.planned_w: float | None = None

    @property
    def award(self) -> Award | None:
        """What the market took of the bid."""
        return self.outcome if isinstance(self.outcome, Award) else None

    @property
    def refusal(self) -> Refusal | None:
        """Why the market did not take the bid."""
        return self.outcome if isinstance(self.outcome, Refusal) else None

    @property
    def first_record(self) -> Bid | Award | Refusal | Delivery | None:
        """The first record of the bid's story that we have; it has the bid's id."""
        return self.bid or self.outcome or self.delivery

    @property
    def missing_w(self) -> float:
        """Power of the award that will be missing, by the newest shortfall, with its sign."""
        return self.shortfall.missing_w if self.shortfall is not None else 0.0

    @property
    def overridden(self) -> bool:
        """Whether that power is missing because another request takes precedence."""
        return self.shortfall is not None and bool(self.shortfall.overridden_by)


class Region:
    """A region in a market."""

    def __init__(self) -> None:
        self.intervals: dict[int, Interval] = {}
        self.plan: PlanView | None = None
        self.version = 0
        self.updated_ms = 0


class Book:
    """A market: its prices and its newest gate."""

    def __init__(self) -> None:
        self.prices: dict[int, float] = {}
        """Energy prices by the start of their interval."""
        self.gate: Gate | None = None
        self.interval_ms = 0
        self.currency: str | None = None
        self.version = 0
        self.updated_ms = 0


class Markets:
    """Markets and the regions that bid into them."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}
        self.regions: dict[tuple[str, str], Region] = {}
        """By market and region."""
        self._changes = 0

    def apply(self, record: MarketTopicRecord | Bid, now_ms: int) -> None:
        """Apply a record. Intervals more than a day from ``now_ms`` are left out.

        Raises `RefusedError` for a bid, or its outcome, whose id is not its interval's.
        """
        self._changes += 1
        match record:
            case Gate():
                self._gate(record, now_ms)
            case Clearing():
                self._clearing(record, now_ms)
            case PlanView():
                self._plan(record, now_ms)
            case _:
                self._offered(record, now_ms)

    def find(self, id_: str) -> tuple[str, str, int] | None:
        """Market, region and start of a bid's interval; None where the id is not known."""
        for (market, region), kept in self.regions.items():
            if not id_.startswith(f"{market}:{region}:"):
                continue
            for start_ms in kept.intervals:
                if id_ == bid_id(market, region, start_ms):
                    return market, region, start_ms
        return None

    def _gate(self, gate: Gate, now_ms: int) -> None:
        if _is_near(gate.start_ms, now_ms):
            book = self._book(gate.market, now_ms)
            book.gate = gate
            _keep_to(book, gate.interval_ms)

    def _clearing(self, clearing: Clearing, now_ms: int) -> None:
        price = clearing.prices.get("energy")
        if price is None or not _is_near(clearing.start_ms, now_ms):
            return
        book = self._book(clearing.market, now_ms)
        _keep_to(book, clearing.interval_ms)
        book.currency = clearing.currency
        book.prices[clearing.start_ms] = price
        _keep_day(book.prices, now_ms)

    def _plan(self, plan: PlanView, now_ms: int) -> None:
        if not _is_near(plan.start_ms, now_ms):
            return
        region = self._region(plan.market, plan.region, now_ms)
        region.plan = plan
        interval = _interval(region, plan.start_ms, now_ms)
        interval.planned_w = plan.power_w[0] if plan.power_w else None
        if plan.price:
            low = plan.price_low[0] if plan.price_low else None
            high = plan.price_high[0] if plan.price_high else None
            interval.forecast = Forecast(low, plan.price[0], high)

    def _offered(self, record: Offered, now_ms: int) -> None:
        start_ms = _start_of(record)
        if not _is_near(start_ms, now_ms):
            return
        region = self._region(record.market, record.region, now_ms)
        interval = _interval(region, start_ms, now_ms)
        match record:
            case Bid():
                interval.bid = interval.bid or record
                book = self._book(record.market, now_ms)
                # The market's own records of these go before a bidder's.
                book.interval_ms = book.interval_ms or record.interval_ms
                book.currency = book.currency or record.currency
            case Award() | Refusal():
                interval.outcome = interval.outcome or record
            case Delivery():
                interval.delivery = interval.delivery or record
            case Shortfall():
                interval.shortfall = record

    def _book(self, market: str, now_ms: int) -> Book:
        if market not in self.books and len(self.books) >= MAX_MARKETS:
            del self.books[min(self.books, key=lambda key: self.books[key].updated_ms)]
        book = self.books.setdefault(market, Book())
        book.version, book.updated_ms = self._changes, now_ms
        return book

    def _region(self, market: str, region: str, now_ms: int) -> Region:
        key = market, region
        if key not in self.regions and len(self.regions) >= MAX_REGIONS:
            del self.regions[min(self.regions, key=lambda key: self.regions[key].updated_ms)]
        kept = self.regions.setdefault(key, Region())
        kept.version, kept.updated_ms = self._changes, now_ms
        return kept


def _start_of(record: Offered) -> int:
    """Start of a record's interval. Raises `RefusedError` where its id is that of another."""
    if isinstance(record, Refusal):
        tail = record.bid_id.rpartition(":")[2]
        start_ms = int(tail) if tail.isascii() and tail.isdecimal() else -1
    else:
        start_ms = record.start_ms
    if record.bid_id != bid_id(record.market, record.region, start_ms):
        raise RefusedError(f"{record.bid_id} is not the id of a bid for {start_ms}")
    return start_ms


def _keep_to(book: Book, interval_ms: int) -> None:
    """Set the length of a market's intervals; prices of another length would overlap."""
    if book.interval_ms != interval_ms:
        book.prices.clear()
    book.interval_ms = interval_ms


def _interval(region: Region, start_ms: int, now_ms: int) -> Interval:
    found = region.intervals.get(start_ms)
    if found is None:
        found = region.intervals[start_ms] = Interval()
        _keep_day(region.intervals, now_ms)
    return found


def _is_near(start_ms: int, now_ms: int) -> bool:
    return abs(start_ms - now_ms) <= DAY_MS


def _keep_day(by_start: dict[int, Interval] | dict[int, float], now_ms: int) -> None:
    """Drop what is older than a day, and the oldest beyond `MAX_INTERVALS`."""
    while by_start:
        # They arrive almost in order: the first is nearly always the oldest.
        first = next(iter(by_start))
        if first >= now_ms - DAY_MS and len(by_start) <= MAX_INTERVALS:
            return
        oldest = first if first < now_ms - DAY_MS else min(by_start)
        del by_start[oldest]
