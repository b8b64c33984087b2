"""Price tables with anything wrong in them: it is counted, and costs no other price."""

from datetime import datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.price_tables import energy, found, ms_of, read, starts
from vpp_streams.domain.files.price_files.read import read_price_file


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
HOURS = b"date;hour;price (ct/kWh);unit\n;;EUR;\n" + b"".join(
    f"31.03.2024;{hour};1.{hour:03};EUR\n".encode() for hour in range(1, 25)
)
EXPORT = b"SETTLEMENTDATE,REGIONID,RRP\n" + b"".join(
    f"2020/12/01 00:{5 * at:02}:00,SA1,{at}\n".encode() for at in range(1, 9)
)
PIECES = [b",", b"\n", b'"', b";", b"\r", b"\x00", b"/", b"nan", b"1e400", b"\xff", b"24:00", b"-"]
PIECES += [
    b"/kWh",
    b"(",
    b")]",
    "\u2212\u20ac\u00b9".encode(),
    b"1.236",
    b"1,5",
    b"25",
    b"hour",
    b"per",
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([SEED, HOURS, EXPORT]),
    st.lists(
        st.tuples(
            st.integers(0, len(HOURS)),
            st.integers(0, 12),
            st.sampled_from(PIECES) | st.binary(max_size=5),
        ),
        max_size=6,
    ),
    st.sampled_from([None, "Europe/Berlin", "Australia/Lord_Howe"]),
)
def test_mangled_tables_never_raise(
    data: bytes, edits: list[tuple[int, int, bytes]], time_zone: str | None
) -> None:
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
