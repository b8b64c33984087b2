"""ENTSO-E's day-ahead documents: a recorded one value by value, and what they may hold."""

import re
import tracemalloc
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.paths import SHARED_DATA
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.report import NO_MARKET_ZONE, PriceReading

DATA = SHARED_DATA / "entsoe_xml"
INTRADAY = SHARED_DATA / "public_reports" / "prices" / "entsoe" / "only_intraday.xml"
recorded = pytest.mark.skipif(not DATA.exists(), reason=f"no {DATA.name} in ../shared/data")
ZONE = "10Y1001A1001A82H"
QUARTER_MS = 900_000


def ms_of(stamp: str) -> int:
    at = datetime.strptime(stamp, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


@recorded
def test_every_price_of_the_recorded_document_is_read() -> None:
    data = (DATA / "openems_entsoe-response.xml").read_bytes()
    expected: dict[int, float] = {}
    for series in re.findall(r"<TimeSeries>.*?</TimeSeries>", data.decode(), re.S):
        if "position>1</classificationSequence" not in series:
            continue
        start, _ = re.findall(r"<(?:start|end)>(.*?)</", series)
        points = re.findall(
            r"<position>(\d+)</position>\s*<price.amount>(.*?)</price.amount>", series
        )
        for position, price in points:
            expected[ms_of(start) + (int(position) - 1) * QUARTER_MS] = float(price)
    assert len(expected) == 2 * 96
    reading = read_price_file(data, name="x.xml")
    (prices,) = reading.prices.values()
    assert (prices.zone, prices.currency, prices.interval_ms) == (ZONE, "EUR", QUARTER_MS)
    assert dict(zip(prices.start_ms.tolist(), prices.energy.tolist(), strict=True)) == expected
    # The other auction of the same two days is told of, and nothing else is wrong.
    assert found(reading) == {"overlap": (192, 0)}
    assert [f.what for f in reading.report.of("assumed")] == [NO_MARKET_ZONE[0]]


# Documents made here


def series(
    points: Mapping[int, object] | Sequence[object],
    start: str = "2026-02-01T23:00Z",
    end: str = "2026-02-02T23:00Z",
    resolution: str = "PT60M",
    *,
    curve: str = "A01",
    zone: str = ZONE,
    unit: str = "MWH",
    currency: str = "EUR",
    position: int | None = None,
    more: str = "",
) -> str:
    """A TimeSeries with a period; points by position, or all from 1 on."""
    at = points if isinstance(points, Mapping) else dict(enumerate(points, 1))
    name = "classificationSequence_AttributeInstanceComponent.position"
    rank = "" if position is None else f"<{name}>{position}</{name}>"
    told = "".join(
        f"<Point><position>{p}</position><price.amount>{price}</price.amount></Point>"
        for p, price in at.items()
    )
    return f"""<TimeSeries><mRID>1</mRID>{more}
        <in_Domain.mRID codingScheme="A01">{zone}</in_Domain.mRID>
        <out_Domain.mRID codingScheme="A01">{zone}</out_Domain.mRID>
        <currency_Unit.name>{currency}</currency_Unit.name>
        <price_Measure_Unit.name>{unit}</price_Measure_Unit.name>{rank}
        <curveType>{curve}</curveType>
        <Period><timeInterval><start>{start}</start><end>{end}</end></timeInterval>
        <resolution>{resolution}</resolution>{told}</Period></TimeSeries>"""


NAMESPACE = "urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3"


def document(*all_series: str, namespace: str = NAMESPACE, kind: str = "A44") -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Publication_MarketDocument'
        f' xmlns="{namespace}"><mRID>1</mRID><type>{kind}</type>{"".join(all_series)}'
        "</Publication_MarketDocument>"
    ).encode()


def read(*all_series: str, interval_ms: int | None = None) -> PriceReading:
    return read_price_file(document(*all_series), name="x.xml", interval_ms=interval_ms)


def energy(reading: PriceReading) -> list[float]:
    (prices,) = reading.prices.values()
    return prices.energy.tolist()


def found(reading: PriceReading) -> dict[str, tuple[int, int]]:
    findings = [f for f in reading.report.findings if f.kind != "assumed"]
    assert len({f.kind for f in findings}) == len(findings)
    return {f.kind: (f.count, f.lost) for f in findings}


DAY = list(range(24))


@pytest.mark.parametrize(
    "namespace", [NAMESPACE, NAMESPACE.replace("7:3", "7:0"), "urn:something:else"]
)
def test_a_document_of_any_namespace_is_read(namespace: str) -> None:
    reading = read_price_file(document(series(DAY), namespace=namespace), name="x")
    assert energy(reading) == DAY
    assert found(reading) == {}


