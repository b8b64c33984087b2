"""What a home pays for energy and is paid for it: the owner's terms, and its prices ahead.

A price is fixed by the time of day, or follows the market's prices, which the cloud sends. Times of
day are those of the home's time zone; a step is a quarter of an hour, counted from 1970 UTC.
"""

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np

from edge.arrays import Floats
from edge.optimizer.home import Tariff, continued
from schemas.bounds import Positive
from schemas.protocol import Prices

STEP_MS = 900_000
PER_DAY = 96
KEEP_DAYS = 7
"""Days of market prices whose mean stands for those that are not known yet."""
_DAYS_AHEAD = 3
_KWH_PER_MWH = 1000.0

PerKwh = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price that holds from a time of day until the next one."""

    from_: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = msgspec.field(
        name="from"
    )
    per_kwh: PerKwh
    days: Literal["all", "working", "weekend"] = "all"
    """``all`` = on those kinds of days that have no rate of their own."""

    @property
    def minute(self) -> int:
        """Minutes since midnight."""
        hours, minutes = self.from_.split(":")
        return 60 * int(hours) + int(minutes)


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The owner's tariff, with all fees and taxes: section ``[tariff]``."""

    time_zone: str
    """IANA name of the time zone in which the rates hold."""
    buy: Literal["market"] | Annotated[tuple[Rate, ...], msgspec.Meta(min_length=1)]
    """Price of energy from the grid."""
    sell: Literal["market"] | PerKwh = 0.0
    """Payment for energy to the grid, per kWh."""
    market_fees_per_kwh: PerKwh = 0.0
    """Added to the market's price of energy that is bought, before tax."""
    market_tax: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    """Tax on both, as a fraction."""
    battery_exports: bool = True
    """Whether the contract allows the battery to discharge to the grid."""
    wear_per_mwh: Positive = 0.0
    """What a discharged MWh wears off the battery."""

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            words = f"there is no time_zone {self.time_zone!r}; one is Europe/Berlin"
            raise ValueError(words) from None
        for kind in ("working", "weekend"):
            if self.buy != "market" and not self.rates(kind == "weekend"):
                raise ValueError(f'buy has no rate for days of kind "{kind}", and none for "all"')

    def rates(self, weekend: bool) -> list[Rate]:
        """The rates of a kind of day, by time."""
        rates = [] if self.buy == "market" else list(self.buy)
        kind = "weekend" if weekend else "working"
        own = [rate for rate in rates if rate.days == kind]
        return sorted(
            own or [rate for rate in rates if rate.days == "all"], key=lambda rate: rate.minute
        )


MARKET = Terms(time_zone="UTC", buy="market", sell="market")
"""The terms of a home whose owner gave none, where the cloud says that prices decide."""


class MarketPrices:
    """The market's prices by step: those ahead that were sent, and the last days'."""

    def __init__(self) -> None:
        self._per_mwh: dict[int, float] = {}

    def __len__(self) -> int:
        """Number of steps whose prices are stored."""
        return len(self._per_mwh)

    def take(self, prices: Prices) -> None:
        """Store a series; it replaces what was known of its steps."""
        edges = prices.from_ + prices.interval_ms * np.arange(len(prices.per_mwh) + 1)
        first, last = int(edges[0]) // STEP_MS, -(-int(edges[-1]) // STEP_MS)
        paid = np.concatenate([[0.0], np.cumsum(prices.per_mwh)]) * prices.interval_ms
        at = np.clip(np.arange(first, last + 1) * STEP_MS, edges[0], edges[-1])
        mean = np.diff(np.interp(at, edges, paid)) / np.diff(at)
        self._per_mwh.update(zip(range(first, last), mean.tolist(), strict=True))

    def forget(self, now: int) -> None:
        """Forget the prices of steps that are too far from this one to be used."""
        near = range(now - KEEP_DAYS * PER_DAY, now + _DAYS_AHEAD * PER_DAY)
        self._per_mwh = {step: price for step, price in self._per_mwh.items() if step in near}

    def per_kwh(self, first: int, steps: int) -> Floats:
        """Prices of the steps from ``first`` on; NaN where neither a series nor a day knows one."""
        start = first - KEEP_DAYS * PER_DAY
        known = [self._per_mwh.get(step, np.nan) for step in range(start, first + steps)]
        past, ahead = np.split(np.array(known) / _KWH_PER_MWH, [first - start])
        return continued(ahead, past, PER_DAY)


def prices_ahead(terms: Terms, market: MarketPrices, first: int, steps: int) -> Tariff:
    """The tariff of the steps from ``first`` on; a price that nobody knows is NaN."""
    spot = market.per_kwh(first, steps)
    if terms.buy == "market":
        buy = (spot + terms.market_fees_per_kwh) * (1.0 + terms.market_tax)
    else:
        buy = _by_time_of_day(terms, first, steps)
    sell = spot if terms.sell == "market" else np.full(steps, terms.sell)
    return Tariff(buy, sell, STEP_MS / 1000)


def _by_time_of_day(terms: Terms, first: int, steps: int) -> Floats:
    zone, found = ZoneInfo(terms.time_zone), []
    for step in range(first, first + steps):
        local = datetime.fromtimestamp(step * STEP_MS / 1000, zone)
        rates = terms.rates(local.weekday() >= 5)
        minute = 60 * local.hour + local.minute
        past = [rate for rate in rates if rate.minute <= minute]
        found.append((past or rates)[-1].per_kwh)  # before the first one, the day before's last
    return np.array(found)
