"""A backtest's result for a terminal."""

from datetime import UTC, datetime

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from vpp_streams.domain.market.backtest.result import CALM_PRICE, Summary, Trace
from vpp_streams.domain.market.replay_market import ReplayMarket

STRETCH_COLUMNS = ("stretch", "intervals", "earned", "perfect foresight", "share")
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
        ("of perfect foresight", share_text(summary.share)),
        (f"days without a price above {CALM_PRICE:g}", share_text(summary.share_calm)),
        ("perfect foresight, energy kept overnight", money.format(summary.perfect_overnight)),
        ("per kW and month", f"{summary.per_kw_month:,.2f} {summary.currency}"),
        ("regret: forecast", money.format(regret.forecast)),
        ("regret: solver", money.format(regret.solver)),
        ("regret: delivery", money.format(regret.delivery)),
        ("cost of imbalances", money.format(summary.imbalance_cost)),
        ("cycles", f"{summary.cycles:,.1f}"),
        ("limits broken", f"{summary.breaches}"),
        ("price forecast", f"off by {summary.forecast_error:,.1f} on average" + _inside(summary)),
        ("solve p50 / p99", f"{summary.solve_p50_ms:.1f} / {summary.solve_p99_ms:.1f} ms"),
        ("rungs", rungs),
    ]


def stretch_rows(summary: Summary) -> list[tuple[str, ...]]:
    """A row for each stretch without a gap, as `STRETCH_COLUMNS` names them."""
    return [
        (
            f"{_day(stretch.first_ms)} to {_day(stretch.last_ms)}",
            f"{stretch.intervals:,}",
            f"{stretch.money:z,.0f}",
            f"{stretch.perfect:z,.0f}",
            share_text(stretch.share),
        )
        for stretch in summary.stretches
    ]


def share_text(share: float | None) -> str:
    """A share in percent; *undefined* where it is of nothing."""
    return "undefined" if share is None else f"{share:.1%}"


def summary_table(summary: Summary, trace: Trace, market: ReplayMarket) -> Group:
    """The result with a small plot of the money."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in summary_rows(summary, trace, market):
        table.add_row(Text(name, "bold"), value)
    stretches = Table(*STRETCH_COLUMNS, box=None, pad_edge=False)
    for row in stretch_rows(summary):
        stretches.add_row(*row)
    plots = Table(show_header=False, box=None, pad_edge=False)
    best = float(np.cumsum(trace.perfect_money).max())
    plots.add_row("perfect", Text(_plot(np.cumsum(trace.perfect_money), best), "dim"))
    plots.add_row("earned", Text(_plot(np.cumsum(trace.money), best), "green"))
    return Group(table, Text(), stretches, Text(), plots)


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
