"""Prices that others expect, such as a market's predispatch, each with its time of publication."""

from dataclasses import dataclass

import numpy as np

from vpp_streams.domain.arrays import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class PublishedPrices:
    """Expected energy prices, a row each; several may be for the same interval."""

    start_ms: Ints
    """Starts of the intervals."""
    price: Floats
    published_ms: Ints
    """When each became known: a decision uses only what was published before it."""

    def before(self, at_ms: int) -> "PublishedPrices":
        """The newest price of each interval of those published before a time, in order of start."""
        known = np.flatnonzero((self.published_ms < at_ms) & np.isfinite(self.price))
        ordered = known[np.lexsort((self.published_ms[known], self.start_ms[known]))]
        starts = self.start_ms[ordered]
        newest = ordered[np.append(starts[1:] != starts[:-1], True)[: len(starts)]]
        return PublishedPrices(self.start_ms[newest], self.price[newest], self.published_ms[newest])

    def key(self) -> tuple[bytes, bytes]:
        """Equal where intervals and prices are."""
        return self.start_ms.tobytes(), self.price.tobytes()


NOTHING_PUBLISHED = PublishedPrices(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
