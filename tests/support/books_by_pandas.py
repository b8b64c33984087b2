"""What owners are owed, computed from the topics by pandas: it shares no code with settlement.

Columns of Python integers; the rules are those of `docs/settlement.md`, written a second time.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

import pandas as pd

from schemas.market import Award, Delivery, Shortfall
from schemas.windows import SiteWindow

HOUR_MS = 3_600_000
RATED_W = 5_000.0
"""Of each battery, both ways."""


def micros(money: float) -> int:
    """Money in micros, halves to the even one."""
    return int((Decimal(money) * 10**6).to_integral_value(ROUND_HALF_EVEN))


def intervals_of(
    awards: Iterable[Award], deliveries: Iterable[Delivery | Shortfall]
) -> pd.DataFrame:
    """Each award with its delivery: start, minutes, money in micros, and the award's direction."""
    sold = {award.bid_id: award for award in awards}
    rows = [
        {
            "start": done.start_ms,
            "length": done.interval_ms,
            "total": micros(done.money),
            "capacity": micros(done.capacity_money),
            "price": sold[done.bid_id].prices["energy"],
            "way": (sold[done.bid_id].energy_w > 0) - (sold[done.bid_id].energy_w < 0),
        }
        for done in deliveries
        if isinstance(done, Delivery)
    ]
    return pd.DataFrame(rows).drop_duplicates("start").set_index("start")


def minutes_of(windows: Iterable[SiteWindow]) -> pd.DataFrame:
    """The newest revision of each window of a minute: site, start, energy and coverage."""
    rows = [
        (w.site_id, w.start_ms, w.revision, w.battery.energy_wh if w.battery else None, w.coverage)
        for w in windows
        if w.size_s == 60
    ]
    table = pd.DataFrame(rows, columns=["site", "minute", "revision", "wh", "coverage"])
    newest = table.sort_values("revision").groupby(["site", "minute"]).tail(1)
    return newest.sort_values(["site", "minute"])


def owed(
    awards: Iterable[Award],
    deliveries: Iterable[Delivery | Shortfall],
    windows: Iterable[SiteWindow],
    *,
    site_ids: list[str],
    enrolled: set[str],
) -> pd.DataFrame:
    """What each site is owed for each interval: columns start, site, micros."""
    known = intervals_of(awards, deliveries)
    length = int(known["length"].iloc[0])
    minutes = minutes_of(windows)
    minutes["start"] = minutes["minute"] // length * length
    sums = minutes.groupby(["start", "site"]).agg(
        wh=("wh", lambda each: each.sum(min_count=1)), coverage=("coverage", "sum")
    )
    every = pd.MultiIndex.from_product([known.index, sorted(site_ids)], names=["start", "site"])
    table = sums.reindex(every).reset_index()
    table = table.join(known, on="start")
    limit_wh = RATED_W * length / HOUR_MS
    given = (table["wh"].clip(-limit_wh, limit_wh).fillna(0.0) * 1000).round() * table["way"]
    covered = (table["coverage"].fillna(0.0) / (length / 60_000)).clip(upper=1.0)
    table["given"] = [max(int(wh), 0) for wh in given]
    table["held"] = [round(wh) for wh in RATED_W * covered * (length / HOUR_MS) * 1000]
    energy = table["total"] - table["capacity"]
    sound = energy * table["price"] * table["way"] > 0
    table["energy"] = [int(e) if s else 0 for e, s in zip(energy, sound, strict=True)]
    parts = _divided(table, "energy", "given") + _divided(table, "capacity", "held")
    table["micros"] = [
        (abs(part) * 600_000 // 1_000_000) * (-1 if part < 0 else 1) if site in enrolled else 0
        for part, site in zip(parts, table["site"], strict=True)
    ]
    return table[["start", "site", "micros", "total"]]


def _divided(table: pd.DataFrame, amount: str, weight: str) -> "pd.Series[int]":
    """Amounts divided by weights within each interval; the largest remainders are rounded up."""
    of = table[["start", "site"]].assign(
        amount=[abs(int(a)) for a in table[amount]], weight=[int(w) for w in table[weight]]
    )
    of = of.astype({"amount": object, "weight": object})
    total = of.groupby("start")["weight"].transform("sum")
    some = total > 0
    divisor = total.where(some, 1)
    of["part"] = (of["amount"] * of["weight"] // divisor).where(some, 0)
    of["rest"] = (of["amount"] * of["weight"] % divisor).where(some, -1)
    left = (of["amount"] - of.groupby("start")["part"].transform("sum")).where(some, 0)
    order = of.sort_values(["start", "rest", "site"], ascending=[True, False, True])
    place = order.groupby("start").cumcount().reindex(of.index)
    of["part"] += (place < left).astype(int)
    sign = [-1 if int(a) < 0 else 1 for a in table[amount]]
    return of["part"] * sign
