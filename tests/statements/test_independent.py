"""Each line of each statement equals what pandas computes from windows, prices and terms alone.

The recomputation knows columns of numbers and the terms as literals: nothing of the settlement.
"""

import csv
import io
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pypdf import PdfReader

from tests.support.statement_world import (
    AVAILABLE_H,
    FIRST,
    LATE_OCTOBER,
    LATE_SEPTEMBER,
    LEFT,
    SECOND,
    SITES,
    ZONE,
    Facts,
    StatementWorld,
    booked,
    facts,
)
from vpp_streams.domain.arrays import Floats
from vpp_streams.domain.statements.document import StatementDocument
from vpp_streams.settings import Settings
from vpp_streams.statements.files import file_of
from vpp_streams.statements.reading import LedgerReader

MONTHS = ("2025-09", "2025-10", "2025-11")
TERMS = pd.DataFrame(
    {
        "version": [1, 2],
        "since": pd.to_datetime(["1970-01-01", "2025-10-15"]).tz_localize(ZONE),
        "share_millionths": [600_000, 500_000],
    }
)
PER_KWH, PER_EVENT, PER_KW_MONTH = 123_457, 250_000, 1_500_000
EVENINGS = ("2025-10-15", "2025-10-20")
OCTOBER_H = 31 * 24 + 1
"""Clocks are put back on the 26th."""


def half_even(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def windows(given: Facts, wh: Floats) -> pd.DataFrame:
    """The windows as a plain table: columns start (of the interval), minute, site, wh."""
    shape = wh.shape
    return pd.DataFrame(
        {
            "start": np.repeat(given.starts, shape[1] * shape[2]),
            "minute": np.tile(np.repeat(np.arange(shape[1]), shape[2]), shape[0]),
            "site": np.tile(SITES, shape[0] * shape[1]),
            "wh": wh.reshape(-1),
        }
    )


def shares(given: Facts, wh: Floats) -> pd.DataFrame:
    """Each site's share in each interval: columns start, site, local, version, wh, micros."""
    sums = windows(given, wh).groupby(["start", "site"])["wh"].sum(min_count=1)
    found: pd.DataFrame = sums.reset_index()
    found["wh"] = found["wh"].clip(-5_000 / 12, 5_000 / 12)
    found["local"] = pd.to_datetime(found["start"], unit="ms", utc=True).dt.tz_convert(ZONE)
    found = pd.merge_asof(found.sort_values("start"), TERMS, left_on="local", right_on="since")
    out = (found["site"] == LEFT.site_id) & (
        (found["start"] < LEFT.until_ms) & (found["start"] + 300_000 > LEFT.from_ms)
    )
    weight = (found["wh"].fillna(0.0) * 1000).round().clip(lower=0).mask(out, 0)
    found["weight"] = weight.astype("int64").astype(object)
    meter_w = windows(given, given.final_wh).groupby("start")["wh"].sum() * 12
    money = meter_w * pd.Series(given.prices, index=given.starts) / 1e6 * 300_000 / 3_600_000
    micros = money.map(lambda value: half_even(Decimal(value) * 10**6))
    found["total"] = found["start"].map(micros).astype(object)
    weights = found.groupby("start")["weight"].transform("sum")
    product, divisor = found["total"] * found["weight"], weights.where(weights > 0, 1)
    found["part"] = product // divisor
    found["rest"] = (product % divisor).where(weights > 0, -1)
    left = found["total"].where(weights > 0, 0) - found.groupby("start")["part"].transform("sum")
    order = found.sort_values(["start", "rest", "site"], ascending=[True, False, True])
    found["part"] += (order.groupby("start").cumcount().reindex(found.index) < left).astype(int)
    found["micros"] = found["part"] * found["share_millionths"] // 1_000_000
    return found


def by_pandas(given: Facts) -> pd.DataFrame:
    """Every line: columns site, month, kind, version, micros, wh, intervals."""
    later, final = shares(given, given.later_wh), shares(given, given.final_wh)
    later["month"] = later["local"].dt.strftime("%Y-%m")
    corrections = []
    for start_ms, month in ((LATE_SEPTEMBER, "2025-10"), (LATE_OCTOBER, "2025-11")):
        for table, sign in ((final, 1), (later, -1)):
            measured = (table["start"] == start_ms) & table["wh"].notna()
            rows = table[measured].assign(month=month)
            corrections.append(rows.assign(micros=rows["micros"] * sign, wh=rows["wh"] * sign))
    every = pd.concat([later, *corrections]).assign(kind="share")
    every["wh"] = every["wh"].where(every["micros"] != 0, 0.0).fillna(0.0)
    return pd.concat([every, events(given), availability()])[
        ["site", "month", "kind", "version", "micros", "wh"]
    ]


def events(given: Facts) -> pd.DataFrame:
    table = windows(given, given.later_wh)
    table["local"] = pd.to_datetime(table["start"], unit="ms", utc=True).dt.tz_convert(ZONE)
    table["day"] = table["local"].dt.strftime("%Y-%m-%d")
    given_wh = table[table["day"].isin(EVENINGS)].groupby(["day", "site"])["wh"].sum()
    rows = given_wh.reset_index().assign(month="2025-10", version=2)
    milli = (rows["wh"] * 1000).round().astype("int64")
    per_kwh = milli.map(lambda each: half_even(Decimal(each) * PER_KWH / 1_000_000))
    per_event = pd.Series(np.where(milli > 0, PER_EVENT, 0), index=rows.index)
    return pd.concat(
        [rows.assign(kind="energy", micros=per_kwh), rows.assign(kind="event", micros=per_event)]
    )


def availability() -> pd.DataFrame:
    paid = [round(Fraction(5 * hours) * PER_KW_MONTH / OCTOBER_H) for hours in AVAILABLE_H]
    wh = [5_000 * hours for hours in AVAILABLE_H]
    return pd.DataFrame({"site": SITES, "kind": "availability", "micros": paid, "wh": wh}).assign(
        month="2025-10", version=1
    )


def told_lines(document: StatementDocument) -> dict[tuple[str, int], tuple[int, float]]:
    return {
        (row.kind, row.program_version): (row.amount.micros, row.delivered_wh)
        for row in document.rows
    }


@pytest.fixture(scope="module")
def documents(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str], StatementDocument]:
    ledger = LedgerReader(booked(tmp_path_factory.mktemp("ledger")))
    return {
        (site, month): ledger.statement(site, month, [FIRST, SECOND])
        for site in SITES
        for month in MONTHS
    }


