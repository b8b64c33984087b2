"""Who is owed what for an award: the sites that delivered, exactly what the market settles."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.market import Award, Delivery
from tests.support.settle_world import (
    BOOKS,
    SHARE_60,
    amounts,
    award,
    delivered,
    delivery,
    enrolled,
    everybody,
    fleet,
    terms,
)
from vpp_streams.domain.settle.corrections import balances, settled
from vpp_streams.domain.settle.lines import Lines
from vpp_streams.domain.settle.market_lines import award_lines
from vpp_streams.domain.settle.money import micros_of
from vpp_streams.errors import RefusedError

IDS = ["a", "b", "c", "d"]


def lines_of(
    of: Award,
    settlement: Delivery,
    battery_wh: list[float],
    coverage: list[float] | None = None,
    *programs: object,
) -> tuple[Lines, ...]:
    return award_lines(
        of,
        settlement,
        fleet(*IDS),
        delivered(battery_wh, coverage),
        enrolled=enrolled(IDS, *programs),  # type: ignore[arg-type]  # programs
        takes_part=everybody(4),
    )


def shares(*args: object) -> dict[str, int]:
    entries = settled(lines_of(*args), BOOKS)  # type: ignore[arg-type]  # as `lines_of` takes them
    assert entries is not None
    return amounts(entries)


def test_those_who_delivered_share_by_what_they_delivered() -> None:
    """500 Wh at 100 per MWh are 0.05; 60 % of it is the owners'."""
    told = award()
    found = shares(told, delivery(told, 6_000.0), [400.0, 100.0, 0.0, 0.0])
    assert found == {"a": 24_000, "b": 6_000, "c": 0, "d": 0}


def test_what_was_not_measured_or_went_the_other_way_is_not_paid() -> None:
    told = award()
    found = shares(told, delivery(told, 4_200.0), [400.0, np.nan, -50.0, 0.0])
    assert found == {"a": 21_000, "b": 0, "c": 0, "d": 0}


def test_what_is_not_measured_is_stated() -> None:
    told = award()
    entries = settled(lines_of(told, delivery(told, 4_800.0), [400.0, np.nan, 0.0, 0.0]), BOOKS)
    assert entries is not None
    rows = {row["site_id"]: row for row in entries.to_pylist()}
    assert np.isnan(rows["b"]["delivered_wh"])
    assert (rows["b"]["coverage"], rows["b"]["window_revision"]) == (0.0, -1)
    assert rows["a"]["share"] == 0.6
    assert rows["a"]["price_per_mwh"] == 100.0
    assert rows[""]["coverage"] == 1.0


def test_a_charge_that_was_asked_for_costs_those_who_charged_their_share() -> None:
    told = award(energy_w=-6_000.0)
    found = shares(told, delivery(told, -6_000.0), [-500.0, 100.0, 0.0, 0.0])
    assert found == {"a": -30_000, "b": 0, "c": 0, "d": 0}


def test_a_negative_price_pays_for_the_charge() -> None:
    told = award(energy_w=-6_000.0, prices={"energy": -100.0})
    assert shares(told, delivery(told, -6_000.0), [-500.0, 0.0, 0.0, 0.0])["a"] == 30_000


def test_the_cost_of_the_wrong_way_is_the_operators() -> None:
    """Sold, and on balance bought: whoever delivered did not cause that."""
    told = award()
    entries = settled(lines_of(told, delivery(told, -1_200.0), [100.0, -200.0, 0.0, 0.0]), BOOKS)
    assert entries is not None
    assert amounts(entries) == {"a": 0, "b": 0, "c": 0, "d": 0}
    assert amounts(entries, "operator") == {"": -10_000}


def test_an_operators_order_leaves_nothing_to_share() -> None:
    """All of the interval was taken: no window of it counts for or against a site."""
    told = award()
    taken = delivery(told, 0.0, overridden_s=300.0, overridden_by=("operator-1",))
    assert set(shares(told, taken, [np.nan] * 4).values()) == {0}


def test_capacity_is_shared_by_what_was_there() -> None:
    told = award(energy_w=0.0, prices={"energy": 100.0, "reg_up": 12.0}, capacity_w={"reg_up": 1e4})
    settlement = delivery(told, 0.0, money=0.01, capacity_money=0.01)
    found = shares(told, settlement, [0.0, 0.0, np.nan, 0.0], [1.0, 0.5, 0.0, 0.5])
    assert found == {"a": 3_000, "b": 1_500, "c": 0, "d": 1_500}