def test_in_curve_a03_a_price_holds_until_the_next_point() -> None:
    reading = read(series({1: 10, 4: 20, 24: 30}, curve="A03"))
    assert energy(reading) == [10] * 3 + [20] * 20 + [30]
    assert found(reading) == {"held_price": (21, 0)}


def test_in_curve_a01_a_point_that_is_not_there_is_a_gap() -> None:
    reading = read(series({p: p for p in range(2, 25) if p != 7}))
    (prices,) = reading.prices.values()
    assert prices.energy.tolist() == [p for p in range(2, 25) if p != 7]
    assert prices.start_ms[0] == ms_of("2026-02-02T00:00Z")
    assert found(reading) == {"gap": (2, 2)}


def test_before_its_first_point_curve_a03_tells_nothing() -> None:
    reading = read(series({3: 10}, curve="A03"))
    assert energy(reading) == [10] * 22
    assert found(reading) == {"gap": (2, 2), "held_price": (21, 0)}


@pytest.mark.parametrize("stray", ["25", "0", "x", "-1", "1.5", "9" * 5000])
def test_a_price_is_not_held_over_a_point_that_cannot_be_placed(stray: str) -> None:
    points = series({1: 10, 4: 20}, curve="A03").replace("<position>4<", f"<position>{stray}<")
    reading = read(points)
    assert energy(reading) == [10]
    assert found(reading)["unreadable_row"] == (1, 1)
    assert found(reading)["gap"] == (23, 23)


def test_a_price_is_not_held_after_a_point_without_a_price() -> None:
    reading = read(series({1: 10, 4: "?", 6: 20}, curve="A03"))
    assert energy(reading) == [10] * 3 + [20] * 19
    assert found(reading)["unreadable_price"] == (1, 1)


def test_points_that_contradict_each_other_are_both_left_out() -> None:
    point = "<Point><position>2</position><price.amount>{}</price.amount></Point></Period>"
    twice = series(DAY).replace("</Period>", point.format(99))
    assert found(read(twice)) == {"contradiction": (1, 1)}
    assert energy(read(twice)) == [0, *range(2, 24)]
    repeated = series(DAY).replace("</Period>", point.format(1))
    assert energy(read(repeated)) == DAY


def test_the_first_position_of_the_classification_wins() -> None:
    other = [price + 100 for price in DAY]
    reading = read(series(other, position=2), series(DAY, position=1))
    assert energy(reading) == DAY
    assert found(reading) == {"overlap": (24, 0)}
    assert "position 1" in reading.report.of("overlap")[0].what


def test_another_auction_does_not_fill_the_gaps_of_the_first() -> None:
    later = {"start": "2026-02-02T23:00Z", "end": "2026-02-03T23:00Z"}
    reading = read(series(DAY, position=1), series(DAY, position=2, **later))
    assert energy(reading) == DAY
    assert found(reading) == {"overlap": (24, 24)}


CONTRACT = "<contract_MarketAgreement.type>{}</contract_MarketAgreement.type>"


@pytest.mark.parametrize(
    ("contract", "spoken"), [("A07", "intraday"), ("A02", "weekly"), ("Z99", "not known here")]
)
def test_prices_of_another_contract_are_not_day_ahead(contract: str, spoken: str) -> None:
    other = series([1] * 24, more=CONTRACT.format(contract))
    both = read(other, series(DAY, more=CONTRACT.format("A01")))
    assert energy(both) == DAY
    assert found(both) == {"other_contract": (24, 0)}
    only = read(other)
    assert not only.prices
    assert f"no day-ahead prices (contract A01); its contracts: {contract}" in only.report.failure
    assert spoken in only.report.failure
    assert found(only) == {"other_contract": (24, 0)}


def test_a_series_without_a_contract_is_said_to_be_taken_as_day_ahead() -> None:
    def said(reading: PriceReading) -> list[str]:
        return [finding.done for finding in reading.report.of("assumed")]

    assert "taken as day-ahead" in said(read(series(DAY)))
    assert "taken as day-ahead" not in said(read(series(DAY, more=CONTRACT.format("A01"))))


@pytest.mark.skipif(not INTRADAY.exists(), reason=f"no {INTRADAY.name} in ../shared/data")
def test_a_document_of_intraday_prices_is_refused() -> None:
    reading = read_price_file(INTRADAY.read_bytes(), name=INTRADAY.name)
    assert not reading.prices
    assert "A07 (intraday)" in reading.report.failure


def test_a_currency_that_contradicts_the_document_is_refused() -> None:
    failure = read_price_file(document(series(DAY)), name="x", currency="USD").report.failure
    assert failure == "its prices are in EUR, and the currency given is USD"
    assert read_price_file(document(series(DAY)), name="x", currency="EUR").prices


