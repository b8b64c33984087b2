"""When a market's gates open and close, and when one who bids decides. Times are ms, UTC.

Bids for an interval are taken from the moment that the gate of the interval before it closes:
one gate is open at any time.
"""

from vpp_streams.domain.market.rules import MarketRules

_CUT_OFF_MS = 2_000
_CUT_OFF_SHARE = 10


def open_start(now_ms: int, rules: MarketRules) -> int:
    """Start of the interval that bids are taken for now."""
    return closed_start(now_ms, rules) + rules.interval_ms


def closed_start(now_ms: int, rules: MarketRules) -> int:
    """Start of the newest interval whose gate is closed: it can be cleared."""
    return (now_ms + rules.gate_ms) // rules.interval_ms * rules.interval_ms


def next_change_ms(now_ms: int, rules: MarketRules) -> int:
    """When the open gate closes, and the next one opens."""
    return open_start(now_ms, rules) - rules.gate_ms


def closed_starts(since_ms: int, now_ms: int, rules: MarketRules) -> range:
    """Intervals that begin at ``since_ms`` or later and whose gates are closed, oldest first."""
    first = -(-since_ms // rules.interval_ms) * rules.interval_ms
    return range(first, closed_start(now_ms, rules) + 1, rules.interval_ms)


def cut_off_ms(gate_ms: int, interval_ms: int) -> int:
    """When one who bids takes what is known and decides: 10 % of an interval before the gate.

    Never less than two seconds: a process that is killed then leaves its successor time.
    """
    return gate_ms - max(_CUT_OFF_MS, interval_ms // _CUT_OFF_SHARE)
