"""Order books: all that a region offers into a day-ahead auction, in one record.

Power + = sold. Prices are per MWh.
"""

from typing import Annotated

import msgspec

from schemas.bounds import (
    Currency,
    EpochMs,
    Id,
    IntervalMs,
    Number,
    Price,
    Sentence,
    WattHours,
    Watts,
)
from schemas.market import EnergyOffer, InputOffset

MAX_INTERVALS = 1500
"""Intervals of a day: minutes, and an hour more where clocks go back."""
DayPowers = Annotated[tuple[Watts, ...], msgspec.Meta(max_length=MAX_INTERVALS)]


class Block(msgspec.Struct, frozen=True):
    """Energy in some intervals of a day, all of it or nothing."""

    power_w: DayPowers
    """In each interval of the day; of one sign."""
    limit_price: Price
    """Least mean price that is accepted for a sale, greatest for a purchase."""


class Loop(msgspec.Struct, frozen=True):
    """A purchase and a sale that are executed together, where together they gain, or not at all."""

    buy: Block
    sell: Block


class OrderBook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``market.orders``, key book_id: a region's orders for a day, final after its gate.

    The first record of an id counts. The market answers with an award for each interval, whose id
    is that of a bid for the interval, or with one refusal of the book's id.
    """

    book_id: Id
    """``<market>:<region>:day-<start_ms>``: a day has one book, whichever process makes it."""
    market: Id
    region: Id
    start_ms: EpochMs
    """Start of the day's first interval."""
    interval_ms: IntervalMs
    gate_ms: EpochMs
    """Close of the gate: a book that reaches the market later does not count."""
    made_at_ms: EpochMs
    hourly: Annotated[tuple[EnergyOffer, ...], msgspec.Meta(max_length=MAX_INTERVALS)]
    """An offer for each interval of the day."""
    loops: Annotated[tuple[Loop, ...], msgspec.Meta(max_length=1000)] = ()
    currency: Currency
    expected_price: Annotated[tuple[Number, ...], msgspec.Meta(max_length=MAX_INTERVALS)] = ()
    """The forecast that the orders are made from, for each interval."""
    stored_wh: WattHours | None = None
    """Energy above the reserves that is expected when the day begins."""
    faults: Annotated[tuple[Sentence, ...], msgspec.Meta(max_length=1000)] = ()
    """Faults of the inputs, and what was done without them."""
    solve_ms: Number = 0.0
    sources: Annotated[tuple[InputOffset, ...], msgspec.Meta(max_length=1000)] = ()
    """The inputs by offset, as in a `Bid`."""
