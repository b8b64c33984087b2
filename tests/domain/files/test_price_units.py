"""Units of price in every spelling: converted to what they are, or refused; never passed."""

from collections.abc import Sequence

import pytest

from tests.support.paths import SHARED_DATA
from tests.support.price_tables import assumed, found, read
from vpp_streams.domain.files.price_files.read import read_price_file
from vpp_streams.domain.files.price_files.units import Unit, read_unit
from vpp_streams.errors import InputError

REPORTED = SHARED_DATA / "public_reports" / "prices" / "units"
reported = pytest.mark.skipif(not REPORTED.exists(), reason="no public_reports in ../shared/data")

UNDERSTOOD = [
    ("price (EUR/MWh)", 1, "EUR"),
    ("price [€/MWh]", 1, "EUR"),
    ("price €/MWh", 1, "EUR"),
    ("price {£/MWh}", 1, "GBP"),
    ("price ($/MWh)", 1, "USD"),
    ("price (US$/MWh)", 1, "USD"),
    ("price (A$/MWh)", 1, "AUD"),
    ("price AUD/MWh", 1, "AUD"),
    ("price_eur_mwh", 1, "EUR"),
    ("price-usd-mwh", 1, "USD"),
    ("price_eur_per_mwh", 1, "EUR"),
    ("price (EUR / MWh)", 1, "EUR"),
    ("price (Euro pro MWh)", 1, "EUR"),
    ("price EUR per megawatt hour", 1, "EUR"),
    ("price EUR per megawatt-hour", 1, "EUR"),
    ("price (EUR/MW h)", 1, "EUR"),
    ("Day-ahead price [EUR/MWh] (DE-LU)", 1, "EUR"),
    ("DE/LU price [EUR/MWh]", 1, "EUR"),
    ("price (EUR/kWh)", 1000, "EUR"),
    ("price ($/kWh)", 1000, "USD"),
    ("price (GBP/KWH)", 1000, "GBP"),
    ("price pounds per kilowatt hour", 1000, "GBP"),
    ("price (EUR/GWh)", 0.001, "EUR"),
    ("price (EUR/Wh)", 1e6, "EUR"),
    ("price (p/kWh)", 10, "GBP"),
    ("price p/kWh", 10, "GBP"),
    ("price p per kWh", 10, "GBP"),
    ("price_p_kwh", 10, "GBP"),
    ("price pence per kWh", 10, "GBP"),
    ("price pence per kilowatt-hour", 10, "GBP"),
    ("price in pence (per kWh)", 10, "GBP"),
    ("Price (GBp/kWh)", 10, "GBP"),
    ("price (GBX/kWh)", 10, "GBP"),
    ("price (c€/kWh)", 10, "EUR"),
    ("price c€/kWh", 10, "EUR"),
    ("price (€ct/kWh)", 10, "EUR"),
    ("price (EURct/kWh)", 10, "EUR"),
    ("price (EUR ct/kWh)", 10, "EUR"),
    ("price (ct EUR/kWh)", 10, "EUR"),
    ("price eurocents/kWh", 10, "EUR"),
    ("price (Euro Cent/kWh)", 10, "EUR"),
    ("price (US cents/kWh)", 10, "USD"),
    ("price (US¢/kWh)", 10, "USD"),
    ("price (AUc/kWh)", 10, "AUD"),
    ("price_usd_cents_per_kwh", 10, "USD"),
    ("price_per_kwh_eurocents", 10, "EUR"),
    ("price (öre/kWh)", 10, "SEK"),
    ("price (USD mills/kWh)", 1, "USD"),
    ("price (GBP pence/MWh)", 0.01, "GBP"),
]
NEEDS_CURRENCY = [
    ("price (c/kWh)", 10, "AUD"),
    ("price (ct/kWh)", 10, "EUR"),
    ("Price (Cent/kWh)", 10, "EUR"),
    ("price (cents/kWh)", 10, "USD"),
    ("price_per_kwh_cents", 10, "USD"),
    ("price (¢/kWh)", 10, "CAD"),
    ("price (øre/kWh)", 10, "DKK"),
    ("pris price øre pr. kWh", 10, "NOK"),
    ("price (ore/kWh)", 10, "SEK"),
    ("price (mills/kWh)", 1, "USD"),
    ("price (kr/MWh)", 1, "SEK"),
]
REFUSED = [
    "price (foo/kWh)",
    "price foo/kWh",
    "price_foo_mwh",
    "price (foo)",
    "price (EUR/foo)",
    "price EUR/foo",
    "price_eur_gj",
    "price (EUR/GJ)",
    "price (EUR/100 kWh)",
    "price (EUR/MWh/h)",
    "price (1000 EUR/MWh)",
    "price (k€/MWh)",
    "price kEUR/MWh",
    "price_keur",
    "price (m€/kWh)",
    "price (₵/kWh)",
    "price (%)",
    "price % EUR/MWh",
    "price (EUR/MWh)*100",
    "price thousand EUR/MWh",
    "price x1000 (EUR/MWh)",
    "price EUR/1000 kWh",
    "price (EUR/mWh)",
    "price (Gbp/kWh)",
    "price (MWh/EUR)",
    "price (EUR/MW)",
    "price $/MW",
    "price (EUR/h)",
    "price per unit",
    "price (ct)",
    "price (p)",
    "price_c",
    "price cents",
    "price ctkWh",
    "price (pkWh)",
    "price (EUR/MWh, EUR/tCO2)",
    "price EUR/MWh (USD)",
    "price USD pence/kWh",
    "price (EUR/MWh) or ct/kWh",
]


