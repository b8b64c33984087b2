"""AEMO's price files: recorded months against known answers, and files that are wrong."""

import csv
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.paths import SHARED_DATA
from vpp_streams.domain.files.price_files.aemo import (
    FIVE_MINUTE_SETTLEMENT_MS,
    HALF_HOUR_MS,
    thirty_minute,
)
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.report import PriceReading
from vpp_streams.domain.market.rules import Prices

DATA = SHARED_DATA / "nem_5min_prices_fcas"
RAW = DATA / "raw" / "PUBLIC_DVD_DISPATCHPRICE_202105010000.CSV"
SELECT3 = SHARED_DATA / "public_reports" / "prices" / "nemosis_select3.csv"
recorded = pytest.mark.skipif(not DATA.exists(), reason=f"no {DATA.name} in ../shared/data")
COLUMNS = {
    "energy": "RRP",
    "reg_up": "RAISEREGRRP",
    "reg_down": "LOWERREGRRP",
    "reserve": "RAISE60SECRRP",
}


def start_of(stamp: str, minutes: int) -> int:
    """A stamp of market time names an interval's end."""
    end = datetime.strptime(stamp, "%Y/%m/%d %H:%M:%S") - timedelta(hours=10, minutes=minutes)
    return round(end.replace(tzinfo=UTC).timestamp() * 1000)


@cache
def flat(name: str) -> tuple[dict[str, str], ...]:
    with (DATA / name).open(newline="") as file:
        return tuple(csv.DictReader(file))


def read(name: str, interval_ms: int | None = None) -> PriceReading:
    return read_price_file((DATA / name).read_bytes(), name=name, interval_ms=interval_ms)


def by_start(prices: Prices, product: str = "energy") -> dict[int, float]:
    column = prices.per_product[product]  # type: ignore[index]  # the products' names
    return dict(zip(prices.start_ms.tolist(), column.tolist(), strict=True))


@recorded
@pytest.mark.parametrize("zone", ["SA1", "NSW1"])
def test_every_settled_dispatch_price_is_read_at_its_time(zone: str) -> None:
    prices = read("DISPATCHPRICE.csv").prices[zone]
    rows = [r for r in flat("DISPATCHPRICE.csv") if r["REGIONID"] == zone]
    settled = [r for r in rows if r["INTERVENTION"] == "0"]
    assert len(settled) == 7200
    assert prices.interval_ms == 300_000
    assert prices.currency == "AUD"
    for product, column in COLUMNS.items():
        expected = {start_of(r["SETTLEMENTDATE"], 5): float(r[column]) for r in settled}
        assert by_start(prices, product) == expected


@recorded
def test_raw_records_tell_what_the_flat_export_tells() -> None:
    raw = read_price_file(RAW.read_bytes(), name=RAW.name).prices
    export = read("DISPATCHPRICE.csv").prices
    for zone in ("SA1", "NSW1"):
        for product in COLUMNS:
            inside, whole = by_start(raw[zone], product), by_start(export[zone], product)
            assert len(inside) == 1440
            assert inside == {ms: whole[ms] for ms in inside}


@recorded
def test_half_hours_settle_at_the_mean_of_their_dispatch_prices() -> None:
    dispatch = read("DISPATCHPRICE.csv").prices
    trading = read("TRADINGPRICE.csv", HALF_HOUR_MS).prices
    errors = settlement_errors(dispatch, trading)
    assert len(errors) == 1434
    assert max(errors) <= 0.005 + 1e-9


def settlement_errors(dispatch: Mapping[str, Prices], trading: Mapping[str, Prices]) -> list[float]:
    errors = []
    for zone, prices in dispatch.items():
        means, settled = by_start(thirty_minute(prices)), by_start(trading[zone])
        errors += [abs(means[ms] - settled[ms]) for ms in settled if ms in means]
    return errors


