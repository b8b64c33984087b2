"""What is paid of a balance, and who may approve it."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ledger import MAX_LINES
from vpp_streams.domain.ledger.payouts import (
    Payee,
    Proposal,
    fault_of_approval,
    micros_per_minor,
    parts_of,
    payable_minor,
    payees_digest,
)

IBAN = "DE89370400440532013000"


@given(st.integers(-(10**15), 10**15), st.sampled_from([0, 2, 3]))
def test_the_rest_of_a_payout_stays_and_is_less_than_a_minor_unit(
    balance_micros: int, decimals: int
) -> None:
    paid = payable_minor(balance_micros, decimals) * micros_per_minor(decimals)
    rest = balance_micros - paid
    assert rest == balance_micros if balance_micros < 0 else 0 <= rest < micros_per_minor(decimals)


def test_a_cent_is_ten_thousand_micros_and_a_yen_a_million() -> None:
    assert payable_minor(19_999, 2) == 1
    assert payable_minor(1_999_999, 0) == 1


def test_parts_have_one_region_and_a_size() -> None:
    amounts = {f"s{n:05}": 1 for n in range(MAX_LINES + 1)} | {"z": 7, "none": 0}
    regions = dict.fromkeys(amounts, "north") | {"z": "south"}
    parts = parts_of("p", amounts, regions)
    assert [(p.part, p.region, len(p.lines)) for p in parts] == [
        (0, "north", MAX_LINES),
        (1, "north", 1),
        (2, "south", 1),
    ]


def test_the_digest_of_accounts_changes_with_each_account_and_not_with_their_order() -> None:
    a, b = Payee("a", "Ada", IBAN), Payee("b", "Bob", IBAN)
    assert payees_digest([a, b]) == payees_digest([b, a])
    assert payees_digest([a, b]) != payees_digest([a, Payee("b", "Bob", IBAN[:-1] + "1")])


PROPOSAL = Proposal(
    payout_id="p1", period="2026-10", currency="EUR", proposed_by="ada", decimals=2,
    lines={"home-1": 12},
)  # fmt: skip
SOUND: Mapping[str, Any] = {
    "newest_closed": "2026-10",
    "approved": [],
    "balances_micros": {"home-1": 125_000},
}


def test_a_second_person_approves() -> None:
    assert fault_of_approval(PROPOSAL, "grace", **SOUND) is None


@pytest.mark.parametrize(
    ("by", "changes", "why"),
    [
        ("ada", {}, "second person"),
        ("grace", {"approved": ["p0"]}, "p0 has paid 2026-10"),
        ("grace", {"newest_closed": "2026-11"}, "closed last"),
        ("grace", {"balances_micros": {"home-1": 119_999}}, "is owed 11"),
        ("grace", {"balances_micros": {}}, "is owed 0"),
    ],
)
def test_an_approval_that_cannot_be(by: str, changes: Mapping[str, Any], why: str) -> None:
    fault = fault_of_approval(PROPOSAL, by, **{**SOUND, **changes})
    assert fault is not None
    assert why in fault
