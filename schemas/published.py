"""Series that others publish about a market: forecasts of prices, load, wind and solar power."""

from typing import Annotated, Literal, get_args

import msgspec

from schemas.bounds import EpochMs, Id, IntervalMs, Label, Number

SeriesKind = Literal["price", "load", "wind", "solar", "wind_solar"]
"""``price`` is a forecast of energy prices, such as a predispatch; ``wind_solar`` is the sum of
both, where only that is published."""
SERIES_KINDS: tuple[SeriesKind, ...] = get_args(SeriesKind)
MAX_VALUES = 10_000
Unit = Annotated[str, msgspec.Meta(pattern=r"^(MW|[A-Z]{3}/MWh)(?!\n)$")]
"""``MW``, or a currency per MWh as ``EUR/MWh``."""


class PublishedSeries(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``market.published``, key ``market:kind``: values of intervals that follow each other.

    A later publication corrects an earlier one, interval by interval.
    """

    market: Id
    kind: SeriesKind
    published_ms: EpochMs
    """When it was public, UTC; a record that was written before that is refused."""
    start_ms: EpochMs
    """Start of the first interval, UTC: a multiple of the interval."""
    interval_ms: IntervalMs
    values: Annotated[tuple[Number | None, ...], msgspec.Meta(min_length=1, max_length=MAX_VALUES)]
    """One for each interval; null = withdrawn."""
    unit: Unit
    source: Label = ""
    """Where it is from: a file's name, or an organisation."""
