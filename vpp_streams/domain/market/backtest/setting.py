"""What a backtest is set up with: the market's rules from its prices, the storage from a fleet."""

from collections.abc import Iterable

import numpy as np

from schemas.assets import Site
from schemas.market import PRODUCTS, Product
from vpp_streams.domain.market.replay_market import Auction
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage
from vpp_streams.domain.moments import HOUR_MS

DAY_AHEAD_FROM_MS = 15 * 60_000
"""Prices of such intervals and longer ones are those of a day-ahead auction."""
EUROPEAN = {"EUR", "BGN", "CHF", "CZK", "DKK", "GBP", "HUF", "NOK", "PLN", "RON", "SEK"}
"""Currencies of European exchanges. That each of these takes every kind of order is an assumption:
blocks and exclusive groups are orders of the coupled auction ("EUPHEMIA Public Description",
version 1.4 of 25 July 2016 and 10 April 2019), which the Swiss and British ones are not part of;
loops are confirmed for Nord Pool only (see `day_orders`)."""
MOST_LOOPS = 3
"""Spread blocks that Nord Pool takes from one portfolio (support article 8000099614, read in 2026).
No other exchange's number could be confirmed, so this one is taken for all of them."""
IMBALANCE_SHARE, IMBALANCE_LEAST = 0.25, 10.0
"""Of a day-ahead market: an assumption about how far the imbalance price is from the exchange's,
and the least EUR/MWh. Germany keeps its price a least distance away from an index of intraday
trades (BNetzA, decision BK6-19-552 of 11 May 2020); its numbers could not be confirmed, and no
intraday prices are recorded here, so these stand in on the day-ahead price."""


def rules_of(prices: Prices, format_: str) -> tuple[MarketRules, Auction]:
    """The rules that recorded prices were made under, as far as they can be told.

    AEMO's dispatch picks energy and regulation together, at five (or thirty) minutes. Its cap is
    adjusted each year (National Electricity Rules, clause 3.9.4); 17,500 AUD/MWh and the floor of
    -1,000 are the extremes of the recorded prices. Generators are paid for the energy that they
    produce (AEMC, "Spot market"; AEMO, "Settlements and payments"): there is no imbalance. All
    else with intervals of 15 minutes or more is a day-ahead auction of energy, its gate at 12:00
    the day before, its prices from -500 to 4,000 (Nord Pool Rulebook, schedule 3 of 12 February
    2026; ACER Decision 01/2023) unless recorded ones are beyond.
    """
    if "AEMO" in format_:
        return MarketRules(
            name="nem",
            currency=prices.currency,
            interval_ms=prices.interval_ms,
            gate_ms=10_000,
            floor=-1000.0,
            cap=17_500.0,
            products=_traded(prices, ("energy", "reg_up", "reg_down")),
            co_optimised=True,
        ), "interval"
    day_ahead = prices.interval_ms >= DAY_AHEAD_FROM_MS
    spanning = day_ahead and prices.currency in EUROPEAN
    lowest, highest = float(np.nanmin(prices.energy)), float(np.nanmax(prices.energy))
    return MarketRules(
        name="day-ahead" if day_ahead else "replay",
        currency=prices.currency,
        interval_ms=prices.interval_ms,
        gate_ms=12 * HOUR_MS if day_ahead else min(10_000, prices.interval_ms // 4),
        floor=min(-500.0, lowest),
        cap=max(4000.0, highest),
        products=("energy",) if day_ahead else _traded(prices, PRODUCTS),
        co_optimised=not day_ahead,
        orders=("hourly", "block", "loop", "exclusive") if spanning else ("hourly",),
        most_loops=MOST_LOOPS,
        imbalance_share=IMBALANCE_SHARE if day_ahead else 0.0,
        imbalance_least=IMBALANCE_LEAST if day_ahead else 0.0,
    ), "day" if day_ahead else "interval"


def _traded(prices: Prices, products: tuple[Product, ...]) -> tuple[Product, ...]:
    """Those of the products that have prices."""
    known = prices.per_product
    return tuple(p for p in products if p in known and np.isfinite(known[p]).any())


def storage_of_fleet(sites: Iterable[Site], round_trip: float) -> tuple[Storage, int]:
    """The batteries of those sites that are active as one, above their owners' reserves; how many.

    A site gives no more than its connection lets out.
    """
    energy = charge = discharge = 0.0
    count = 0
    for site in sites:
        batteries = [d for d in site.devices if d.rated_energy_wh and site.state == "active"]
        if not batteries:
            continue
        count += 1
        rated = sum(d.rated_energy_wh or 0.0 for d in batteries)
        energy += rated * (1 - site.backup_reserve)
        out = sum(d.rated_discharge_w or 0.0 for d in batteries)
        discharge += out if site.export_limit_w is None else min(out, site.export_limit_w)
        taken = sum(d.rated_charge_w or 0.0 for d in batteries)
        charge += taken if site.import_limit_w is None else min(taken, site.import_limit_w)
    one_way = round_trip**0.5
    return Storage(energy, charge, discharge, one_way, one_way), count
