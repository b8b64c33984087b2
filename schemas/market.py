"""Bids into markets, and their outcomes.

Signs are the market's: power + = export (sold), - = import (bought). Prices are per MWh, of
capacity per MW and hour. An interval is [start, start + interval).
"""

from typing import Annotated, Literal, get_args

import msgspec

from schemas.bounds import (
    Currency,
    EpochMs,
    Fraction,
    Id,
    IntervalMs,
    Label,
    MeteredAt,
    Number,
    Offset,
    Positive,
    Price,
    Sentence,
    WattHours,
    Watts,
)

Product = Literal["energy", "reg_up", "reg_down", "reserve"]
"""``reserve``: contingency reserve, held upwards and called in a contingency only."""
PRODUCTS: tuple[Product, ...] = get_args(Product)
Powers = Annotated[tuple[Watts, ...], msgspec.Meta(max_length=10_000)]
Energies = Annotated[tuple[WattHours, ...], msgspec.Meta(max_length=10_000)]
Quotes = Annotated[tuple[Number, ...], msgspec.Meta(max_length=10_000)]

Rung = Literal["warm_lp", "fresh_lp", "coarse_lp", "last_plan", "value_rule", "safe"]
"""How the decision behind a bid was made, from the best to the last resort."""
RUNGS: tuple[Rung, ...] = get_args(Rung)
OfferedBy = Literal["value", "last_day", "time_of_day"]
"""What the prices of an energy offer come from: ``value`` = what stored energy is worth later;
``last_day`` = on quiet days, what was cheap and dear on the last day, whatever the plan says;
``time_of_day`` = on quiet days that are alike, what times of them were cheap and dear."""


class Step(msgspec.Struct, frozen=True):
    """A point of an energy curve: from this price on, this power."""

    price: Price
    power_w: Watts


class EnergyOffer(msgspec.Struct, frozen=True):
    """Energy by price: power rises with the price, a step function.

    Cleared at a price below the first step's, the power is ``below_w``; else that of the last
    step whose price is not above the clearing price.
    """

    below_w: Watts
    steps: Annotated[tuple[Step, ...], msgspec.Meta(max_length=1000)] = ()


class CapacityOffer(msgspec.Struct, frozen=True):
    """Power kept free for a product, accepted if its price is at least ``price``."""

    product: Product
    power_w: Positive
    price: Price


class InputOffset(msgspec.Struct, frozen=True):
    """How far a decision had read an input: the offset of the next record."""

    topic: Label
    partition: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    offset: Offset


class Bid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="bid"):
    """Topic ``market.bids``, key bid_id: one interval's offer, final once its gate is closed.

    The first record of an id is the bid; a repeat changes nothing.
    """

    bid_id: Id
    """``<market>:<region>:<start_ms>``: an interval has one bid, whichever process makes it."""
    market: Id
    region: Id
    start_ms: EpochMs
    interval_ms: IntervalMs
    gate_ms: EpochMs
    """Close of the gate: a bid that reaches the market later does not count."""
    made_at_ms: EpochMs
    rung: Rung
    energy: EnergyOffer
    offered_by: OfferedBy = "value"
    capacity: Annotated[tuple[CapacityOffer, ...], msgspec.Meta(max_length=100)] = ()
    currency: Currency
    expected_w: Watts = 0.0
    """Planned power of the interval at the expected price."""
    expected_price: Number | None = None
    stored_wh: WattHours | None = None
    """Energy above the reserves that is expected at the interval's start."""
    up_w: Watts = 0.0
    """The largest power offered upwards, after the reserve policy."""
    down_w: Watts = 0.0
    withheld_w: Watts = 0.0
    """Capability that the reserve policy withheld."""
    withheld_cost: Number = 0.0
    """Value of that power in the interval at the expected price, in ``currency``."""
    slacks: Annotated[dict[Label, Number], msgspec.Meta(max_length=10_000)] = {}
    """Soft limits that the plan could not keep, by name, with the amount."""
    faults: Annotated[tuple[Sentence, ...], msgspec.Meta(max_length=1000)] = ()
    """Faults of the inputs, and what was done without them."""
    solve_ms: Number = 0.0
    plan_w: Powers = ()
    """Planned power of this interval and the following ones, for display."""
    sources: Annotated[tuple[InputOffset, ...], msgspec.Meta(max_length=1000)] = ()
    """The inputs by offset; `vpp explain` repeats the decision from them."""
    metered_at: MeteredAt = "battery"
    """``connection``: all powers are those of the region's grid connections, + = export."""
    net_load_w: Watts | None = None
    """Load less solar power that is expected in the interval; null = not known, or not needed
    because the bid is of battery power. The same applies to its quantiles."""
    net_load_low_w: Watts | None = None
    """10 % quantile."""
    net_load_high_w: Watts | None = None
    """90 % quantile: the offer holds while the net load is between the two."""
    import_limit_w: Positive | None = None
    """Limit of the connections together that the decision kept; null = none."""
    export_limit_w: Positive | None = None


