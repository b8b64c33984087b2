"""A backtest's result for a terminal."""

from datetime import UTC, datetime

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from vpp_streams.domain.market.backtest.result import Summary, Trace
from vpp_streams.domain.market.replay_market import ReplayMarket

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60


def summary_rows(summary: Summary, trace: Trace, market: ReplayMarket) -> list[tuple[str, str]]:
    """The result as (name, value) rows."""
    money = f"{{:z,.0f}} {summary.currency}"  # z: no "-0"
    regret = summary.regret
    span = f"{_day(int(trace.start_ms[0]))} to {_day(int(trace.start_ms[-1]))}"
    rungs = ", ".join(f"{name} {count:,}" for name, count in summary.rungs.items())
    return [
        ("market", f"{market.recorded.zone}, {', '.join(market.rules.products)}"),
        ("span", f"{span}, {summary.intervals:,} intervals, {summary.hours:,.0f} h with prices"),
        ("revenue", money.format(summary.money)),
        ("perfect foresight", money.format(summary.perfect)),
        ("of perfect foresight", f"{summary.share:.1%}"),
        ("without the top 1 %", f"{summary.share_without_top:.1%}"),
        ("per kW and month", f"{summary.per_kw_month:,.2f} {summary.currency}"),
        ("regret: forecast", money.format(regret.forecast)),
        ("regret: solver", money.format(regret.solver)),
        ("regret: delivery", money.format(regret.delivery)),
        ("cycles", f"{summary.cycles:,.1f}"),
        ("limits broken", f"{summary.breaches}"),
        ("price forecast", f"off by {summary.forecast_error:,.1f} on average" + _inside(summary)),
        ("solve p50 / p99", f"{summary.solve_p50_ms:.1f} / {summary.solve_p99_ms:.1f} ms"),
        ("rungs", rungs),
    ]


def summary_table(summary: Summary, trace: Trace, market: ReplayMarket) -> Group:
    """The result with a small plot of the money."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in summary_rows(summary, trace, market):
        table.add_row(Text(name, "bold"), value)
    plots = Table(show_header=False, box=None, pad_edge=False)
    best = float(np.cumsum(trace.perfect_money).max())
    plots.add_row("perfect", Text(_plot(np.cumsum(trace.perfect_money), best), "dim"))
    plots.add_row("earned", Text(_plot(np.cumsum(trace.money), best), "green"))
    return Group(table, Text(), plots)


def _inside(summary: Summary) -> str:
    if np.isnan(summary.inside):
        return ""
    inside = f"; {summary.inside:.0%} between its 10 % and 90 % quantile"
    return f"{inside}, of a mean pinball loss of {summary.pinball:,.2f}"


def _plot(values: np.ndarray, most: float) -> str:
    picked = values[np.linspace(0, len(values) - 1, min(_WIDTH, len(values))).astype(int)]
    levels = np.clip(picked / max(most, 1e-9), 0, 1) * (len(_BARS) - 1)
    return "".join(_BARS[round(level)] for level in levels.tolist())


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
