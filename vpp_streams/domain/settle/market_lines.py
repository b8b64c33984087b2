"""Who is owed what for an award: the market's settlement, the owners' shares, the operator's rest.

The market's money is divided exactly, so that in every interval, and hence over any period,
shares of the sites + rest of the operator = settlement of the market.
"""

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from schemas.market import Award, Delivery
from schemas.settlement import MAX_MICROS, OPERATOR, EntryKind, market_account, revenue_account
from vpp_streams.domain.arrays import Ints, Mask
from vpp_streams.domain.market.ledger import ends_ms
from vpp_streams.domain.moments import HOUR_MS
from vpp_streams.domain.settle.agreements import Enrolled
from vpp_streams.domain.settle.attribution import (
    Delivered,
    capacity_weights,
    direction,
    energy_weights,
)
from vpp_streams.domain.settle.fleet import Fleet
from vpp_streams.domain.settle.lines import Interval, Lines, repeated, taken
from vpp_streams.domain.settle.money import MILLIONTHS, micros_of, paid_for, shares_of
from vpp_streams.domain.settle.split import split
from vpp_streams.errors import RefusedError

MOST_PER_MWH = 10**9
"""A higher price is a fault, and its arithmetic would not be exact."""


def award_lines(
    award: Award,
    delivery: Delivery,
    fleet: Fleet,
    delivered: Delivered,
    *,
    enrolled: Enrolled,
    takes_part: Mask,
) -> tuple[Lines, ...]:
    """The lines of an award's interval: the market's, the operator's, and one per enrolled site.

    A site that was not measured, went the other way, did nothing or left has a line of 0, which
    says so. Raises `RefusedError` where a program is paid in another currency than the market.
    """
    _check(award, delivery, enrolled)
    shares = shares_of(
        _gross(award, delivery, fleet, delivered, takes_part), enrolled.share_millionths()
    )
    span, price = (award.start_ms, ends_ms(award)), award.prices.get("energy", math.nan)
    interval = Interval(award.region, award.market, span, award.currency, price)
    revenue = revenue_account(award.market, award.region)

    def of_region(kind: EntryKind, giver: str, taker: str, amount: int) -> Lines:
        return Lines(
            kind=kind,
            interval=interval,
            site_ids=pa.array([""]),
            giver=pa.array([giver]),
            taker=pa.array([taker]),
            amounts=np.array([amount], np.int64),
            delivered=_of_region(delivery),
        )

    total = micros_of(delivery.money)
    return (
        of_region("market", market_account(award.market), revenue, total),
        of_region("operator", revenue, OPERATOR, total - int(shares.sum())),
        *_share_lines(interval, fleet, delivered, enrolled, shares),
    )


def _check(award: Award, delivery: Delivery, enrolled: Enrolled) -> None:
    for program in enrolled.programs:
        if program.currency != award.currency:
            raise RefusedError(
                f"program {program.program_id} is paid in {program.currency}, market"
                f" {award.market} in {award.currency}: enrol the sites in one of that currency"
            )
    price = award.prices.get("energy", 0.0)
    if abs(price) > MOST_PER_MWH:
        raise RefusedError(f"{price:g} {award.currency} per MWh is beyond reason")
    for money in (delivery.money, delivery.capacity_money):
        if abs(micros_of(money)) > MAX_MICROS:
            raise RefusedError(f"{money:g} {award.currency} for {award.bid_id} is beyond reason")


def _share_lines(
    interval: Interval, fleet: Fleet, delivered: Delivered, enrolled: Enrolled, shares: Ints
) -> Iterator[Lines]:
    """The owners' shares, by program."""
    revenue = revenue_account(interval.market, interval.region)
    millionths = enrolled.share_millionths()
    for code, program in enumerate(enrolled.programs):
        rows = np.flatnonzero((enrolled.code == code) & (millionths > 0))
        if len(rows):
            yield Lines(
                kind="share",
                interval=interval,
                program=program,
                site_ids=fleet.site_ids.take(pa.array(rows)),
                giver=repeated(revenue, len(rows)),
                taker=fleet.accounts.take(pa.array(rows)),
                amounts=shares[rows],
                delivered=taken(delivered, rows),
                share=int(millionths[rows[0]]) / MILLIONTHS,
            )


def _gross(
    award: Award, delivery: Delivery, fleet: Fleet, delivered: Delivered, takes_part: Mask
) -> Ints:
    """What each site earned before it is shared with the operator, micros, shape (sites,)."""
    towards = direction(award, delivery)
    energy = energy_weights(delivered.delivered_wh, towards, takes_part)
    hours = award.interval_ms / HOUR_MS
    capacity = capacity_weights(fleet, delivered.coverage, hours, takes_part)
    amounts = [_for_energy(award, delivery, energy, towards), _for_capacity(delivery)]
    if any(abs(amount) > MAX_MICROS for amount in amounts):
        raise RefusedError(f"the money for {award.bid_id} is beyond reason")
    parts = split(
        np.array(amounts),
        np.stack([energy, capacity]),
        fleet.ranks,
    )
    gross: Ints = parts[0] + parts[1]
    return gross


def _for_energy(award: Award, delivery: Delivery, weights: Ints, towards: int) -> int:
    """The money for energy that is divided among those who gave it, micros.

    Metered at the batteries it is all of it, unless energy in the wrong direction turned its sign:
    then it is the operator's, because those who went the right way did not cause it. Metered at
    the connections it is the given energy at the clearing price; the load's cost is the operator's.
    """
    price = award.prices.get("energy", 0.0)
    if award.metered_at == "connection":
        per_kwh = micros_of(abs(price) / 1000)
        sign = int(np.sign(price)) * towards
        return sign * int(paid_for(np.array([int(weights.sum())]), per_kwh)[0])
    money = micros_of(delivery.money) - _for_capacity(delivery)
    return money if money * price * towards > 0 else 0


def _for_capacity(delivery: Delivery) -> int:
    return micros_of(delivery.capacity_money)


def _of_region(delivery: Delivery) -> Delivered:
    """The measured energy of the region, as a line of its own."""
    unknown = np.array([math.nan])
    energy_wh = np.array([delivery.measured_w * delivery.interval_ms / HOUR_MS])
    return Delivered(
        energy_wh=energy_wh if delivery.metered_at == "connection" else unknown,
        baseline_wh=unknown,
        delivered_wh=energy_wh,
        coverage=np.array([delivery.coverage]),
        revision=np.array([-1]),
    )
