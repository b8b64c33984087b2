"""What an imbalance costs: energy that was sold and not delivered, or delivered and not sold.

Energy that is missing is bought back, energy beyond what was sold is sold, at the imbalance price:
that of the record where there is one, else the interval's price plus or minus what the market's
rules state. An imbalance never earns more than delivery would have, even where the recorded price
was better: perfect foresight would not be the most that can be earned otherwise. That is stricter
than Europe's settlement, which has one price for both directions (ACER Decision 18/2020 of 15 July
2020 under Regulation (EU) 2017/2195, "the use of single imbalance pricing") by which an imbalance
that happens to help the grid earns.
"""

from vpp_streams.domain.market.rules import MarketRules


def imbalance_per_mwh(
    missing_w: float, price: float, rules: MarketRules, recorded: float | None
) -> float:
    """Cost of each MWh of an imbalance against delivering it, >= 0.

    ``missing_w`` is what was awarded less what was given; ``recorded`` the imbalance price.
    """
    if missing_w == 0.0:
        return 0.0
    if recorded is not None:
        return max(recorded - price if missing_w > 0 else price - recorded, 0.0)
    return max(rules.imbalance_share * abs(price), rules.imbalance_least)