def test_at_the_connection_the_load_is_the_operators_cost() -> None:
    """Batteries gave 500 Wh, loads took 800: the market charges 300 Wh, the owners earned 500."""
    told = award(metered_at="connection", energy_w=-3_600.0)
    settlement = delivery(told, -3_600.0, needed_w=6_000.0, given_w=6_000.0)
    entries = settled(lines_of(told, settlement, [400.0, 100.0, 0.0, 0.0]), BOOKS)
    assert entries is not None
    assert amounts(entries) == {"a": 24_000, "b": 6_000, "c": 0, "d": 0}
    assert amounts(entries, "operator") == {"": -30_000 - 30_000}


@pytest.mark.parametrize(
    ("towards", "price", "owner"),
    [(1, 100.0, 24_000), (-1, 100.0, -24_000), (1, -100.0, -24_000), (-1, -100.0, 24_000)],
)
def test_at_the_connection_energy_has_the_sign_of_its_price_and_direction(
    towards: int, price: float, owner: int
) -> None:
    told = award(metered_at="connection", energy_w=-3_600.0, prices={"energy": price})
    settlement = delivery(told, -3_600.0, needed_w=towards * 6_000.0, given_w=towards * 6_000.0)
    found = shares(told, settlement, [towards * 400.0, towards * 100.0, 0.0, 0.0])
    assert (found["a"], found["c"]) == (owner, 0)


def test_a_site_in_no_program_delivers_for_the_operator() -> None:
    told = award()
    lines = award_lines(
        told,
        delivery(told, 6_000.0),
        fleet(*IDS),
        delivered([400.0, 100.0, 0.0, 0.0]),
        enrolled=replace(enrolled(IDS), code=np.array([-1, 0, 0, 0])),
        takes_part=everybody(4),
    )
    entries = settled(lines, BOOKS)
    assert entries is not None
    assert amounts(entries) == {"b": 6_000, "c": 0, "d": 0}
    assert amounts(entries, "operator") == {"": 44_000}


def test_owners_have_the_share_of_their_own_program() -> None:
    told, half = award(), terms(program_id="half", owner_share=0.5)
    found = shares(told, delivery(told, 6_000.0), [250.0, 250.0, 0.0, 0.0], None, SHARE_60, half)
    assert (found["a"], found["b"]) == (15_000, 12_500)


def test_a_program_without_a_share_has_no_line_of_it() -> None:
    told, rated = award(), terms(program_id="rate", owner_share=0.0, per_kwh_micros=1)
    found = shares(told, delivery(told, 6_000.0), [250.0, 250.0, 0.0, 0.0], None, SHARE_60, rated)
    assert found == {"a": 15_000, "c": 0}


def test_another_currency_is_refused_with_the_way_out() -> None:
    told = award(currency="AUD")
    with pytest.raises(RefusedError, match="share-60 is paid in EUR, market sim in AUD: enrol"):
        lines_of(told, delivery(told, 0.0), [0.0] * 4)


@pytest.mark.parametrize(
    ("sold", "paid"),
    [({}, {"money": 1e12}), ({}, {"capacity_money": 1e12}), ({"prices": {"energy": 2e9}}, {})],
)
def test_money_beyond_reason_is_refused(sold: dict[str, Any], paid: dict[str, Any]) -> None:
    told = award(**sold)
    with pytest.raises(RefusedError, match="beyond reason"):
        lines_of(told, delivery(told, 0.0, **paid), [0.0] * 4)


@given(
    battery_wh=st.lists(st.floats(-500, 500) | st.just(np.nan), min_size=4, max_size=4),
    money=st.floats(-1e4, 1e4),
    capacity_money=st.floats(-1e3, 1e3),
    awarded_w=st.sampled_from([-6_000.0, 0.0, 6_000.0]),
    price=st.floats(-500, 500),
    metered_at=st.sampled_from(["battery", "connection"]),
    part=st.lists(st.booleans(), min_size=4, max_size=4),
    share=st.floats(0.01, 1),
)
def test_shares_and_the_operators_rest_are_what_the_market_settles(  # noqa: PLR0917  # drawn by name
    battery_wh: list[float],
    money: float,
    capacity_money: float,
    awarded_w: float,
    price: float,
    metered_at: str,
    part: list[bool],
    share: float,
) -> None:
    told = award(energy_w=awarded_w, prices={"energy": price}, metered_at=metered_at)
    settlement = delivery(told, 0.0, money=money, capacity_money=capacity_money)
    lines = award_lines(
        told,
        settlement,
        fleet(*IDS),
        delivered(battery_wh),
        enrolled=enrolled(IDS, terms(owner_share=share)),
        takes_part=np.array(part),
    )
    entries = settled(lines, BOOKS)
    assert entries is not None
    left = balances(entries)
    assert left["revenue:sim:north"] == 0
    assert left["market:sim"] == -micros_of(money)
    sites = sum(amount for name, amount in left.items() if name.startswith("site:"))
    assert sites + left["operator"] == micros_of(money)
