"""A month of recorded prices: entries from windows equal an independent computation to the micro.

The homes are simulated. Their windows arrive late, twice, corrected and in any order; some are
missing. pandas computes the same month from the same facts, by columns of Python integers.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN as HALF_EVEN
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from schemas.market import Award
from schemas.programs import OptOut
from schemas.windows import SiteWindow
from tests.support.market_factory import NEM_FILE, recorded
from tests.support.settle_world import (
    HOUR,
    INTERVAL,
    MINUTE,
    SHARE_60,
    award,
    delivery,
    enrolled,
    everybody,
    fleet,
    opt_out,
    site_window,
    terms,
)
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.settle.baselines import Calendar
from vpp_streams.domain.settle.corrections import AWARD_KINDS, balances, standing
from vpp_streams.domain.settle.intervals import SiteWindows
from vpp_streams.domain.settle.periods import Books
from vpp_streams.domain.settle.settling import Region
from vpp_streams.domain.settle.statement import MonthFacts, statement

MARKET_TIME = ZoneInfo("Australia/Brisbane")
"""The market's clock, UTC+10 all year."""
AUD = terms(SHARE_60, currency="AUD")
BOOKS = Books(MARKET_TIME)


@dataclass(frozen=True)
class Facts:
    """What happened in the month: shapes (intervals, minutes, sites), in Wh; NaN = not measured."""

    site_ids: list[str]
    starts: list[int]
    prices: Floats
    first_wh: Floats
    """As the windows were closed first."""
    final_wh: Floats
    """As corrected by late readings."""
    opt_out: OptOut

    def award(self, at: int) -> Award:
        """Sold when dear, bought when cheap."""
        price = float(self.prices[at])
        sells = price >= np.median(self.prices)
        return award(
            self.starts[at],
            energy_w=1e4 if sells else -1e4,
            prices={"energy": price},
            currency="AUD",
        )


