"""What regions are expected to use and to make."""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import Count, EpochMs, Fraction, Id, Positive, SizeS

Slots = Annotated[tuple[Positive, ...], msgspec.Meta(max_length=1440)]
"""A power by slot; at most a day of minutes."""

Forecaster = Literal["lear", "profile", "persistence"]
"""From the best to the last resort: regression on the days before, their mean, the last value."""


class ForecastAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How good what was told of the last day's slots was, each as it was told first.

    That is a day ahead, or less where no forecast was told so early.
    """

    slots: Count
    """So many were forecast and then measured."""
    error_w: Positive
    """Mean of |measured - forecast|."""
    naive_error_w: Positive | None
    """As above, had the forecast been what was measured a day before; null = that is not known."""
    inside: Fraction
    """Share of them between the quantiles, 0..1; 0.8 is right."""


class QuantityForecast(msgspec.Struct, frozen=True, kw_only=True):
    """A power by slot, W, never below 0."""

    by: Forecaster
    mean_w: Slots
    low_w: Slots
    """10 % quantile."""
    high_w: Slots
    """90 % quantile."""
    filled: Count = 0
    """Slots of the history that were not measured, and for which the day before stood in."""
    accuracy: ForecastAccuracy | None = None
    """null = nothing that was forecast has been measured yet."""


class RegionForecast(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``region.forecasts``, key region: the day ahead, told anew each slot.

    Of the records of a region and a start the first one counts.
    """

    region: Id
    known_at_ms: EpochMs
    """Belief time: nothing that came later is in it."""
    start_ms: EpochMs
    slot_s: SizeS
    load: QuantityForecast
    """What homes use."""
    solar: QuantityForecast
    """What is generated."""
