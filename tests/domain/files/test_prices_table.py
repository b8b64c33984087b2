"""CSV tables of prices: recorded ones against known answers, local time, and what is wrong."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.paths import SHARED_DATA
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.report import PriceReading
from vpp_streams.errors import InputError

EPF, DERVET = SHARED_DATA / "epf_day_ahead_hourly", SHARED_DATA / "dervet_caiso_2020"
HOUR_MS = 3_600_000


def ms_of(stamp: datetime) -> int:
    return round(stamp.replace(tzinfo=stamp.tzinfo or UTC).timestamp() * 1000)


def read(text: str, **wanted: object) -> PriceReading:
    return read_price_file(text.encode(), name="DE.csv", **wanted)  # type: ignore[arg-type]


def energy(reading: PriceReading) -> list[float]:
    (prices,) = reading.prices.values()
    return prices.energy.tolist()


def starts(reading: PriceReading) -> list[int]:
    (prices,) = reading.prices.values()
    return prices.start_ms.tolist()


def found(reading: PriceReading) -> dict[str, tuple[int, int]]:
    """Count and loss of each kind of finding; but for what is taken as said."""
    findings = [f for f in reading.report.findings if f.kind != "assumed"]
    assert len({f.kind for f in findings}) == len(findings)
    return {f.kind: (f.count, f.lost) for f in findings}


def assumed(reading: PriceReading) -> str:
    return " ".join(f"{f.what} {f.done}" for f in reading.report.of("assumed"))


# Recorded tables


@pytest.mark.skipif(not EPF.exists(), reason=f"no {EPF.name} in ../shared/data")
@pytest.mark.parametrize("name", ["DE", "NP"])
def test_published_forecasts_are_read_beside_the_prices(name: str) -> None:
    with (EPF / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    reading = read_price_file(
        (EPF / f"{name}.csv").read_bytes(),
        name=f"some/where/{name}.csv",
        currency="EUR",
        extra=("LEAR Ensemble", "DNN Ensemble"),
    )
    prices = reading.prices[name]
    assert len(rows) == 17_472
    assert (prices.currency, prices.interval_ms) == ("EUR", HOUR_MS)
    assert prices.energy.tolist() == [float(r["Real price"]) for r in rows]
    assert prices.start_ms.tolist() == [ms_of(datetime.fromisoformat(r["time"])) for r in rows]
    for column in ("LEAR Ensemble", "DNN Ensemble"):
        assert reading.extra[name][column].tolist() == [float(r[column]) for r in rows]
    # 728 days, the first and the last not counted, all of 24 hours: no local time.
    assert found(reading) == {"naive_days": (726, 0)}
    assert "taken as UTC" in assumed(reading)


@pytest.mark.skipif(not EPF.exists(), reason=f"no {EPF.name} in ../shared/data")
def test_days_of_24_hours_are_no_local_days() -> None:
    reading = read_price_file(
        (EPF / "DE.csv").read_bytes(), name="DE.csv", time_zone="Europe/Berlin"
    )
    assert found(reading) == {
        "unknown_column": (2, 0),
        "no_such_hour": (2, 2),
        "ambiguous_hour": (2, 2),
        "dst_day": (4, 0),
        "naive_days": (4, 0),
        "gap": (4, 4),
    }
    assert len(energy(reading)) == 17_472 - 4


@pytest.mark.skipif(not DERVET.exists(), reason=f"no {DERVET.name} in ../shared/data")
def test_prices_per_kwh_at_hours_that_end() -> None:
    file = next(DERVET.glob("*.csv"))
    with file.open() as lines:
        rows = list(csv.reader(lines))[1:]
    reading = read_price_file(file.read_bytes(), name=file.name, zone="CAISO")
    prices = reading.prices["CAISO"]
    first = ms_of(datetime(2020, 1, 1))
    assert prices.start_ms.tolist() == [first + HOUR_MS * hour for hour in range(8784)]
    assert prices.currency == "USD"
    for at, product in enumerate(("energy", "reg_up", "reg_down"), 1):
        told = [1000 * float(row[at]) for row in rows]
        assert prices.per_product[product].tolist() == pytest.approx(told)  # type: ignore[index]
    assert found(reading) == {"converted": (3, 0), "naive_days": (365, 0)}


# Headers


@pytest.mark.parametrize(
    "header",
    [
        "start,price,reg_up,reg_down,reserve",
        "Timestamp,Day-ahead price [EUR/MWh],Reg Up,Reg Down,Spin",
        "start_utc,price_eur_mwh,RegUp,RegDown,contingency",
        "start,end_volume,x\n",
        "datetime,LMP,regulation up price,regulation dn price,spinning reserve",
    ],
)
def test_headers_that_are_known(header: str) -> None:
    reading = read(f"{header}\n2024-01-01T00:00Z,1,2,3,4\n2024-01-01T01:00Z,5,6,7,8\n")
    if "volume" in header:
        assert reading.report.failure
        return
    (prices,) = reading.prices.values()
    assert {k: v.tolist() for k, v in prices.per_product.items()} == {
        "energy": [1, 5],
        "reg_up": [2, 6],
        "reg_down": [3, 7],
        "reserve": [4, 8],
    }
    assert found(reading) == {}


@pytest.mark.parametrize(
    ("column", "factor", "currency"),
    [
        ("price", 1, "XXX"),
        ("price [EUR/MWh]", 1, "EUR"),
        ("price (€/kWh)", 1000, "EUR"),
        ("price_gbp_kwh", 1000, "GBP"),
        ("price $/MW", 1, "USD"),
        ("price (ct/kWh)", 10, "XXX"),
        ("Price/MWh", 1, "XXX"),
        ("price per kWh", 1000, "XXX"),
    ],
)
def test_units_of_a_header(column: str, factor: float, currency: str) -> None:
    reading = read(f"start,{column}\n2024-01-01,2\n2024-01-01T01:00,3\n")
    (prices,) = reading.prices.values()
    assert prices.energy.tolist() == pytest.approx([2 * factor, 3 * factor])
    assert prices.currency == currency
    assert found(reading) == ({"converted": (1, 0)} if factor != 1 else {})
    assert ("names no currency" in assumed(reading)) == (currency == "XXX")


def test_zones_of_a_column_are_read_apart() -> None:
    rows = [
        f"2024-01-01T0{h}:00Z,{zone},{h + at}" for h in range(3) for at, zone in enumerate("AB")
    ]
    text = "\n".join(["start,zone,price", *rows])
    reading = read(text)
    assert {z: p.energy.tolist() for z, p in reading.prices.items()} == {
        "A": [0, 1, 2],
        "B": [1, 2, 3],
    }
    assert found(read(text, zone="B")) == {"other_zone": (3, 0)}
    assert "it has A, B" in read(text, zone="C").report.failure


def test_a_column_is_named_where_several_could_be_it() -> None:
    text = "start,spot price,day-ahead price\n2024-01-01T00:00Z,1,2\n2024-01-01T01:00Z,3,4\n"
    assert "'spot price', 'day-ahead price'" in read(text).report.failure
    asked = read(text, columns={"energy": "Spot Price"})
    assert energy(asked) == [1, 3]
    assert asked.report.of("unknown_column")[0].examples == ("day-ahead price",)
    assert "no column 'x'" in read(text, columns={"energy": "x"}).report.failure
    assert (
        "no column 'x'" in read(text, columns={"energy": "spot price"}, extra=("x",)).report.failure
    )


def test_semicolons_and_decimal_commas() -> None:
    reading = read("Start;Preis price EUR/MWh\n01.02.2024 00:00;12,5\n01.02.2024 01:00;-3,25\n")
    assert energy(reading) == [12.5, -3.25]
    assert starts(reading)[0] == ms_of(datetime(2024, 2, 1))
    assert found(reading) == {"converted": (2, 0)}


# Stamps


@pytest.mark.parametrize(
    "stamps",
    [
        ["2024-02-01 00:00", "2024-02-01 01:00"],
        ["2024-02-01T00:00:00Z", "2024-02-01T01:00:00+00:00"],
        ["2024-02-01T01:00+01:00", "2024-02-01T02:00+01:00"],
        ["2024/02/01 00:00:00", "2024/02/01 1:00:00"],
        ["1706745600", "1706749200"],
        ["1706745600000", "1706749200000"],
    ],
)
def test_stamps_that_are_known(stamps: Sequence[str]) -> None:
    reading = read("start,price\n" + "".join(f"{stamp},1\n" for stamp in stamps))
    assert starts(reading) == [ms_of(datetime(2024, 2, 1, hour)) for hour in (0, 1)]


def test_whether_day_or_month_comes_first_is_told_by_the_file() -> None:
    month_first = read("start,price\n1/12/2024 23:00,1\n1/13/2024 0:00,2\n")
    assert starts(month_first)[0] == ms_of(datetime(2024, 1, 12, 23))
    day_first = read("start,price\n12/1/2024 23:00,1\n13/1/2024 00:00,2\n")
    assert starts(day_first) == starts(month_first)
    unsure = read("start,price\n1/2/2024 0:00,1\n1/2/2024 1:00,2\n")
    assert not unsure.prices
    assert "2024-01-31" in unsure.report.failure


def test_a_day_may_end_at_24_hours() -> None:
    reading = read("hour ending,price\n2024-01-31 23:00,1\n2024-01-31 24:00,2\n")
    assert starts(reading) == [ms_of(datetime(2024, 1, 31, hour)) for hour in (22, 23)]


def test_there_must_be_such_a_time_zone_and_currency() -> None:
    with pytest.raises(InputError, match="Europe/Berlin"):
        read("start,price\n", time_zone="Berlin")
    with pytest.raises(InputError, match="EUR"):
        read("start,price\n", currency="Euro")


# Local time

BERLIN = ZoneInfo("Europe/Berlin")


def local_rows(first: datetime, last: datetime, minutes: int) -> list[tuple[int, str]]:
    """The true UTC starts from one UTC time to another, with their naive local stamps."""
    count = int((last - first) / timedelta(minutes=minutes))
    utc = [first + timedelta(minutes=minutes * at) for at in range(count)]
    return [
        (ms_of(at), at.replace(tzinfo=UTC).astimezone(BERLIN).strftime("%Y-%m-%d %H:%M"))
        for at in utc
    ]


def marked(ms: int) -> int:
    """A price that tells its time."""
    return ms // 60_000 % 10_000


def of_local(rows: Sequence[tuple[int, str]]) -> PriceReading:
    lines = [f"{stamp},{marked(ms)}" for ms, stamp in rows]
    return read("\n".join(["start,price", *lines]), time_zone="Europe/Berlin")


@pytest.mark.parametrize("minutes", [60, 30, 15])
@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("month", [3, 10])
def test_true_local_time_is_read_without_a_gap(
    minutes: int, newest_first: bool, month: int
) -> None:
    rows = local_rows(datetime(2024, month, 25), datetime(2024, month, 31, 23), minutes)
    reading = of_local(rows[::-1] if newest_first else rows)
    assert starts(reading) == [ms for ms, _ in rows]
    assert energy(reading) == [marked(ms) for ms, _ in rows]
    told = found(reading)
    told.pop("unsorted", None)
    # Clocks change on the last Sunday: 2024-03-31 and 2024-10-27.
    twice = {"ambiguous_hour": (2 * 60 // minutes, 0)} if month == 10 else {}
    assert told == {"dst_day": (1, 0), **twice}


def test_an_hour_twice_whose_order_does_not_tell_is_left_out() -> None:
    rows = local_rows(datetime(2024, 10, 26), datetime(2024, 10, 28), 30)
    # 02:00, 02:00, 02:30, 02:30: not in the order of time.
    first = next(at for at, (_, stamp) in enumerate(rows) if stamp.endswith("27 02:00"))
    a, b, c, d = rows[first : first + 4]
    reading = of_local([*rows[:first], a, c, b, d, *rows[first + 4 :]])
    assert set(starts(reading)) == {ms for ms, _ in rows} - {ms for ms, _ in (a, b, c, d)}
    assert found(reading)["ambiguous_hour"] == (4, 4)
    assert found(reading)["gap"] == (4, 4)


def test_a_time_that_never_was_is_left_out() -> None:
    rows = local_rows(datetime(2024, 3, 30), datetime(2024, 4, 1), 60)
    reading = of_local([*rows, (0, "2024-03-31 02:00")])
    assert starts(reading) == [ms for ms, _ in rows]
    assert found(reading)["no_such_hour"] == (1, 1)


def test_stamps_with_their_offset_need_no_order() -> None:
    rows = ["2024-10-27T02:00+01:00,2", "2024-10-27T02:00+02:00,1", "2024-10-27T03:00+01:00,3"]
    reading = read("\n".join(["start,price", *rows]), time_zone="Europe/Berlin")
    assert energy(reading) == [1, 2, 3]
    assert found(reading) == {"unsorted": (1, 0)}


# Resolutions


def utc_rows(first: datetime, minutes: int, count: int) -> list[str]:
    at = (first + timedelta(minutes=minutes * n) for n in range(count))
    return [f"{stamp:%Y-%m-%dT%H:%MZ},{n}" for n, stamp in enumerate(at)]


def test_a_file_that_goes_from_hours_to_quarters() -> None:
    hours = utc_rows(datetime(2025, 9, 29), 60, 48)
    quarters = utc_rows(datetime(2025, 10, 1), 15, 96)
    text = "\n".join(["start,price", *hours, *quarters])
    fine, coarse = read(text), read(text, interval_ms=HOUR_MS)
    assert energy(fine) == list(range(96))
    assert found(fine) == {"mixed_resolution": (48, 48)}
    assert energy(coarse) == list(range(48))
    assert found(coarse) == {"mixed_resolution": (96, 0)}


def test_ends_tell_the_interval_before_them() -> None:
    hours = utc_rows(datetime(2025, 9, 30, 20), 60, 5)
    quarters = utc_rows(datetime(2025, 10, 1, 0, 15), 15, 8)
    text = "\n".join(["interval ending,price", *hours, *quarters])
    assert starts(read(text)) == [ms_of(datetime(2025, 10, 1)) + 900_000 * at for at in range(8)]
    assert starts(read(text, interval_ms=HOUR_MS)) == [
        ms_of(datetime(2025, 9, 30, 19)) + HOUR_MS * at for at in range(5)
    ]


def test_a_resolution_that_is_not_there_is_told() -> None:
    text = "\n".join(["start,price", *utc_rows(datetime(2025, 1, 1), 60, 5)])
    failure = read(text, interval_ms=900_000).report.failure
    assert failure == "it has no prices of 15 min; it has those of 60 min"


def test_a_price_with_another_within_its_hour_is_not_certain() -> None:
    hours = utc_rows(datetime(2025, 1, 1), 60, 5)
    reading = read("\n".join(["start,price", *hours, "2025-01-01T02:30Z,9"]))
    assert energy(reading) == [0, 1, 3, 4]
    assert reading.report.lost >= 1


def test_off_the_grid_is_left_out() -> None:
    hours = utc_rows(datetime(2025, 1, 1), 60, 5)
    off = utc_rows(datetime(2025, 1, 3, 0, 20), 60, 2)
    reading = read("\n".join(["start,price", *hours, *off]))
    assert energy(reading) == [0, 1, 2, 3, 4]
    assert found(reading)["off_grid"] == (2, 2)


def test_one_row_does_not_tell_its_interval() -> None:
    text = "start,price\n2025-01-01T00:00Z,7\n"
    assert found(read(text)) == {"mixed_resolution": (1, 1)}
    assert read(text).report.failure
    assert energy(read(text, interval_ms=HOUR_MS)) == [7]


def test_a_zone_without_a_time_costs_the_others_nothing() -> None:
    rows = "2024-01-01T00:00Z,B,1\n2024-01-01T01:00Z,B,2\nnever,A,3\n"
    reading = read(f"start,zone,price\n{rows}")
    assert energy(reading) == [1, 2]
    assert found(reading) == {"unreadable_row": (1, 1)}


# What is wrong, in any mixture


@st.composite
def dirty(draw: st.DrawFn) -> tuple[str, dict[int, float], dict[str, int]]:
    """A table of hours with dirt in it, the prices that are certain, and what is to be found."""
    first = datetime(2024, 1, 1)
    fates = draw(
        st.lists(
            st.sampled_from(["good"] * 12 + ["gone", "twice", "contradiction", "blank", "text"]),
            min_size=20,
            max_size=60,
        )
    )
    # The ends are good, so that a missing interval is between two others.
    fates = ["good"] * 4 + fates + ["good"] * 4
    lines: list[str] = []
    certain: dict[int, float] = {}
    for hour, fate in enumerate(fates):
        stamp = first + timedelta(hours=hour)
        price = draw(st.integers(-100, 1000))
        line = f"{stamp:%Y-%m-%dT%H:%MZ},{price}"
        lines += {
            "good": [line],
            "gone": [],
            "twice": [line, line],
            "contradiction": [line, line + "1"],
            "blank": [line.partition(",")[0] + ","],
            "text": [line + "x"],
        }[fate]
        if fate in ("good", "twice"):
            certain[ms_of(stamp)] = price
    lines = draw(st.permutations(lines))
    counts = {
        "gap": fates.count("gone"),
        "duplicate": fates.count("twice"),
        "contradiction": fates.count("contradiction"),
        "unreadable_price": fates.count("blank") + fates.count("text"),
    }
    return "\n".join(["start,price", *lines]), certain, counts


@settings(max_examples=150, deadline=None)
@given(dirty())
def test_whatever_is_wrong_is_counted_and_costs_no_other_price(
    made: tuple[str, dict[int, float], dict[str, int]],
) -> None:
    text, certain, counts = made
    reading = read(text)
    assert dict(zip(starts(reading), energy(reading), strict=True)) == certain
    told = found(reading)
    told.pop("unsorted", None)
    assert {kind: count for kind, (count, _) in told.items()} == {
        k: n for k, n in counts.items() if n
    }


SEED = b"start,zone,price,reserve\n" + b"".join(
    f"2024-03-3{day} 0{hour}:00,A,{hour},1\n".encode() for day in (0, 1) for hour in range(5)
)
PIECES = [b",", b"\n", b'"', b";", b"\r", b"\x00", b"/", b"nan", b"1e400", b"\xff", b"24:00", b"-"]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(SEED)),
            st.integers(0, 12),
            st.sampled_from(PIECES) | st.binary(max_size=5),
        ),
        max_size=6,
    ),
    st.sampled_from([None, "Europe/Berlin", "Australia/Lord_Howe"]),
)
def test_mangled_tables_never_raise(
    edits: list[tuple[int, int, bytes]], time_zone: str | None
) -> None:
    data = SEED
    for at, cut, put in edits:
        data = data[:at] + put + data[at + cut :]
    reading = read_price_file(data, name="x", time_zone=time_zone)
    assert bool(reading.prices) != bool(reading.report.failure)
    for prices in reading.prices.values():
        assert np.all(np.abs(prices.energy) <= 1e6)
        assert np.all(np.diff(prices.start_ms) > 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_told_to_be_no_prices(data: bytes) -> None:
    assert not read_price_file(data, name="x").prices
