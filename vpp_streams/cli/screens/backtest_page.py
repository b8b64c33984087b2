"""A backtest's result as one HTML file: no scripts, nothing loaded from elsewhere."""

from datetime import UTC, datetime
from html import escape

import numpy as np

from vpp_streams.cli.screens.backtest import STRETCH_COLUMNS, stretch_rows, summary_rows
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.market.backtest.result import Summary, Trace
from vpp_streams.domain.market.replay_market import ReplayMarket
from vpp_streams.domain.moments import DAY_MS

_WIDTH, _HEIGHT, _LEFT, _BELOW = 880, 220, 64, 24
_POINTS = 1200
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --dim: #66707f; --grid: #d8dde5;
  --a: #1f6feb; --b: #d97706; --c: #8b95a5; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #98a2b3; --grid: #313a48;
  --a: #58a6ff; --b: #f0a742; --c: #7d8799; --page: #10151d; } }
body { background: var(--page); color: var(--ink); margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; }
p { color: var(--dim); margin: .2rem 0 1rem; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; }
th, td { padding: .2rem 1.5rem .2rem 0; border-bottom: 1px solid var(--grid); }
svg { width: 100%; height: auto; } text { fill: var(--dim); font-size: 11px; }
.grid { stroke: var(--grid); } polyline { fill: none; stroke-width: 1.6; }
.a { stroke: var(--a); } .b { stroke: var(--b); } .c { stroke: var(--c); }
.key b { display: inline-block; width: .8rem; height: .2rem; vertical-align: middle;
  margin: 0 .3rem 0 1rem; }
"""


def page(summary: Summary, trace: Trace, market: ReplayMarket) -> str:
    """The complete report."""
    zone = escape(market.recorded.zone)
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in summary_rows(summary, trace, market)
    )
    money = escape(f"Money, {summary.currency}")
    best, worst = _days_to_show(trace)
    sums = (("c", np.cumsum(trace.perfect_money)), ("a", np.cumsum(trace.money)))
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Backtest {zone}</title><style>{_STYLE}</style>"
        f"<h1>Backtest {zone}</h1><p>Each bid was made from what was public before its gate.</p>"
        f"<table>{rows}</table><h2>Stretches without a gap</h2>{_stretches(summary)}"
        f"<h2>{money}</h2>{_key(('a', 'earned'), ('c', 'perfect foresight'))}"
        + _chart(trace.start_ms, sums)
        + _day("The day that earned most", trace, best)
        + _day("The day that lost most against perfect foresight", trace, worst)
        + "</html>\n"
    )


def _stretches(summary: Summary) -> str:
    head = "".join(f"<th>{name}</th>" for name in STRETCH_COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in stretch_rows(summary)
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _days_to_show(trace: Trace) -> tuple[slice, slice]:
    _days, first, count = np.unique(trace.day, return_index=True, return_counts=True)
    earned = np.add.reduceat(trace.money, first)
    missed = np.add.reduceat(trace.perfect_money - trace.money, first)
    ends = first + count
    best, worst = int(earned.argmax()), int(missed.argmax())
    return slice(int(first[best]), int(ends[best])), slice(int(first[worst]), int(ends[worst]))


def _day(title: str, trace: Trace, rows: slice) -> str:
    at, kw = trace.start_ms[rows], trace.delivered_w[rows] / 1e3
    date = datetime.fromtimestamp(int(at[0]) / 1000, UTC).date().isoformat()
    money, perfect = trace.money[rows].sum(), trace.perfect_money[rows].sum()
    return (
        f"<h2>{title}: {date}</h2><p>{money:,.0f} of {perfect:,.0f}. Times are UTC.</p>"
        f"{_key(('b', 'price'), ('c', 'forecast before the gate'))}"
        + _chart(at, (("c", trace.forecast[rows]), ("b", trace.price[rows])), steps=True)
        + _key(("a", "delivered, kW (+ = sold)"), ("c", "stored, kWh"))
        + _chart(at, (("c", trace.stored_wh[rows] / 1e3), ("a", kw)), steps=True)
    )


def _key(*series: tuple[str, str]) -> str:
    parts = "".join(f"<b style='background: var(--{c})'></b>{escape(name)}" for c, name in series)
    return f"<p class='key'>{parts}</p>"


def _chart(at_ms: np.ndarray, series: tuple[tuple[str, Floats], ...], steps: bool = False) -> str:
    every = np.concatenate([values for _, values in series] + [np.zeros(1)])
    low, high = float(every.min()), float(every.max())
    high = high if high > low else low + 1.0
    picked = np.unique(np.linspace(0, len(at_ms) - 1, min(_POINTS, len(at_ms))).astype(int))
    x = _LEFT + np.arange(len(picked)) / max(len(picked) - 1, 1) * (_WIDTH - _LEFT - 8)
    parts = [f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT + _BELOW}' role='img'>"]
    for level in np.linspace(low, high, 5).tolist():
        y = _y(np.array([level]), low, high)[0]
        parts.append(
            f"<line class='grid' x1='{_LEFT}' x2='{_WIDTH - 8}' y1='{y:.1f}' y2='{y:.1f}'/>"
        )
        parts.append(f"<text x='{_LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{level:,.0f}</text>")
    ticks = np.linspace(0, len(picked) - 1, 6).astype(int).tolist()
    anchors = ("middle",) * 5 + ("end",)  # the last label would exceed the picture
    parts.extend(
        f"<text x='{x[at]:.1f}' y='{_HEIGHT + 18}' text-anchor='{anchor}'>"
        f"{_time(int(at_ms[picked[at]]), at_ms)}</text>"
        for at, anchor in zip(ticks, anchors, strict=True)
    )
    for colour, values in series:
        y = _y(values[picked], low, high)
        xs, ys = (np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]) if steps else (x, y)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))
        parts.append(f"<polyline class='{colour}' points='{points}'/>")
    return "".join(parts) + "</svg>"


def _y(values: Floats, low: float, high: float) -> Floats:
    scaled: Floats = 8 + (high - values) / (high - low) * (_HEIGHT - 16)
    return scaled


def _time(at_ms: int, span: np.ndarray) -> str:
    when = datetime.fromtimestamp(at_ms / 1000, UTC)
    return when.strftime("%H:%M" if span[-1] - span[0] <= DAY_MS else "%Y-%m-%d")