def test_a_series_that_is_there_twice_is_read_once() -> None:
    reading = read(series(DAY), series(DAY))
    assert energy(reading) == DAY
    assert found(reading) == {"duplicate": (24, 0)}


def test_series_that_contradict_each_other_are_left_out_where_they_do() -> None:
    reading = read(series(DAY), series([*range(23), 99]))
    assert energy(reading) == list(range(23))
    assert found(reading) == {"duplicate": (23, 0), "contradiction": (1, 1)}


def test_periods_may_complete_each_other() -> None:
    reading = read(series({p: p for p in range(1, 13)}), series({p: p for p in range(12, 25)}))
    assert energy(reading) == list(range(1, 25))
    assert found(reading) == {"duplicate": (1, 0)}


def test_a_later_revision_replaces_what_it_tells() -> None:
    first = series(DAY, more="<revisionNumber>1</revisionNumber>")
    second = series({1: 70, 2: 80}, more="<revisionNumber>2</revisionNumber>")
    reading = read(second, first)
    assert energy(reading)[:2] == [70, 80]
    assert energy(reading)[2:] == DAY[2:]
    assert found(reading)["revision"] == (2, 0)


def test_of_60_and_15_minutes_either_can_be_read() -> None:
    quarters = list(range(96))
    both = series(DAY), series(quarters, resolution="PT15M")
    fine = read(*both)
    assert energy(fine) == quarters
    assert found(fine) == {"mixed_resolution": (24, 24)}
    coarse = read(*both, interval_ms=3_600_000)
    assert energy(coarse) == DAY
    assert found(coarse) == {"mixed_resolution": (96, 0)}


def test_a_resolution_of_the_other_auction_is_read_only_when_asked_for() -> None:
    both = series(DAY, position=1), series(range(96), resolution="PT15M", position=2)
    assert energy(read(*both)) == DAY
    assert found(read(*both)) == {"overlap": (96, 0)}
    assert energy(read(*both, interval_ms=QUARTER_MS)) == list(range(96))


@pytest.mark.parametrize(
    ("start", "end", "quarters", "hours"),
    [
        ("2026-03-28T23:00Z", "2026-03-29T22:00Z", 92, 23),
        ("2026-10-24T22:00Z", "2026-10-25T23:00Z", 100, 25),
    ],
)
def test_days_on_which_clocks_change_have_all_their_quarters(
    start: str, end: str, quarters: int, hours: int
) -> None:
    reading = read(series(range(quarters), start, end, "PT15M"))
    (prices,) = reading.prices.values()
    assert prices.energy.tolist() == list(range(quarters))
    assert prices.start_ms[-1] == ms_of(end) - QUARTER_MS
    assert reading.report.of("dst_day")[0].examples == (f"{ZONE} {end[:10]} ({hours} h)",)
    # 96 points do not fit a day of 23 hours.
    if hours == 23:
        too_many = read(series(range(96), start, end, "PT15M"))
        assert found(too_many)["unreadable_row"] == (4, 4)
        assert energy(too_many) == list(range(92))


def test_zones_are_read_apart() -> None:
    data = document(series(DAY), series([7] * 24, zone="10YNO-1--------2"))
    reading = read_price_file(data, name="x")
    assert reading.report.zones == (ZONE, "10YNO-1--------2")
    only = read_price_file(data, name="x", zone="10YNO-1--------2")
    assert energy(only) == [7] * 24
    assert found(only) == {"other_zone": (24, 0)}


@pytest.mark.parametrize(
    ("unit", "price"), [("KWH", 0.05), ("MWH", 50), ("GWH", 50_000), ("WH", 0.00005)]
)
def test_every_unit_of_energy_is_made_per_mwh(unit: str, price: float) -> None:
    assert energy(read(series([price] * 24, unit=unit))) == pytest.approx([50] * 24)


@pytest.mark.parametrize(
    "wrong",
    [
        series(DAY, unit="MAW"),
        series(DAY, curve="A02"),
        series(DAY, currency="euro"),
        series(DAY, currency="GBX"),
        series(DAY, zone=""),
        series(DAY).replace('<out_Domain.mRID codingScheme="A01">', "<out_Domain.mRID>X"),
    ],
)
def test_series_that_are_not_understood_are_left_out(wrong: str) -> None:
    later = series(DAY, "2026-02-02T23:00Z", "2026-02-03T23:00Z")
    reading = read(wrong, later)
    assert energy(reading) == DAY
    assert found(reading) == {"other_series": (24, 24)}
    assert read(wrong).report.failure


