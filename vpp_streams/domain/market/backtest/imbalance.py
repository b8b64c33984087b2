"""What an imbalance costs: energy that was sold and not delivered, or delivered and not sold.

Energy that is missing is bought back, energy beyond what was sold is sold, at the imbalance price:
that of the record where there is one, else the interval's price plus or minus what the market's
rules state. An imbalance never earns more than delivery would have, even where the recorded price
was better (two prices, as in Regulation (EU) 2017/2195, article 55): perfect foresight would not
be the most that can be earned otherwise.
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
