"""The process ``vpp market --day-ahead``: a simulated day-ahead auction that takes order books."""

from schemas.orders import OrderBook
from vpp_streams.domain.market.day_ahead.order_books import starts_of
from vpp_streams.domain.market.ledger import bid_id
from vpp_streams.domain.market.sim_days import SimDays, sim_day_rules
from vpp_streams.kafka import topics
from vpp_streams.market.simulated import Trading, run_trading
from vpp_streams.settings import Settings


def day_trading(market: SimDays) -> Trading[OrderBook]:
    """A market with a gate, and order books, for each day of its intervals."""
    return Trading(
        rules=market.rules,
        prices=market.prices,
        clear=market.clear,
        offers=topics.MARKET_ORDERS,
        id_of=lambda book: book.book_id,
        award_ids=_award_ids,
        gates=market.gates,
        noun="books",
        span="day",
    )


def _award_ids(book: OrderBook) -> list[str]:
    return [bid_id(book.market, book.region, start_ms) for start_ms in starts_of(book)]


async def run_day_market(settings: Settings, seed: int) -> None:
    """Run the auction until the process receives a stop signal."""
    rules = sim_day_rules(settings.market_interval_ms)
    await run_trading(settings, day_trading(SimDays(rules, seed)))
