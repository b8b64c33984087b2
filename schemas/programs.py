"""What owners agreed to: programs with their terms, enrolments of sites in them, opt-outs, tariffs.

Each record is an event with a time from which it holds. It is never changed: new terms are a new
version. Prices are integers of micros, 10^-6 of the currency's unit (0.30 per kWh = 300 000).
"""

from typing import Annotated, Literal

import msgspec

from schemas.bounds import Count, Currency, EpochMs, Fraction, Id, Label, MaybeId

RateMicros = Annotated[int, msgspec.Meta(ge=-(10**12), le=10**12)]
"""A price in micros, for example per kWh; negative = the other side pays."""
PaymentMicros = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
TimeZone = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}(?!\n)$")]
"""An IANA name, for example Europe/Berlin."""
TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)(?!\n)$")]
"""``HH:MM`` on the clock of the tariff's time zone; ``24:00`` = the end of the day."""
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

BaselineMethod = Literal["no_battery", "ten_of_ten"]
"""What a site's energy is compared with. ``no_battery``: its connection as it would have been
without its battery. ``ten_of_ten``: the mean of its ten most recent similar days without an event
(four at weekends), adjusted by the hours before the event on the same day."""


class Program(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``programs``, key ``program_id:version``: terms that owners are paid by."""

    program_id: Id
    version: Version
    name: Label
    currency: Currency
    effective_from_ms: EpochMs
    """From then on this version holds, until the next one does."""
    baseline: BaselineMethod = "no_battery"
    owner_share: Fraction = 0.0
    """The owner's share of what the site earned in a market, in steps of 10^-6. Where the market
    charges money for energy, the owner has the same share of the cost."""
    per_kwh_micros: PaymentMicros = 0
    """Payment per kWh that was delivered in events, in the direction that was asked for."""
    per_event_micros: PaymentMicros = 0
    """Payment per event in which the site delivered energy."""
    per_kw_hour_micros: PaymentMicros = 0
    """Payment for availability: per kW of rated discharge power and hour in which the site was
    measured and took part."""
    per_kw_month_micros: PaymentMicros = 0
    """The same per kW and complete month."""
    opt_outs_per_month: Count | None = None
    """Events that an owner may leave in a month; null = any number. One more costs the availability
    payment of its day, and so does one that was announced too late."""
    opt_out_notice_s: Annotated[int, msgspec.Meta(ge=0, le=31 * 86_400)] = 0
    """How long before an event its opt-out has to be announced."""


class Enrolment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``enrolments``, key ``site_id:effective_from_ms``: a site takes part in a program.

    The same key with ``until_ms`` ends it.
    """

    site_id: Id
    program_id: Id
    effective_from_ms: EpochMs
    until_ms: EpochMs | None = None
    """The first moment in which it no longer holds; null = no end is known."""
    tariff_id: MaybeId = ""
    """What the owner pays for energy meanwhile; empty = not known."""


class OptOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``opt.outs``: a stretch of time, or one request, in which an owner takes no part.

    Key ``site_id:request_id``, or ``site_id:from_ms`` where the owner paused or left. It is made
    from the owner's preferences, of which only the newest are kept. The same key with another end
    replaces it.
    """

    site_id: Id
    from_ms: EpochMs
    until_ms: EpochMs | None = None
    """The first moment in which it no longer holds; null = no end is known. An end that is not
    after ``from_ms`` = the owner takes part after all."""
    announced_ms: EpochMs
    """When the owner decided it."""
    request_id: MaybeId = ""
    """The request (or the bid of an award) that the owner skips; empty = all of that time."""
    decided_at_ms: EpochMs
    """``set_at_ms`` of the preferences that it was made from last."""


class Rate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A price per kWh that holds between two times of the day on some weekdays."""

    from_: TimeOfDay = msgspec.field(name="from")
    until: TimeOfDay
    """Later than ``from``: a rate across midnight is two rates."""
    per_kwh_micros: RateMicros
    days: Annotated[tuple[Weekday, ...], msgspec.Meta(min_length=1, max_length=7)] = WEEKDAYS


Rates = Annotated[tuple[Rate, ...], msgspec.Meta(min_length=1, max_length=1000)]


class Tariff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Topic ``tariffs``, key ``tariff_id:version``: what a home pays for energy, and is paid."""

    tariff_id: Id
    version: Version
    currency: Currency
    time_zone: TimeZone
    """The clock that the rates hold by."""
    effective_from_ms: EpochMs
    buy: Literal["market"] | Rates
    """Price of energy from the grid; ``market`` = the region's market price."""
    sell: Literal["market"] | Rates
    """Payment for energy to the grid."""
    fees_per_kwh_micros: RateMicros = 0
    """Added to the price of energy that is bought, before tax."""
    tax: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    """Tax on price and fees of energy that is bought, as a fraction."""
