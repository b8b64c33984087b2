"""Forecasts of regions' load and solar power."""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import Count, EpochMs, Fraction, Id, Positive, SizeS

Slots = Annotated[tuple[Positive, ...], msgspec.Meta(max_length=1440)]
"""A power by slot; at most a day of minutes."""

Forecaster = Literal["lear", "profile", "persistence"]
"""From the best to the last resort: regression on past days, their mean, the last value."""


class ForecastAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy of the last day's forecasts, counting the first forecast of each slot.

    That is a day ahead, or less if no forecast was published that early.
    """

    slots: Count
    """Number of slots that were forecast and then measured."""
    error_w: Positive
    """Mean of |measured - forecast|, W."""
    naive_error_w: Positive | None
    """The same for the measured value a day before as forecast, W; null = not known."""
    inside: Fraction
    """Share of slots between the quantiles, 0..1; 0.8 is right."""


class QuantityForecast(msgspec.Struct, frozen=True, kw_only=True):
    """A power by slot, W, never below 0."""

    by: Forecaster
    mean_w: Slots
    low_w: Slots
    """10 % quantile."""
    high_w: Slots
    """90 % quantile."""
    filled: Count = 0
    """Slots of the history that were not measured and are filled from the day before."""
    accuracy: ForecastAccuracy | None = None
    """null = no forecast slot has been measured yet."""


class RegionForecast(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``region.forecasts``, key region: the day ahead, published again each slot.

    Of the records of a region and a start, the first one counts.
    """

    region: Id
    known_at_ms: EpochMs
    """Belief time: the forecast contains nothing published later."""
    start_ms: EpochMs
    slot_s: SizeS
    load: QuantityForecast
    """Load of homes."""
    solar: QuantityForecast
    """Generated solar power."""