@pytest.mark.parametrize(
    "span",
    [
        ("2026-02-01T23:00", "2026-02-02T23:00Z", "PT60M"),
        ("2026-02-02T23:00Z", "2026-02-01T23:00Z", "PT60M"),
        ("2026-02-01T23:00Z", "2026-02-02T23:10Z", "PT60M"),
        ("2026-02-01T23:00Z", "9999-02-02T23:00Z", "PT1M"),
        ("2026-02-01T23:00Z", "2026-02-02T23:00Z", "P1Y"),
        ("now", "then", "PT60M"),
    ],
)
def test_periods_that_are_not_understood_are_left_out(span: tuple[str, str, str]) -> None:
    reading = read(series(DAY, *span))
    assert found(reading) == {"unreadable_row": (24, 24)}
    assert reading.report.failure


def test_the_floor_and_the_cap_of_the_auction_are_told() -> None:
    may = {"start": "2022-05-09T22:00Z", "end": "2022-05-10T22:00Z"}
    old = read(series([3000, -500, *range(22)], **may))  # type: ignore[arg-type]
    assert found(old) == {"at_cap": (1, 0), "at_floor": (1, 0)}
    assert found(read(series([3000, 4000, *range(22)]))) == {"at_cap": (1, 0)}


def test_an_acknowledgement_is_told_with_its_reason() -> None:
    data = b"""<?xml version="1.0"?><Acknowledgement_MarketDocument xmlns="urn:x:ack:8:1">
        <Reason><code>999</code><text>No matching data found for Data item</text></Reason>
        </Acknowledgement_MarketDocument>"""
    failure = read_price_file(data, name="x").report.failure
    assert "No matching data found for Data item (code 999)" in failure


def test_other_documents_are_named() -> None:
    assert "'A65'" in read_price_file(document(kind="A65"), name="x").report.failure
    assert "'html'" in read_price_file(b"<html></html>", name="x").report.failure


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(encoding: str) -> None:
    text = document(series(DAY)).decode().partition("?>\n")[2]
    bomb = f'<!DOCTYPE x [<!ENTITY a "1"><!ENTITY b "&a;&a;">]>{text}'
    reading = read_price_file(bomb.encode(encoding), name="x")
    assert not reading.prices
    assert "DOCTYPE" in reading.report.failure


def test_a_document_that_is_cut_is_no_document() -> None:
    data = document(series(DAY))
    assert "no XML" in read_price_file(data[: len(data) // 2], name="x").report.failure


@given(
    points=st.dictionaries(st.integers(1, 48), st.integers(-500, 4000), min_size=1),
    curve=st.sampled_from(["A01", "A03"]),
)
def test_what_a_curve_means(points: dict[int, int], curve: str) -> None:
    start = "2026-02-01T23:00Z"
    reading = read(series(points, start, "2026-02-02T23:00Z", "PT30M", curve=curve))
    expected = {}
    for position in range(1, 49):
        before = [p for p in points if p <= position]
        if position in points or (before and curve == "A03"):
            at = datetime(2026, 2, 1, 23, tzinfo=UTC) + timedelta(minutes=30 * (position - 1))
            expected[round(at.timestamp() * 1000)] = points[max(before)]
    (prices,) = reading.prices.values()
    assert dict(zip(prices.start_ms.tolist(), prices.energy.tolist(), strict=True)) == expected
    assert reading.report.lost == 48 - len(expected)


SEED = document(series({1: 5, 3: 7}, curve="A03", position=1), series(DAY[:4], position=2))
PIECES = [b"<", b">", b"&", b"PT15M", b"A44", b"9" * 30, b"\xff", b"]]>", b"<!--", b"nan", b"-"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(SEED)),
            st.integers(0, 9),
            st.sampled_from(PIECES) | st.binary(max_size=4),
        ),
        max_size=4,
    )
)
def test_mangled_documents_never_raise(edits: list[tuple[int, int, bytes]]) -> None:
    data = SEED
    for at, cut, put in edits:
        data = data[:at] + put + data[at + cut :]
    reading = read_price_file(data, name="x")
    assert bool(reading.prices) != bool(reading.report.failure)
    for prices in reading.prices.values():
        assert np.all(np.abs(prices.energy) <= 1e6)
        assert np.all(np.diff(prices.start_ms) > 0)


def test_a_billion_laughs_are_refused_before_the_first() -> None:
    """Nine entities of ten of the one before: a gigabyte, were they expanded."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE lolz [{entities}]><lolz>&l9;</lolz>'
    tracemalloc.start()
    try:
        reading = read_price_file(bomb.encode(), name="x.xml")
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "DOCTYPE" in reading.report.failure
    assert most_bytes < 5_000_000


def test_elements_in_elements_without_end_are_no_crash() -> None:
    deep = b"<a>" * 200_000 + b"</a>" * 200_000
    assert read_price_file(deep, name="x.xml").report.failure
