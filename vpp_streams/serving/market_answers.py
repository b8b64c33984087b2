"""Views of the markets' read model; a region's is encoded only when something changed in it."""

import hashlib
from collections.abc import Callable

import msgspec

from schemas.market import Bid
from vpp_streams.domain.moments import DAY_MS, HOUR_MS
from vpp_streams.serving.market_figures import (
    columns,
    measured_w,
    money_of_day,
    price,
    state,
    totals,
)
from vpp_streams.serving.market_model import Book, Interval, Markets, Region
from vpp_streams.serving.market_views import (
    AwardRow,
    BidView,
    MarketList,
    MarketNow,
    MarketRegion,
    MarketView,
    OfferRow,
)

_SHOWN_OFFERS, _SHOWN_AWARDS = 12, 40
_MAX_KEPT = 64
_Key = tuple[str, str, int]


class Encoded(msgspec.Struct, frozen=True):
    """A `MarketView` as JSON, and a tag that changes only with it."""

    content: bytes
    tag: str


class MarketAnswers:
    """Answers from `Markets`."""

    def __init__(self, markets: Markets) -> None:
        self._markets = markets
        self._encoded: dict[_Key, tuple[object, Encoded]] = {}

    def all(self, now_ms: int) -> MarketList:
        """Every market of the last day, and the regions in it."""
        books = sorted(self._markets.books.items())
        recent = [(name, book) for name, book in books if book.updated_ms > now_ms - DAY_MS]
        return MarketList(at_ms=now_ms, markets=[self._now(n, b, now_ms) for n, b in recent])

    def pairs(self) -> list[tuple[str, str]]:
        """Every market and region that is known."""
        return sorted(self._markets.regions)

    def region_of_bid(self, id_: str) -> str | None:
        """The region of a known bid, or None."""
        found = self._markets.find(id_)
        return None if found is None else found[1]

    def knows(self, market: str, region: str) -> bool:
        """Whether there is any record of a region in a market."""
        return (market, region) in self._markets.regions

    def encoded(self, market: str, region: str, hours: int, now_ms: int) -> Encoded:
        """The `view`, encoded again only after a change.

        Raises `KeyError` where there is no record of the region.
        """
        kept = self._markets.regions[market, region]
        book = self._markets.books.get(market) or Book()
        minute = now_ms // 60_000  # intervals a day old drop out without a new record
        as_of = kept.version, book.version, minute, _offers_at(kept, now_ms)
        key = market, region, hours
        before = self._encoded.pop(key, None)
        if before is None or before[0] != as_of:
            content = msgspec.json.encode(self.view(market, region, hours, now_ms))
            tag = hashlib.blake2b(content, digest_size=12).hexdigest()
            before = as_of, Encoded(content, f'"{tag}"')
        while len(self._encoded) >= _MAX_KEPT:
            del self._encoded[next(iter(self._encoded))]
        self._encoded[key] = before
        return before[1]

    def view(self, market: str, region: str, hours: int, now_ms: int) -> MarketView:
        """A region in a market, with the intervals of the last hours (and those ahead)."""
        kept = self._markets.regions[market, region]
        book = self._markets.books.get(market) or Book()
        rows = sorted(kept.intervals.items())
        offers = [kept.intervals[start] for start in _offers_at(kept, now_ms)]
        settled = [(s, i) for s, i in reversed(rows) if i.outcome or i.delivery]
        return MarketView(
            market=market,
            region=region,
            currency=book.currency or (kept.plan.currency if kept.plan else ""),
            interval_ms=book.interval_ms or (kept.plan.interval_ms if kept.plan else 0),
            intervals=columns(kept, book, now_ms - hours * HOUR_MS),
            plan=kept.plan,
            offers=[_offer(i.bid) for i in offers if i.bid is not None],
            awards=[_outcome(s, i, book, now_ms) for s, i in settled[:_SHOWN_AWARDS]],
            totals=totals(kept, book, now_ms),
        )

    def bid(self, id_: str, now_ms: int) -> BidView | None:
        """A bid with its outcome and delivery; None where it is not known."""
        found = self._markets.find(id_)
        if found is None:
            return None
        market, region, start_ms = found
        interval = self._markets.regions[market, region].intervals[start_ms]
        if interval.first_record is None:
            return None
        book = self._markets.books.get(market) or Book()
        return BidView(
            bid_id=id_,
            state=state(interval, now_ms),
            bid=interval.bid,
            award=interval.award,
            refusal=interval.refusal,
            delivery=interval.delivery,
            shortfall=interval.shortfall,
            price=price(start_ms, interval, book),
        )

    def newest_ids(self, count: int, sees: Callable[[str], bool]) -> list[str]:
        """Ids of the newest bids, of regions for which ``sees(region)`` is true."""
        found = [
            (start, interval.bid.bid_id)
            for (_, name), region in self._markets.regions.items()
            if sees(name)
            for start, interval in region.intervals.items()
            if interval.bid is not None
        ]
        return [id_ for _, id_ in sorted(found, reverse=True)[:count]]

    def _now(self, market: str, book: Book, now_ms: int) -> MarketNow:
        newest = max(book.prices, default=None)
        is_open = book.gate is not None and book.gate.gate_ms > now_ms
        names = sorted(r for m, r in self._markets.regions if m == market)
        return MarketNow(
            market=market,
            currency=book.currency,
            interval_ms=book.interval_ms,
            newest_price_ms=newest,
            newest_price=None if newest is None else book.prices[newest],
            gate_ms=book.gate.gate_ms if book.gate is not None and is_open else None,
            regions=[_region_now(n, self._markets.regions[market, n], book, now_ms) for n in names],
        )


def _region_now(name: str, kept: Region, book: Book, now_ms: int) -> MarketRegion:
    running = (i for start, i in kept.intervals.items() if start + book.interval_ms > now_ms)
    return MarketRegion(
        region=name,
        newest_start_ms=max((s for s, i in kept.intervals.items() if i.bid), default=None),
        money=money_of_day(kept, now_ms),
        missing_w=sum(abs(interval.missing_w) for interval in running),
    )


def _offers_at(kept: Region, now_ms: int) -> tuple[int, ...]:
    """Starts of the intervals to come whose bids have no outcome yet, the newest first."""
    waiting = (
        start for start, i in kept.intervals.items() if start > now_ms and i.bid and not i.outcome
    )
    return tuple(sorted(waiting, reverse=True)[:_SHOWN_OFFERS])


def _offer(bid: Bid) -> OfferRow:
    return OfferRow(**{name: getattr(bid, name) for name in OfferRow.__struct_fields__})


def _outcome(start_ms: int, interval: Interval, book: Book, now_ms: int) -> AwardRow:
    bid, award, delivery = interval.bid, interval.award, interval.delivery
    record = interval.first_record
    assert record is not None, "only intervals with an outcome are passed in"
    return AwardRow(
        bid_id=record.bid_id,
        start_ms=start_ms,
        state=state(interval, now_ms),
        rung=bid.rung if bid else None,
        price=price(start_ms, interval, book),
        expected_price=bid.expected_price if bid else None,
        awarded_w=award.energy_w if award else (delivery.awarded_w if delivery else None),
        capacity_w=award.capacity_w if award else {},
        measured_w=measured_w(interval),
        coverage=delivery.coverage if delivery else None,
        money=delivery.money if delivery else None,
        missing_w=interval.missing_w,
        reason=interval.refusal.reason if interval.refusal else "",
        faults=bid.faults if bid else (),
    )