def of(column: str, **wanted: object) -> tuple[list[float], str, str]:
    """Prices of 0.2 and 0.3 in a column, their currency, and why there are none."""
    reading = read(f'start,"{column}"\n2024-01-01T00:00Z,0.2\n2024-01-01T01:00Z,0.3\n', **wanted)
    for prices in reading.prices.values():
        return prices.energy.tolist(), prices.currency, ""
    return [], "", reading.report.failure


@pytest.mark.parametrize(("column", "factor", "currency"), UNDERSTOOD)
def test_a_unit_that_is_understood_is_converted(column: str, factor: float, currency: str) -> None:
    prices, named, failure = of(column)
    assert (failure, named) == ("", currency)
    assert prices == pytest.approx([0.2 * factor, 0.3 * factor])


@pytest.mark.parametrize(("column", "factor", "currency"), NEEDS_CURRENCY)
def test_a_unit_of_several_currencies_needs_one(column: str, factor: float, currency: str) -> None:
    assert "give --currency" in of(column)[2]
    prices, named, _ = of(column, currency=currency)
    assert named == currency
    assert prices == pytest.approx([0.2 * factor, 0.3 * factor])


@pytest.mark.parametrize("column", REFUSED)
def test_a_unit_that_is_not_wholly_understood_is_refused(column: str) -> None:
    prices, _, failure = of(column)
    assert prices == []
    assert "is not certain" in failure
    assert "--unit EUR/MWh" in failure
    assert "\n" not in failure


@pytest.mark.parametrize(
    ("column", "currency"), [("price (p/kWh)", "EUR"), ("price (€/MWh)", "USD"), ("price $", "EUR")]
)
def test_a_currency_that_contradicts_the_unit_is_refused(column: str, currency: str) -> None:
    assert "currency given" in of(column, currency=currency)[2]


def test_a_dollar_is_that_of_the_currency_given() -> None:
    assert of("price ($/MWh)", currency="AUD")[:2] == ([0.2, 0.3], "AUD")


@pytest.mark.parametrize("column", ["price", "Zone C price", "Real price", "price 2024", "LMP"])
def test_a_header_without_a_unit_is_taken_per_mwh_and_said(column: str) -> None:
    assert of(column)[:2] == ([0.2, 0.3], "XXX")
    text = f"start,{column}\n2024-01-01T00:00Z,2\n2024-01-01T01:00Z,3\n"
    assert "taken per MWh" in assumed(read(text))


def test_a_conversion_is_said() -> None:
    reading = read("start,price (p/kWh)\n2024-01-01T00:00Z,2\n2024-01-01T01:00Z,3\n")
    (finding,) = reading.report.of("converted")
    assert (finding.done, finding.examples) == ("multiplied by 10", ("price (p/kWh): p kWh",))


# The unit by an option


def test_the_unit_can_be_given() -> None:
    assert of("price", unit="p/kWh")[:2] == (pytest.approx([2, 3]), "GBP")
    assert of("price (foo/kWh)", unit="EUR/kWh")[:2] == (pytest.approx([200, 300]), "EUR")
    assert of("price (ct/kWh)", unit="EUR ct/kWh")[:2] == (pytest.approx([2, 3]), "EUR")
    assert of("price", unit="ct/kWh", currency="EUR")[:2] == (pytest.approx([2, 3]), "EUR")
    assert "several units" in of("price (p/kWh)", unit="GBP/MWh")[2]
    assert "several currencies" in of("price (EUR/MWh)", unit="USD/MWh")[2]


@pytest.mark.parametrize("unit", ["EUR", "foo/kWh", "", "MW", "EUR/MW", "ct"])
def test_a_unit_that_is_given_must_be_one(unit: str) -> None:
    with pytest.raises(InputError, match="is no unit of price"):
        of("price", unit=unit)


# The unit in a row or a column