class Gate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="gate"):
    """Topic ``market.awards``, key market: the market takes bids for an interval until its gate."""

    market: Id
    start_ms: EpochMs
    interval_ms: IntervalMs
    gate_ms: EpochMs
    intervals: Annotated[int, msgspec.Meta(ge=1, le=1500)] = 1
    """Intervals from the first on that have this gate: those of a day in a day-ahead auction, which
    takes order books (topic ``market.orders``)."""


class Clearing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="clearing"):
    """Topic ``market.awards``, key market: an interval's prices."""

    market: Id
    start_ms: EpochMs
    interval_ms: IntervalMs
    cleared_at_ms: EpochMs
    prices: dict[Product, Number]
    currency: Currency


class Award(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="award"):
    """Topic ``market.awards``, key bid_id: the accepted part of a bid, with the prices."""

    bid_id: Id
    market: Id
    region: Id
    start_ms: EpochMs
    interval_ms: IntervalMs
    cleared_at_ms: EpochMs
    energy_w: Watts
    prices: dict[Product, Number]
    """Clearing prices; a product that was not traded is absent."""
    capacity_w: dict[Product, Watts] = {}
    currency: Currency
    metered_at: MeteredAt = "battery"


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag="refusal"):
    """Topic ``market.awards``, key bid_id: a bid that the market refused, with the reason."""

    bid_id: Id
    market: Id
    region: Id
    at_ms: EpochMs
    reason: Sentence


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="delivery"):
    """Topic ``market.deliveries``, key bid_id: an interval as measured, against its award."""

    bid_id: Id
    market: Id
    region: Id
    start_ms: EpochMs
    interval_ms: IntervalMs
    awarded_w: Watts
    measured_w: Watts
    """Measured energy of the batteries (or at the connections, see ``metered_at``), as power over
    the complete interval; energy that was not measured is not included."""
    coverage: Fraction
    """Covered share of the region's sites and of the interval, 0..1."""
    money: Number
    """Earned at the clearing prices: energy as measured, and capacity as far as it was there (in
    records without ``capacity_share``: as awarded)."""
    currency: Currency
    metered_at: MeteredAt = "battery"
    overridden_s: Positive = 0.0
    """Seconds of the interval in which another request took precedence over the award."""
    overridden_by: Annotated[tuple[Id, ...], msgspec.Meta(max_length=1000)] = ()
    """These requests."""
    needed_w: Watts | None = None
    """Battery power that the award called for, over the windows that no other request touched; at a
    connection it is the award plus the measured load less solar. null = there is no such window,
    or nothing was overridden and the award is of battery power: then it is ``awarded_w``."""
    given_w: Watts | None = None
    """Battery power measured in these windows; null as for ``needed_w``."""
    capacity_money: Number = 0.0
    """The part of ``money`` that is for capacity."""
    capacity_share: Fraction | None = None
    """Share of the awarded capacity that was there and is paid, 0..1; null = none was awarded."""


class Shortfall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="shortfall"):
    """Topic ``market.deliveries``, key bid_id: power of an award that will be missing.

    Published when it becomes known and when the amount changes; ``missing_w`` 0 = nothing.
    """

    bid_id: Id
    market: Id
    region: Id
    at_ms: EpochMs
    start_ms: EpochMs
    awarded_w: Watts
    deliverable_w: Watts
    missing_w: Watts
    overridden_by: Annotated[tuple[Id, ...], msgspec.Meta(max_length=1000)] = ()
    """The requests that take precedence over the award; empty = the fleet cannot deliver it."""


class PlanView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="plan"):
    """Topic ``market.plans``, key ``plan:<market>:<region>``: the plan behind a bid."""

    market: Id
    region: Id
    made_at_ms: EpochMs
    start_ms: EpochMs
    interval_ms: IntervalMs
    power_w: Powers
    """Of the batteries, or of the connections (see ``metered_at``)."""
    stored_wh: Energies
    price: Quotes
    price_low: Quotes = ()
    """The forecast's 10 % quantile."""
    price_high: Quotes = ()
    """The forecast's 90 % quantile."""
    currency: Currency
    metered_at: MeteredAt = "battery"


MarketRecord = Gate | Clearing | Award | Refusal
"""The records that a market writes to topic ``market.awards``."""
DeliveryRecord = Delivery | Shortfall
"""The records that the optimizer writes to topic ``market.deliveries``."""
MarketTopicRecord = MarketRecord | DeliveryRecord | PlanView
"""All records in topic ``market.awards``: older versions of the optimizer wrote there too."""