def test_every_line_is_what_pandas_computes_to_the_micro(
    documents: dict[tuple[str, str], StatementDocument],
) -> None:
    table = by_pandas(facts())
    sums = table.groupby(["site", "month", "kind", "version"])[["micros", "wh"]].sum()
    expected: dict[tuple[str, str], dict[tuple[str, int], tuple[int, Any]]] = {}
    for key, micros, wh in zip(sums.index, sums["micros"], sums["wh"], strict=True):
        site, month, kind, version = key
        expected.setdefault((site, month), {})[kind, version] = (micros, pytest.approx(wh))
    for key, document in documents.items():
        assert told_lines(document) == expected.get(key, {}), key
        assert document.total.micros == sum(m for m, _ in expected.get(key, {}).values())
    owner = documents[SITES[0], "2025-10"]
    assert owner.corrected.micros > 0, "September was corrected in October"
    assert documents[SITES[2], "2025-10"].total.micros == 0, "it was never measured"
    assert not documents[SITES[2], "2025-10"].measured.complete


def test_balances_go_on_from_month_to_month(
    documents: dict[tuple[str, str], StatementDocument],
) -> None:
    for site in SITES:
        owed = 0
        for month in MONTHS:
            told = documents[site, month]
            assert told.owed_before.micros == owed
            owed += told.total.micros - sum(one.amount.micros for one in told.paid_out)
            assert told.payable.micros + told.carried.micros == owed
            assert told.payable.micros % 10_000 == 0
            assert 0 <= told.carried.micros < 10_000


def test_csv_and_pdf_state_the_same_total(
    documents: dict[tuple[str, str], StatementDocument],
) -> None:
    sums = by_pandas(facts()).groupby(["site", "month"])["micros"].sum()
    for (site, month), document in documents.items():
        total = int(sums.get((site, month), 0))
        rows = list(csv.DictReader(io.StringIO(file_of(document, "csv").decode())))
        assert int(next(r["micros"] for r in rows if r["row"] == "total")) == total
        kinds = ("share", "energy", "event", "availability")
        assert sum(int(r["micros"]) for r in rows if r["row"] in kinds) == total
        pages = PdfReader(io.BytesIO(file_of(document, "pdf"))).pages
        text = "\n".join(page.extract_text() for page in pages)
        stated = next(line for line in text.splitlines() if line.startswith("Earned in this month"))
        assert Decimal(stated.split()[-2]) == Decimal(total) / 10**6
        assert f"page {len(pages)} of {len(pages)}" in text


def test_an_open_month_is_the_same_before_anything_is_closed(ledger_settings: Settings) -> None:
    """On both databases: nothing was closed, so the late readings are not in it yet."""
    settings = ledger_settings.model_copy(update={"ledger_zone": ZONE})
    StatementWorld(settings).engine.dispose()
    told = LedgerReader(settings).statement(SITES[0], "2025-10", [])
    expected = by_pandas(facts())
    here = (expected["site"] == SITES[0]) & (expected["month"] == "2025-10")
    september = shares(facts(), facts().final_wh), shares(facts(), facts().later_wh)
    late = [
        int(table[(table["start"] == LATE_SEPTEMBER) & (table["site"] == SITES[0])]["micros"].sum())
        for table in september
    ]
    assert told.state == "open"
    assert told.total.micros == expected[here]["micros"].sum() - (late[0] - late[1])
    assert {row.program_name for row in told.rows} == {""}, "the terms are not known here"
