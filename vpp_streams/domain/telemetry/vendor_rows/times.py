"""Times of documents as a column."""

from collections.abc import Iterable

import numpy as np

from edge.vendor_fields.document import time_ms
from vpp_streams.domain.arrays import Ints

NO_TIME = -1
MOST = 1 << 14


class _Times(dict[str | int | None, int]):
    """Times by how they are written: all meters of a site, and many sites, state the same."""

    def __missing__(self, value: str | int | None) -> int:
        if len(self) >= MOST:
            self.clear()
        found = time_ms(value)
        ms = self[value] = NO_TIME if found is None else found
        return ms


_times = _Times()


def times_of(values: Iterable[str | int | None]) -> Ints:
    """ISO 8601 texts or Unix seconds as ms; -1 for what is no time."""
    return np.array([_times[value] for value in values], np.int64)
