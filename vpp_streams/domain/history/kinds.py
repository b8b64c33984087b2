"""The kinds of records that history keeps: a line each in `KINDS`.

A kind names its topic, the contract of its rows, what identifies a row, and the time that decides
its day. Its columns follow from the contract (`columns`). A record that is read twice has the same
id, so each is counted once; of several revisions the highest counts, and without a revision the
first record of an id.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from schemas.commands import FINAL, CommandEvent, CommandEvents
from schemas.dispatch import DispatchStatus, Notice, RequestEvent
from schemas.forecast import RegionForecast
from schemas.incidents import Incident
from schemas.market import Award, Bid, Clearing, Delivery, Refusal, Shortfall
from schemas.windows import RegionWindow, SiteWindow
from vpp_streams.domain.history.columns import leaves_of

MINUTE_S, QUARTER_HOUR_S = 60, 900
YEARS_DAYS = 3653
"""Ten years: what is kept unless a kind says otherwise."""

WHERE_READ = (
    pa.field("kafka_partition", pa.int32()),
    pa.field("kafka_offset", pa.int64()),
    pa.field("written_at_ms", pa.int64()),
)
"""Columns of every row beside those of its contract: its place in Kafka, and when it got there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """One kind of rows."""

    name: str
    about: str
    topic: str
    record: type[msgspec.Struct]
    id: tuple[str, ...]
    """Columns that together identify a row."""
    at: str
    """Column of the time that decides its day, ms since 1970 UTC."""
    revision: str | None = None
    """Column of which the highest value wins; None = the first record of an id counts."""
    keep_days: int = YEARS_DAYS
    wanted: Callable[[Any], bool] = lambda _record: True

    @property
    def schema(self) -> pa.Schema:
        """Columns of its files."""
        fields = [pa.field(leaf.name, leaf.type) for leaf in leaves_of(self.record)]
        return pa.schema([*fields, *WHERE_READ])

    @property
    def order(self) -> tuple[str, ...]:
        """What the rows of an id are sorted by, as SQL: the first one counts."""
        newest = (f"{self.revision} DESC",) if self.revision else ()
        return (*newest, "written_at_ms", "kafka_offset")


def _of_size(size_s: int) -> Callable[[Any], bool]:
    return lambda window: bool(window.size_s == size_s)


def _ended(event: CommandEvent) -> bool:
    return event.state in FINAL


KINDS: tuple[Kind, ...] = (
    Kind(
        name="site_windows",
        about="energy and power of sites by quarter of an hour",
        topic="site.windows",
        record=SiteWindow,
        id=("site_id", "start_ms"),
        at="start_ms",
        revision="revision",
        wanted=_of_size(QUARTER_HOUR_S),
    ),
    Kind(
        name="site_minutes",
        about="energy and power of sites by minute",
        topic="site.windows",
        record=SiteWindow,
        id=("site_id", "start_ms"),
        at="start_ms",
        revision="revision",
        keep_days=90,
        wanted=_of_size(MINUTE_S),
    ),
    Kind(
        name="region_windows",
        about="energy and power of regions by quarter of an hour",
        topic="region.windows",
        record=RegionWindow,
        id=("region", "start_ms"),
        at="start_ms",
        revision="revision",
        wanted=_of_size(QUARTER_HOUR_S),
    ),
    Kind(
        name="region_minutes",
        about="energy and power of regions by minute",
        topic="region.windows",
        record=RegionWindow,
        id=("region", "start_ms"),
        at="start_ms",
        revision="revision",
        keep_days=400,
        wanted=_of_size(MINUTE_S),
    ),
    Kind(
        name="forecasts",
        about="load and solar power of regions for the day ahead, as published",
        topic="region.forecasts",
        record=RegionForecast,
        id=("region", "start_ms"),
        at="start_ms",
    ),
    Kind(
        name="bids",
        about="what was offered, an interval each",
        topic="market.bids",
        record=Bid,
        id=("bid_id",),
        at="start_ms",
    ),
    Kind(
        name="awards",
        about="the accepted part of each bid",
        topic="market.awards",
        record=Award,
        id=("bid_id",),
        at="start_ms",
    ),
    Kind(
        name="refusals",
        about="bids that a market refused, with the reason",
        topic="market.awards",
        record=Refusal,
        id=("bid_id",),
        at="at_ms",
    ),
    Kind(
        name="clearings",
        about="clearing prices of markets",
        topic="market.awards",
        record=Clearing,
        id=("market", "start_ms"),
        at="start_ms",
    ),
    Kind(
        name="deliveries",
        about="what was delivered of each award, and what it earned",
        topic="market.deliveries",
        record=Delivery,
        id=("bid_id",),
        at="start_ms",
    ),
    Kind(
        name="shortfalls",
        about="power of awards that was announced as missing",
        topic="market.deliveries",
        record=Shortfall,
        id=("bid_id", "at_ms"),
        at="at_ms",
    ),
    Kind(
        name="requests",
        about="states of requests to regions, each with its reason",
        topic="dispatch.events",
        record=RequestEvent,
        id=("request_id", "state", "at_ms"),
        at="at_ms",
    ),
    Kind(
        name="notices",
        about="requested power that was announced as missing, with its causes",
        topic="dispatch.events",
        record=Notice,
        id=("region", "request_id", "at_ms"),
        at="at_ms",
    ),
    Kind(
        name="dispatches",
        about="each region's dispatch: target, measured and missing power, about twice a second",
        topic="dispatch.events",
        record=DispatchStatus,
        id=("region", "at_ms"),
        at="at_ms",
        keep_days=90,
    ),
    Kind(
        name="command_ends",
        about="the end of each device's command",
        topic="command.events",
        record=CommandEvent,
        id=("device_id", "command_id"),
        at="at_ms",
        keep_days=400,
        wanted=_ended,
    ),
    Kind(
        name="incidents",
        about="what people attended to, each in its last state",
        topic="incidents",
        record=Incident,
        id=("incident_id",),
        at="opened_at_ms",
        revision="at_ms",
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def rows_of(topic: str, record: Any) -> Iterator[tuple[Kind, Any]]:
    """The rows that history keeps of a record, each with its kind."""
    items: Sequence[Any] = record.events if isinstance(record, CommandEvents) else (record,)
    for kind in KINDS:
        if kind.topic == topic:
            for item in items:
                if isinstance(item, kind.record) and kind.wanted(item):
                    yield kind, item


def parse_keep_days(listed: str) -> dict[str, int]:
    """Days to keep by kind; ``listed`` (``kind=days,...``) changes those of `KINDS`.

    Raises `ValueError` in plain words.
    """
    found = {kind.name: kind.keep_days for kind in KINDS}
    for word in filter(None, (word.strip() for word in listed.split(","))):
        name, _, days = (part.strip() for part in word.partition("="))
        if name not in found:
            raise ValueError(f"there is no kind {name!r} of history; there are {', '.join(found)}")
        if not (days.isascii() and days.isdigit() and 1 <= int(days) <= 36_525):
            raise ValueError(f"{word!r}: the days to keep are a number from 1 to 36525")
        found[name] = int(days)
    return found
