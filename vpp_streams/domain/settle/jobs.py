"""What is settled at once, by name."""

from typing import NamedTuple


class AwardJob(NamedTuple):
    """The interval of an award."""

    bid_id: str


class EventJob(NamedTuple):
    """An event; the market is "" where it was called by a request."""

    market: str
    region: str
    start_ms: int


class QuarterJob(NamedTuple):
    """A quarter of an hour in which the sites of a region stood ready."""

    region: str
    start_ms: int


Job = AwardJob | EventJob | QuarterJob
