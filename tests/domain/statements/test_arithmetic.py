"""Formulas: whoever multiplies the printed numbers finds the printed result."""

import math
import re
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.settlement import EntryKind
from vpp_streams.domain.statements.arithmetic import Paid, amount, formula, kwh, money, percent


def paid(kind: EntryKind = "share", **changes: object) -> Paid:
    fields: dict[str, object] = {
        "kind": kind,
        "delivered_wh": 417.0,
        "price_per_mwh": 123.4,
        "share": 0.8,
        "micros": 41_166,
        "currency": "EUR",
    }
    return Paid(**(fields | changes))  # type: ignore[arg-type]  # named fields


def test_a_share_is_energy_times_price_times_share() -> None:
    found = formula(paid())
    assert found.text == "0.417 kWh × 0.1234 EUR/kWh × 80 % = 0.0412 EUR"
    assert found.note == ""


def test_a_market_that_paid_something_else_than_its_price_is_explained() -> None:
    found = formula(paid(micros=35_000))
    assert found.text == "0.417 kWh × 0.1049 EUR/kWh × 80 % = 0.0350 EUR"
    assert found.note.startswith("The market's price was 0.1234 EUR/kWh.")


@pytest.mark.parametrize(
    ("what", "text", "note"),
    [
        (
            paid("event", micros=500_000, count=2, share=None),
            "2 events × 0.25 EUR = 0.5000 EUR",
            "",
        ),
        (paid("event", micros=0, count=0, share=None), "0 events = 0.0000 EUR", ""),
        (
            paid("energy", delivered_wh=-400.0, micros=120_000, share=None),
            "0.400 kWh × 0.3000 EUR/kWh = 0.1200 EUR",
            "",
        ),
        (
            paid("availability", delivered_wh=5_000.0, micros=50_000, share=None),
            "5.000 kW·h × 0.0100 EUR/(kW·h) = 0.0500 EUR",
            "Kilowatts",
        ),
        (paid(delivered_wh=math.nan, micros=0), "not measured = 0 EUR", "not paid"),
        (paid(delivered_wh=0.0, micros=0), "0.000 kWh = 0.0000 EUR", "No energy"),
        (paid(micros=0), "0.417 kWh = 0.0000 EUR", "did not take part"),
        (
            paid(delivered_wh=-417.0, micros=-41_166),
            "−0.417 kWh × 0.1234 EUR/kWh × 80 % = −0.0412 EUR",
            "",
        ),
        (paid(delivered_wh=0.0, micros=-7), "0.000 kWh = −0.0000 EUR", "capacity"),
    ],
)
def test_each_kind_has_its_formula(what: Paid, text: str, note: str) -> None:
    found = formula(what)
    assert found.text == text.replace("−0.0000", "0.0000")
    assert note in found.note


@given(
    st.integers(1, 10**9),
    st.integers(1, 2_000_000),
    st.sampled_from([1.0, 0.8, 0.625, 0.333333]),
    st.sampled_from([1, -1]),
)
def test_the_printed_numbers_multiply_to_the_printed_result(
    milli_wh: int, per_kwh: int, share: float, sign: int
) -> None:
    micros = sign * round(Decimal(milli_wh) * per_kwh * Decimal(str(share)) / 1_000_000)
    wh = sign * milli_wh / 1000
    text = formula(paid(delivered_wh=wh, price_per_mwh=per_kwh / 1000, share=share, micros=micros))
    if not micros:
        return
    numbers = [Decimal(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text.text.replace("−", "-"))]
    energy, price, hundredths, result = numbers
    product = (energy * price * hundredths / 100).quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
    assert abs(product - result) <= (0 if milli_wh < 10**8 else Decimal("0.0001"))


def test_amounts_have_a_real_minus_sign_and_never_minus_nothing() -> None:
    assert (amount(-41_200, "EUR"), amount(-1, "EUR")) == ("−0.0412 EUR", "0.0000 EUR")
    assert amount(1_234_567_890, "EUR", 2) == "1234.57 EUR"
    assert money(-5, "EUR").amount == "-0.000005"
    assert (kwh(None), kwh(math.nan), kwh(-417.0)) == (*["not measured"] * 2, "−0.417 kWh")
    assert (percent(0.8), percent(0.625), percent(1.0)) == ("80 %", "62.5 %", "100 %")