def facts(days: int, sites: int, seed: int) -> Facts:
    prices = recorded(NEM_FILE, zone="SA1")
    count = min(days * 288, len(prices.start_ms))
    rng = np.random.default_rng(seed)
    sold = prices.energy[:count] >= np.median(prices.energy[:count])
    wh = rng.uniform(-5, 80, (count, 5, sites)) * np.where(sold, 1, -1)[:, None, None]
    wh[rng.random(wh.shape) < 0.03] = np.nan
    wh[:, :, -1] = np.nan  # the last site was never measured
    late = rng.random(wh.shape) < 0.02
    site_ids = [f"home-{k:03}" for k in range(sites)]
    starts = prices.start_ms[:count].tolist()
    return Facts(
        site_ids,
        starts,
        prices.energy[:count],
        np.where(late, np.nan, wh),
        wh,
        opt_out(site_ids[0], starts[count // 3], starts[count // 2], 0),
    )


def windows_of(given: Facts, wh: Floats, at: int, revision: int) -> Iterator[SiteWindow]:
    for minute in range(5):
        for site, site_id in enumerate(given.site_ids):
            energy_wh = wh[at, minute, site]
            if not np.isnan(energy_wh):
                start_ms = given.starts[at] + minute * MINUTE
                yield site_window(site_id, start_ms, float(energy_wh), revision=revision)


def settle(given: Facts, windows: SiteWindows, at: int, before: list[pa.RecordBatch]) -> None:
    told = given.award(at)
    region = Region(
        fleet=fleet(*given.site_ids),
        windows=windows,
        enrolled=enrolled(given.site_ids, AUD),
        calendar=Calendar(MARKET_TIME, lambda _day: everybody(len(given.site_ids))),
        books=BOOKS,
        opt_outs=(given.opt_out,),
    )
    record = region.settle_award(
        told,
        delivery(told, market_w(given, at)),
        told.start_ms,
        before=standing(before, AWARD_KINDS),
    )
    if record is not None:
        before.append(record)


def market_w(given: Facts, at: int) -> float:
    """The market's own meter saw the late energy too."""
    return float(np.nansum(given.final_wh[at])) * HOUR / INTERVAL


def entries_of(given: Facts, seed: int) -> list[list[pa.RecordBatch]]:
    """The records of each interval: first settled as closed, then as corrected."""
    shuffle, windows = random.Random(seed).shuffle, SiteWindows()
    records: list[list[pa.RecordBatch]] = [[] for _ in given.starts]
    for at in range(len(given.starts)):
        first = list(windows_of(given, given.first_wh, at, 0))
        final = list(windows_of(given, given.final_wh, at, 1))
        shuffle(first)
        for window in first:
            windows.apply(window)
        settle(given, windows, at, records[at])
        mixed = [*first[:3], *final, *final[:2]]
        shuffle(mixed)
        for window in mixed:
            windows.apply(window)
        settle(given, windows, at, records[at])
        windows.forget(given.starts[at])
    return records


def by_pandas(given: Facts) -> pd.DataFrame:
    """Each site's share in each interval, micros: columns start, site, owner, total."""
    count, _, sites = given.final_wh.shape
    table = pd.DataFrame(
        {
            "start": np.repeat(given.starts, sites),
            "site": np.tile(given.site_ids, count),
            "wh": pd.DataFrame(given.final_wh.transpose(0, 2, 1).reshape(-1, 5)).sum(
                axis=1, min_count=1
            ),
        }
    )
    limit_wh = 5_000 / 12
    table["wh"] = table["wh"].clip(-limit_wh, limit_wh)
    price = pd.Series(given.prices, index=given.starts)
    way = pd.Series(np.where(given.prices >= np.median(given.prices), 1, -1), index=given.starts)
    table["weight"] = (table["wh"].fillna(0.0) * 1000).round() * table["start"].map(way)
    out = (table["site"] == given.opt_out.site_id) & (
        (table["start"] < given.opt_out.until_ms)
        & (table["start"] + INTERVAL > given.opt_out.from_ms)
    )
    table.loc[out, "weight"] = 0
    table["weight"] = table["weight"].clip(lower=0).astype(int).astype(object)
    power_w = pd.Series([market_w(given, at) for at in range(count)], index=given.starts)
    money = power_w * price / 1e6 * INTERVAL / HOUR
    total = money.map(lambda value: int((Decimal(value) * 10**6).to_integral_value(HALF_EVEN)))
    table["total"] = table["start"].map(total).astype(object)
    by_start = table.groupby("start")
    weights = by_start["weight"].transform("sum")
    sound = table["start"].map(money * price * way > 0) & (weights > 0)
    product = table["total"].abs() * table["weight"]
    divisor = weights.where(weights > 0, 1)
    table["part"] = (product // divisor).where(sound, 0)
    table["rest"] = (product % divisor).where(sound, -1)
    left = table["total"].abs().where(sound, 0) - by_start["part"].transform("sum").where(sound, 0)
    order = table.sort_values(["start", "rest", "site"], ascending=[True, False, True])
    place = order.groupby("start").cumcount().reindex(table.index)
    table["part"] += (place < left).astype(int)
    sign = table["total"].map(lambda value: -1 if value < 0 else 1)
    table["owner"] = (table["part"] * 600_000 // 1_000_000) * sign
    return table


def owners(records: list[pa.RecordBatch]) -> dict[str, int]:
    found = balances(standing(records, AWARD_KINDS).entries)
    return {name[5:]: amount for name, amount in found.items() if name.startswith("site:")}


@pytest.mark.parametrize(
    ("days", "sites"), [(1, 6), pytest.param(31, 12, marks=pytest.mark.nightly)]
)
def test_a_month_is_what_pandas_computes_to_the_micro(days: int, sites: int) -> None:
    given = facts(days, sites, seed=days)
    records = entries_of(given, seed=days)
    table = by_pandas(given)
    expected = table.groupby("start")[["site", "owner"]].apply(
        lambda rows: dict(zip(rows["site"], rows["owner"], strict=True))
    )
    for start_ms, own in zip(given.starts, records, strict=True):
        assert owners(own) == expected[start_ms]
    check_conservation(given, records, table)
    check_statements(given, records, table)


def check_conservation(
    given: Facts, records: list[list[pa.RecordBatch]], table: pd.DataFrame
) -> None:
    """Over the complete time, and in each record alone."""
    every = [record for own in records for record in own]
    assert all(balances(record).get("revenue:sim:north", 0) == 0 for record in every)
    totals = pd.DataFrame([balances(record) for record in every]).fillna(0).sum()
    sites = totals[[f"site:{site_id}" for site_id in given.site_ids]].sum()
    market = table.drop_duplicates("start")["total"].sum()
    assert -totals["market:sim"] == market == sites + totals["operator"]
    corrected = sum(len(own) > 1 for own in records)
    assert corrected > len(records) / 10, "hardly anything was corrected"


def check_statements(
    given: Facts, records: list[list[pa.RecordBatch]], table: pd.DataFrame
) -> None:
    rows = pa.Table.from_batches([record for own in records for record in own])
    entries = rows.unify_dictionaries().combine_chunks().to_batches()[0]
    local = pd.to_datetime(table["start"], unit="ms", utc=True).dt.tz_convert(str(MARKET_TIME))
    sums = table.groupby([table["site"], local.dt.strftime("%Y-%m")])["owner"].sum()
    of_month = MonthFacts(zone=MARKET_TIME, measured_hours=0.0, digits=2)
    for key, amount in sums.items():
        site_id, month = map(str, key)  # type: ignore[call-overload]  # of a table with two indices
        told = statement(site_id, month, entries, [AUD], of_month)
        assert told.total_micros == amount
        assert told.payable * 10_000 + told.carried_out_micros == amount
    never = statement(given.site_ids[-1], sums.index[0][1], entries, [AUD], of_month)
    assert (never.total_micros, never.complete) == (0, False)