@recorded
def test_the_rows_with_intervention_1_would_settle_wrongly() -> None:
    lines = (DATA / "DISPATCHPRICE.csv").read_text().splitlines()
    at = lines[0].split(",").index("INTERVENTION")
    pairs = {tuple(c[:3:2]) for c in (line.split(",") for line in lines) if c[at] == "1"}
    swapped = []
    for line in lines:
        cells = line.split(",")
        if tuple(cells[:3:2]) in pairs:
            cells[at] = {"0": "1", "1": "0"}[cells[at]]
        swapped.append(",".join(cells))
    reading = read_price_file("\n".join(swapped).encode(), name="x.csv")
    errors = settlement_errors(reading.prices, read("TRADINGPRICE.csv", HALF_HOUR_MS).prices)
    assert len(errors) == 1434
    assert sum(error > 0.005 + 1e-9 for error in errors) > 0
    assert max(errors) > 4000


@recorded
def test_five_minutes_settle_at_the_dispatch_price() -> None:
    dispatch, trading = read("DISPATCHPRICE.csv").prices, read("TRADINGPRICE.csv").prices
    compared = 0
    for zone, prices in trading.items():
        told = by_start(dispatch[zone])
        for ms, price in by_start(prices).items():
            assert price == pytest.approx(told[ms], abs=0.005 + 1e-9)
            compared += 1
    assert compared == 5760


@recorded
def test_the_report_of_the_recorded_months() -> None:
    report = read("DISPATCHPRICE.csv").report
    assert [f.count for f in report.of("intervention")] == [144]
    # 14,400 intervals in five trimmed months; all others from the first to the last are missing.
    span = (start_of("2024/09/01 00:00:00", 5) - start_of("2020/01/01 00:05:00", 5)) // 300_000
    assert [f.lost for f in report.of("gap")] == [2 * (span + 1) - 14_400]
    assert not {"duplicate", "contradiction", "off_grid", "unknown_column"} & {
        f.kind for f in report.findings
    }
    at_cap = [
        r
        for r in flat("DISPATCHPRICE.csv")
        if r["INTERVENTION"] == "0" and float(r["RRP"]) >= cap_of(r["SETTLEMENTDATE"])
    ]
    assert at_cap
    assert [f.count for f in report.of("at_cap")] == [len(at_cap)]


def cap_of(stamp: str) -> float:
    return {"2020": 14_700.0, "2021": 15_000.0, "2024": 17_500.0}[stamp[:4]]


@recorded
def test_a_file_of_two_resolutions_says_so_and_reads_either() -> None:
    usual, asked = read("TRADINGPRICE.csv"), read("TRADINGPRICE.csv", HALF_HOUR_MS)
    assert {p.interval_ms for p in usual.prices.values()} == {300_000}
    assert [(f.count, f.lost) for f in usual.report.of("mixed_resolution")] == [(1440, 1440)]
    assert [len(p.start_ms) for p in asked.prices.values()] == [720, 720]
    assert [(f.count, f.lost) for f in asked.report.of("mixed_resolution")] == [(5760, 0)]


@recorded
def test_raw_records_are_cut_where_their_last_line_says_so() -> None:
    (found,) = read_price_file(RAW.read_bytes(), name=RAW.name).report.of("row_count")
    assert "44783" in found.what
    assert found.lost == 44_783 - 2883


# Files made here

HEAD = "SETTLEMENTDATE,RUNNO,REGIONID,INTERVENTION,RRP,RAISEREGRRP,LOWERREGRRP,RAISE60SECRRP"


def row(stamp: str, price: object = 50, zone: str = "SA1", intervention: object = 0) -> str:
    return f"2024/07/01 {stamp}:00,1,{zone},{intervention},{price},3,2,1"


def of_rows(*rows: str, head: str = HEAD, zone: str | None = None) -> PriceReading:
    return read_price_file("\r\n".join([head, *rows, ""]).encode(), name="x.csv", zone=zone)


def found(reading: PriceReading) -> dict[str, tuple[int, int]]:
    """Count and loss of each kind of finding."""
    kinds = {f.kind for f in reading.report.findings}
    return {
        kind: (
            sum(f.count for f in reading.report.of(kind)),
            sum(f.lost for f in reading.report.of(kind)),
        )
        for kind in kinds
    }


