"""Signals of the grid: its frequency, alerts, and prices for devices and agents.

Topics ``grid.frequency``, ``grid.alerts`` (compacted, key alert_id) and ``market.prices``
(compacted, key region).
"""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import Currency, EpochMs, Fraction, Id, IntervalMs, Label, Number

Hz = Annotated[float, msgspec.Meta(ge=40, le=70)]


class Droop(msgspec.Struct, frozen=True, kw_only=True):
    """Frequency response on the device, armed by the lease that carries it.

    Below ``nominal_hz - dead_band_hz`` a battery adds discharge, above it adds charge: the
    rated power times (deviation beyond the dead band) / (nominal_hz x droop). Source: the
    droop characteristic of IEEE 1547 and ENTSO-E's FCR, with the dead band left out of the slope.
    """

    nominal_hz: Hz
    """The grid's nominal frequency, Hz."""
    dead_band_hz: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.036
    """Deviation up to which nothing is added, Hz."""
    droop: Annotated[float, msgspec.Meta(gt=0, le=0.2)] = 0.04
    """Deviation that calls for the full rating, as a share of nominal."""


class FrequencyEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``grid.frequency``, key region: the frequency of a region's grid from now on."""

    region: Id
    hz: Hz
    at_ms: EpochMs
    """When it was measured, UTC."""
    for_ms: Annotated[int, msgspec.Meta(gt=0, le=3_600_000)] = 1000
    """How long it applies if nothing newer is received, ms."""
    source: Label = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``grid.alerts``, key alert_id: an expected storm; the newest record of an id counts."""

    alert_id: Id
    kind: Literal["storm"]
    regions: Annotated[tuple[Id, ...], msgspec.Meta(max_length=10_000)] = ()
    """All sites of these regions are affected."""
    site_ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=100_000)] = ()
    """These sites are affected too."""
    prepare_from_ms: EpochMs
    """Time from which batteries are filled."""
    starts_at_ms: EpochMs
    ends_at_ms: EpochMs
    reserve: Fraction = 1.0
    """The reserve of these sites from ``prepare_from_ms`` to ``ends_at_ms``."""
    source: Label = ""
    cancelled: bool = False


class PriceSeries(msgspec.Struct, frozen=True, kw_only=True):
    """Topic ``market.prices``, key region: prices of energy at the connection, from a time on."""

    region: Id
    from_ms: EpochMs
    interval_ms: IntervalMs
    per_mwh: Annotated[tuple[Number, ...], msgspec.Meta(min_length=1, max_length=576)]
    """One price for each interval, in ``currency``."""
    currency: Currency = "USD"
