"""Order books: a day's orders as one record and back, and which books a market accepts."""

from schemas.market import Bid
from schemas.orders import Block, Loop, OrderBook
from vpp_streams.domain.market.cycle_inputs import CycleInputs
from vpp_streams.domain.market.day_orders import BlockOrder, DayOrders, LoopOrder, check_orders
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.rules import BidRefusedError, MarketRules, check_bid


def book_id(market: str, region: str, start_ms: int) -> str:
    """The id of the one book that a region has for a day of a market."""
    return f"{market}:{region}:day-{start_ms}"


def book_of(orders: DayOrders, inputs: CycleInputs) -> OrderBook:
    """The record of a day's hourly and loop orders. Raises `ValueError` for other kinds."""
    loops = [order for order in orders.spanning if isinstance(order, LoopOrder)]
    if len(loops) < len(orders.spanning):
        raise ValueError("a book has hourly orders and loops only")
    rules = inputs.rules
    return OrderBook(
        book_id=book_id(rules.name, inputs.region, inputs.start_ms),
        market=rules.name,
        region=inputs.region,
        start_ms=inputs.start_ms,
        interval_ms=rules.interval_ms,
        gate_ms=inputs.start_ms - rules.gate_ms,
        made_at_ms=inputs.now_ms,
        hourly=tuple(bid.energy for bid in orders.bids),
        loops=tuple(Loop(_as_record(loop.buy), _as_record(loop.sell)) for loop in loops),
        currency=rules.currency,
        expected_price=tuple(round(bid.expected_price or 0.0, 4) for bid in orders.bids),
        sources=inputs.sources,
    )


def orders_of(book: OrderBook, rules: MarketRules) -> DayOrders:
    """The orders that a book's record states."""
    return DayOrders(
        bids=tuple(
            Bid(
                bid_id=bid_id(book.market, book.region, start_ms),
                market=book.market,
                region=book.region,
                start_ms=start_ms,
                interval_ms=book.interval_ms,
                gate_ms=start_ms - rules.gate_ms,
                made_at_ms=book.made_at_ms,
                rung="value_rule",
                energy=offer,
                currency=book.currency,
            )
            for start_ms, offer in zip(starts_of(book), book.hourly, strict=False)
        ),
        spanning=tuple(LoopOrder(_as_order(loop.buy), _as_order(loop.sell)) for loop in book.loops),
    )


def starts_of(book: OrderBook) -> range:
    """Starts of the intervals of a book's day, ms."""
    return range(
        book.start_ms,
        book.start_ms + len(book.hourly) * book.interval_ms,
        book.interval_ms,
    )


def check_book(book: OrderBook, rules: MarketRules, intervals: int, at_ms: int) -> None:
    """Raises `BidRefusedError` where a book is late, or not what the rules allow for a day."""
    if at_ms > book.gate_ms:
        raise BidRefusedError(f"it came {at_ms - book.gate_ms} ms after the gate")
    expected = book_id(book.market, book.region, book.start_ms)
    if book.book_id != expected:  # two ids for a day would sell it twice
        raise BidRefusedError(f"its id is not {expected}")
    if book.start_ms % (intervals * rules.interval_ms):
        raise BidRefusedError("its day is none of this market's")
    if len(book.hourly) != intervals:
        raise BidRefusedError(f"it has {len(book.hourly)} of {intervals} intervals")
    orders = orders_of(book, rules)
    for bid in orders.bids:
        check_bid(bid, rules, bid.gate_ms)
    if book.gate_ms != book.start_ms - rules.gate_ms:
        raise BidRefusedError("its gate is not that of its day")
    check_orders(orders.spanning, rules, intervals)


def _as_record(block: BlockOrder) -> Block:
    return Block(tuple(round(power_w, 3) for power_w in block.power_w), block.limit_price)


def _as_order(block: Block) -> BlockOrder:
    return BlockOrder(block.power_w, block.limit_price)