def test_a_clean_file_has_no_finding() -> None:
    reading = of_rows(*(row(f"10:{m:02}", m) for m in range(5, 60, 5)))
    assert reading.report.findings == ()
    assert reading.prices["SA1"].energy.tolist() == list(range(5, 60, 5))
    assert reading.prices["SA1"].start_ms[0] == start_of("2024/07/01 10:05:00", 5)


@pytest.mark.parametrize(
    ("rows", "kind", "lost", "left"),
    [
        ([row("10:05"), row("10:15")], "gap", 1, 2),
        ([row("10:05"), row("10:05")], "duplicate", 0, 1),
        ([row("10:05"), row("10:05", 51), row("10:10")], "contradiction", 1, 1),
        ([row("10:05"), row("10:05", 51), row("10:05")], "contradiction", 1, 0),
        ([row("10:05"), row("10:07")], "off_grid", 1, 1),
        ([row("10:05"), row("10:10", "n/a")], "unreadable_price", 1, 1),
        ([row("10:05"), row("10:10", "inf")], "unreadable_price", 1, 1),
        ([row("10:05"), row("10:10", 1e7)], "unreadable_price", 1, 1),
        ([row("10:05"), row("25:10")], "unreadable_row", 1, 1),
        ([row("10:05"), row("10:10") + ",9"], "unreadable_row", 1, 1),
        ([row("10:05"), row("10:10", intervention="x")], "unreadable_row", 1, 1),
        ([row("10:05"), row("10:05", 99, intervention=1)], "intervention", 0, 1),
        ([row("10:05"), row("10:10", 17_500)], "at_cap", 0, 2),
        ([row("10:05"), row("10:10", -1000)], "at_floor", 0, 2),
        ([row("10:10"), row("10:05")], "unsorted", 0, 2),
        ([row("10:05"), '"' + row("10:10")], "unreadable_row", 1, 1),
    ],
)
def test_what_is_wrong_is_told_and_no_price_is_made_up(
    rows: list[str], kind: str, lost: int, left: int
) -> None:
    reading = of_rows(*rows)
    assert found(reading) == {kind: (1, lost)}
    assert sum(len(p.start_ms) for p in reading.prices.values()) == left
    assert bool(reading.report.failure) == (left == 0)


def test_an_empty_reserve_price_costs_reserve_only() -> None:
    reading = of_rows(row("10:05"), row("10:10").removesuffix("1"))
    prices = reading.prices["SA1"]
    assert found(reading) == {"unreadable_price": (1, 0)}
    assert np.isnan(prices.per_product["reserve"]).tolist() == [False, True]
    assert prices.energy.tolist() == [50, 50]


def test_prices_that_may_change_are_left_out() -> None:
    head = HEAD + ",PRICE_STATUS,SURPRISE"
    reading = of_rows(row("10:05") + ",FIRM,1", row("10:10") + ",NOT FIRM,1", head=head)
    assert found(reading) == {"not_firm": (1, 1), "unknown_column": (1, 0)}
    assert reading.report.of("unknown_column")[0].examples == ("SURPRISE",)
    assert len(reading.prices["SA1"].start_ms) == 1


def test_other_zones_are_left_out_and_a_wrong_zone_lists_those_there_are() -> None:
    rows = row("10:05"), row("10:05", 9, zone="NSW1")
    asked = of_rows(*rows, zone="NSW1")
    assert {z: p.energy.tolist() for z, p in asked.prices.items()} == {"NSW1": [9]}
    assert found(asked) == {"other_zone": (1, 0)}
    wrong = of_rows(*rows, zone="WA")
    assert not wrong.prices
    assert wrong.report.failure == "there is no zone 'WA' in it; it has NSW1, SA1"


def test_another_column_can_be_the_reserve() -> None:
    data = f"{HEAD},RAISE6SECRRP\n{row('10:05')},7\n".encode()
    reading = read_price_file(data, name="x", columns={"reserve": "raise6secrrp"})
    assert reading.prices["SA1"].per_product["reserve"].tolist() == [7]
    failed = read_price_file(data, name="x", columns={"reserve": "RAISE1SECRRP"})
    assert "RAISE1SECRRP" in failed.report.failure