def rows(*texts: str) -> str:
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("lines", "first", "currency"),
    [
        (("start,price", ",EUR/MWh", "T00:00Z,2", "T01:00Z,3"), 2, "EUR"),
        (("start,price", "[UTC],[p/kWh]", "T00:00Z,2", "T01:00Z,3"), 20, "GBP"),
        (("start,price,unit", "T00:00Z,2,c€/kWh", "T01:00Z,3,c€/kWh"), 20, "EUR"),
        (("start,price,currency", "T00:00Z,2,SEK", "T01:00Z,3,SEK"), 2, "SEK"),
        (("start,Price[Currency/MWh],Currency", "T00:00Z,2,PLN", "T01:00Z,3,PLN"), 2, "PLN"),
        (("start,price (ct/kWh),currency", "T00:00Z,2,EUR", "T01:00Z,3,EUR"), 20, "EUR"),
    ],
)
def test_a_row_or_column_of_units_is_read(
    lines: Sequence[str], first: float, currency: str
) -> None:
    text = rows(*(f"2024-01-01{line}" if line.startswith("T") else line for line in lines))
    (prices,) = read(text).prices.values()
    assert prices.energy.tolist() == pytest.approx([first, 1.5 * first])
    assert prices.currency == currency
    assert "unreadable_row" not in found(read(text))


@pytest.mark.parametrize(
    "lines",
    [
        ("start,price", ",foo/kWh", "T00:00Z,2", "T01:00Z,3"),
        ("start,price", ",Rp/unit", "T00:00Z,2", "T01:00Z,3"),
        ("start,price (EUR/MWh)", ",ct/kWh", "T00:00Z,2", "T01:00Z,3"),
        ("start,price,unit", "T00:00Z,2,EUR/MWh", "T01:00Z,3,EUR/kWh"),
        ("start,price,unit", "T00:00Z,2,foo", "T01:00Z,3,foo"),
        ("start,price (EUR/MWh),currency", "T00:00Z,2,SEK", "T01:00Z,3,SEK"),
    ],
)
def test_rows_and_columns_of_units_that_do_not_fit_are_refused(lines: Sequence[str]) -> None:
    text = rows(*(f"2024-01-01{line}" if line.startswith("T") else line for line in lines))
    assert not read(text).prices
    assert "unit" in read(text).report.failure


def test_currencies_of_zones_are_read_one_zone_at_a_time() -> None:
    text = rows(
        "start,zone,price,currency",
        *(
            f"2024-01-01T0{h}:00Z,{z},{h},{c}"
            for h in (0, 1)
            for z, c in (("A", "EUR"), ("B", "SEK"))
        ),
    )
    assert "--zone" in read(text).report.failure
    assert read(text, zone="B").prices["B"].currency == "SEK"


# Capacity


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("$/MW", 1), ("$/kW", 1000), ("$/MW/h", 1), ("$/MW per hour", 1), ("$/MWh", 1)],
)
def test_a_price_of_capacity_is_per_power_and_hour(unit: str, factor: float) -> None:
    text = f"start,price ($/MWh),Reg Up ({unit})\n2024-01-01T00:00Z,1,2\n2024-01-01T01:00Z,1,3\n"
    (prices,) = read(text).prices.values()
    assert prices.per_product["reg_up"].tolist() == [2 * factor, 3 * factor]


@pytest.mark.parametrize("unit", ["$/MW/day", "$/MW/month", "EUR/MW", "$/foo"])
def test_a_price_of_capacity_per_another_time_or_currency_is_refused(unit: str) -> None:
    text = f"start,price ($/MWh),Reg Up ({unit})\n2024-01-01T00:00Z,1,2\n2024-01-01T01:00Z,1,3\n"
    assert read(text).report.failure


# Files that were reported


@reported
@pytest.mark.parametrize("name", ["u1", "u6", "u7", "u13", "u28"])
def test_reported_sub_units_are_converted(name: str) -> None:
    (prices,) = read_price_file((REPORTED / f"{name}.csv").read_bytes(), name=name).prices.values()
    assert prices.energy.mean() == pytest.approx(211.5)
    assert prices.currency in ("GBP", "EUR")


@reported
@pytest.mark.parametrize("name", ["u2", "u3", "u4", "u24"])
def test_reported_cents_are_refused_until_their_currency_is_given(name: str) -> None:
    data = (REPORTED / f"{name}.csv").read_bytes()
    assert "give --currency" in read_price_file(data, name=name).report.failure
    (prices,) = read_price_file(data, name=name, currency="EUR").prices.values()
    assert prices.energy.mean() == pytest.approx(211.5)


@reported
def test_one_tariff_in_three_units_has_the_same_prices() -> None:
    means = []
    for name in ("agile_pence", "agile_gbp", "agile_mwh"):
        (prices,) = read_price_file(
            (REPORTED / f"{name}.csv").read_bytes(), name=name
        ).prices.values()
        assert prices.currency == "GBP"
        means.append(prices.energy.mean())
    assert means == pytest.approx([194.405] * 3, abs=0.01)


def test_a_unit_is_a_value() -> None:
    assert read_unit("price (ct/kWh)") == Unit(
        "ct kWh",
        10.0,
        "energy",
        frozenset({"EUR", "ZAR", "USD", "AUD", "CAD", "NZD", "SGD", "HKD"}),
        True,
    )
    assert read_unit("day-ahead price") is None
