"""The baseline of bids at five minutes: charge while cheap, discharge while dear."""

import numpy as np

from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.rules import MarketRules, Prices, Storage
from vpp_streams.domain.market.value import W_PER_MW, feasible_power, stored_after

LOW, HIGH = 0.2, 0.8


def quantile_rule_money(prices: Prices, rules: MarketRules, storage: Storage) -> Floats:
    """Money of each interval, shape (intervals,), of full power beyond two quantiles.

    The quantiles are those of the last day's known prices. As in a backtest, each stretch without
    a gap begins with an empty storage; an interval without a known price before it earns nothing.
    """
    money = np.zeros(len(prices.start_ms))
    for run in prices.runs():
        stored_wh = 0.0
        for row in range(run.start, run.stop):
            lately = prices.energy[max(row - rules.day_slots, 0) : row]
            lately = lately[np.isfinite(lately)]
            if not len(lately):
                continue
            price = float(prices.energy[row])
            low, high = np.quantile(lately, (LOW, HIGH))
            wanted_w = -storage.charge_w if price <= low else 0.0
            wanted_w = storage.discharge_w if price >= high else wanted_w
            power_w = feasible_power(np.array([wanted_w]), stored_wh, storage, rules.interval_h)
            stored_wh = float(stored_after(power_w, stored_wh, storage, rules.interval_h)[0])
            worn = storage.wear_per_mwh * max(float(power_w[0]), 0.0)
            money[row] = (float(power_w[0]) * price - worn) * rules.interval_h / W_PER_MW
    return money