def test_trading_prices_are_half_hours_until_october_2021() -> None:
    head = "SETTLEMENTDATE,REGIONID,PERIODID,RRP"
    old = ["2021/09/30 23:30:00,SA1,47,10", "2021/10/01 00:00:00,SA1,48,20"]
    new = [f"2021/10/01 00:{m:02}:00,SA1,{m // 5},{m}" for m in (5, 10, 15)]
    data = "\n".join([head, *old, *new]).encode()
    fine = read_price_file(data, name="x").prices["SA1"]
    assert fine.start_ms[0] == FIVE_MINUTE_SETTLEMENT_MS == start_of("2021/10/01 00:05:00", 5)
    assert fine.energy.tolist() == [5, 10, 15]
    coarse = read_price_file(data, name="x", interval_ms=HALF_HOUR_MS).prices["SA1"]
    assert coarse.start_ms[-1] == start_of("2021/10/01 00:00:00", 30)
    assert coarse.energy.tolist() == [10, 20]


def spaced(minutes: int, count: int, first: datetime = datetime(2020, 12, 1)) -> list[str]:
    """Rows of an export with a time, a region and a price, so many minutes apart."""
    ends = (first + timedelta(minutes=minutes * at) for at in range(1, count + 1))
    return [f"{end:%Y-%m-%d %H:%M:%S},SA1,{at}" for at, end in enumerate(ends)]


def of_three(*rows: str, interval_ms: int | None = None) -> PriceReading:
    text = "\n".join(["SETTLEMENTDATE,REGIONID,RRP", *rows])
    return read_price_file(text.encode(), name="x.csv", interval_ms=interval_ms)


@pytest.mark.skipif(not SELECT3.exists(), reason=f"no {SELECT3.name} in ../shared/data")
def test_an_export_of_three_columns_in_five_minutes_is_dispatch() -> None:
    reading = read_price_file(SELECT3.read_bytes(), name=SELECT3.name)
    prices = reading.prices["SA1"]
    assert (len(prices.start_ms), prices.interval_ms) == (288, 300_000)
    assert prices.start_ms[0] == start_of("2020/12/01 00:05:00", 5)
    assert prices.energy.mean() == pytest.approx(91.445)
    assert reading.report.format == "AEMO dispatch prices"
    assert reading.report.findings == ()


def test_an_export_of_three_columns_in_half_hours_is_trading() -> None:
    reading = of_three(*spaced(30, 48))
    prices = reading.prices["SA1"]
    assert (prices.energy.tolist(), prices.interval_ms) == (list(range(48)), HALF_HOUR_MS)
    assert prices.start_ms[0] == start_of("2020/12/01 00:30:00", 30)
    assert reading.report.format == "AEMO trading prices"
    assert reading.report.findings == ()


def test_a_gap_of_half_an_hour_leaves_five_minutes_what_they_are() -> None:
    rows = spaced(5, 48)
    reading = of_three(*rows[:20], *rows[25:])
    assert reading.prices["SA1"].energy.tolist() == [*range(20), *range(25, 48)]
    assert found(reading) == {"gap": (5, 5)}


def test_an_export_of_both_spacings_says_so_and_reads_either() -> None:
    rows = [*spaced(30, 10), *spaced(5, 48, datetime(2020, 12, 2))]
    fine, coarse = of_three(*rows), of_three(*rows, interval_ms=HALF_HOUR_MS)
    assert len(fine.prices["SA1"].start_ms) == 48
    assert found(fine)["mixed_resolution"] == (10, 10)
    assert coarse.prices["SA1"].energy.tolist() == list(range(10))


def test_rows_spaced_as_no_price_of_the_market_are_left_out() -> None:
    reading = of_three(*spaced(60, 24))
    assert not reading.prices
    assert found(reading)["mixed_resolution"] == (24, 24)


def test_another_currency_than_the_market_s_is_refused() -> None:
    data = "\n".join([HEAD, row("10:05"), row("10:10")]).encode()
    refused = read_price_file(data, name="x.csv", currency="EUR").report.failure
    assert refused == "its prices are in AUD, and the currency given is EUR"
    assert read_price_file(data, name="x.csv", currency="AUD").prices


def records(*lines: str, count: int | None = None) -> PriceReading:
    body = ["C,SETP.WORLD,DVD,AEMO,PUBLIC,2021/06/06,16:35:07,1,,1", *lines]
    end = f'C,"END OF REPORT",{len(body) + 1 if count is None else count}'
    return read_price_file("\n".join([*body, end, ""]).encode(), name="x.CSV")


PRICE_I = "I,DISPATCH,PRICE,4,SETTLEMENTDATE,RUNNO,REGIONID,INTERVENTION,RRP"
PRICE_D = "D,DISPATCH,PRICE,4,2024/07/01 10:05:00,1,SA1,0,50"


def test_of_several_tables_the_dispatch_prices_are_read() -> None:
    reading = records(
        "I,TRADING,PRICE,3,SETTLEMENTDATE,REGIONID,RRP",
        "D,TRADING,PRICE,3,2024/07/01 10:05:00,SA1,99",
        PRICE_I,
        PRICE_D,
        "I,DISPATCH,PRICE,5,REGIONID,SETTLEMENTDATE,RRP",
        "D,DISPATCH,PRICE,5,SA1,2024/07/01 10:10:00,60",
        "I,DISPATCH,UNIT_SOLUTION,2,DUID",
        "D,DISPATCH,UNIT_SOLUTION,2,HPR1",
    )
    assert reading.prices["SA1"].energy.tolist() == [50, 60]
    assert found(reading) == {"other_table": (2, 0)}


@pytest.mark.parametrize(("count", "lost"), [(None, None), (5, 1), (104, 100), (3, 1)])
def test_the_last_line_s_count_is_checked(count: int | None, lost: int | None) -> None:
    reading = records(PRICE_I, PRICE_D, count=count)
    assert [f.lost for f in reading.report.of("row_count")] == ([] if lost is None else [lost])
    assert reading.prices["SA1"].energy.tolist() == [50]


def test_records_without_an_end_are_told_to_be_cut() -> None:
    reading = read_price_file(f"C,x\n{PRICE_I}\n{PRICE_D}\n".encode(), name="x.CSV")
    assert found(reading) == {"row_count": (1, 1)}


def test_rows_of_a_table_that_was_not_announced_are_not_read() -> None:
    reading = records(PRICE_I, PRICE_D, PRICE_D.replace(",4,", ",3,").replace("10:05", "10:10"))
    assert found(reading) == {"unreadable_row": (1, 1)}
    assert reading.prices["SA1"].energy.tolist() == [50]


def test_records_without_prices_name_their_tables() -> None:
    reading = records("I,DISPATCH,UNIT_SOLUTION,2,DUID", "D,DISPATCH,UNIT_SOLUTION,2,HPR1")
    assert "DISPATCH,UNIT_SOLUTION" in reading.report.failure


def test_half_hours_without_all_six_prices_are_left_out() -> None:
    start = FIVE_MINUTE_SETTLEMENT_MS - 3 * HALF_HOUR_MS
    starts = start + 300_000 * np.delete(np.arange(24), 2)
    prices = Prices("SA1", "AUD", 300_000, starts, {"energy": np.arange(23.0)})
    means = thirty_minute(prices)
    assert means.start_ms.tolist() == [start + HALF_HOUR_MS, start + 2 * HALF_HOUR_MS]
    assert means.energy.tolist() == [7.5, 13.5]


SEED = (
    "\n".join(["C,x,y", PRICE_I, PRICE_D, PRICE_D.replace("10:05", "10:10"), 'C,"END OF REPORT",5'])
).encode()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(SEED)), st.integers(0, 9), st.binary(max_size=6)), max_size=6
    )
)
def test_mangled_records_never_raise(edits: list[tuple[int, int, bytes]]) -> None:
    data = SEED
    for at, cut, put in edits:
        data = data[:at] + put + data[at + cut :]
    reading = read_price_file(data, name="x")
    assert bool(reading.prices) != bool(reading.report.failure)
    for prices in reading.prices.values():
        assert np.all(np.abs(prices.energy) <= 1e6)
        assert np.all(np.diff(prices.start_ms) > 0)
