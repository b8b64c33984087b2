"""A record as a block: nothing of its entries is lost, and nothing foreign is in it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.settlement import OPERATOR, site_account
from tests.support.ledger_world import batch, home_of, reversal, row
from vpp_streams.domain.ledger.blocks import NO_SITE, SITE, Block, block_of
from vpp_streams.errors import RefusedError

HOMES = [home_of(3, n) for n in range(3)]
FLOATS = ("energy_wh", "baseline_wh", "delivered_wh", "coverage")


def entries_of(block: Block) -> list[dict[str, Any]]:
    """The rows of the record that a block was made of."""
    found = []
    for n, group in enumerate(block.groups[g] for g in block.group):
        site_id = "" if block.site[n] == NO_SITE else block.site_ids[block.site[n]].as_py()
        names = ("kind", "region", "market", "start_ms", "interval_ms", "program_id")
        more = ("program_version", "revision", "reverses", "period", "currency")
        shared = {name: getattr(group, name) for name in (*names, *more)}
        last = ("price_per_mwh", "share", "window_revision")
        found.append(
            shared
            | {name: getattr(group, name) for name in last}
            | {"debit": group.debit or site_account(site_id)}
            | {"credit": group.credit or site_account(site_id)}
            | {"site_id": site_id, "amount_micros": int(block.amount_micros[n])}
            | {name: float(getattr(block, name)[n]) for name in FLOATS}
        )
    return found


def comparable(rows: list[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    return [sorted((name, repr(value)) for name, value in r.items()) for r in rows]


MAYBE = st.sampled_from([math.nan, -1.5, 0.0, 80.25])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(HOMES), st.integers(0, 2), MAYBE, MAYBE, st.booleans(),
            st.integers(0, 10**12),
        ),
        min_size=1, max_size=12, unique_by=lambda t: (t[0], t[1], t[4]),
    )
)  # fmt: skip
def test_a_block_says_all_that_its_record_says(rows: list[tuple[Any, ...]]) -> None:
    made = [
        row(site_id=s, revision=r, price_per_mwh=p, delivered_wh=d, amount_micros=a)
        for s, r, p, d, _, a in rows
    ]
    made = [reversal(m) if back else m for m, (*_, back, _a) in zip(made, rows, strict=True)]
    block = block_of(batch(made), 3)
    assert comparable(entries_of(block)) == comparable(made)
    assert sum(g.entries for g in block.groups) == len(made)
    assert sum(g.amount_micros for g in block.groups) == sum(m["amount_micros"] for m in made)


def test_what_entries_share_is_stored_once() -> None:
    block = block_of(batch([row(site_id=s, amount_micros=n) for n, s in enumerate(HOMES)]), 3)
    (group,) = block.groups
    assert (group.credit, group.entries, group.amount_micros) == (SITE, 3, 3)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(site_id=home_of(4))], "partition of its site"),
        ([row(site_id=HOMES[0], credit=site_account(HOMES[1]))], "not its own"),
        ([row(site_id="", credit=site_account(HOMES[0]))], "not its own"),
        ([row(site_id=HOMES[0]), row(site_id=HOMES[0])], "same entry twice"),
        ([row(site_id=HOMES[0], amount_micros=10**15, revision=n) for n in range(5000)], "add up"),
    ],
)
def test_an_entry_that_could_pay_twice_refuses_its_record(
    rows: list[dict[str, Any]], why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        block_of(batch(rows), 3)


def test_the_same_entry_with_another_amount_is_still_the_same() -> None:
    twice = [row(site_id=HOMES[0]), row(site_id=HOMES[0], amount_micros=5, delivered_wh=1.0)]
    with pytest.raises(RefusedError, match="same entry twice"):
        block_of(batch(twice), 3)
    other_price = [row(site_id=HOMES[0]), row(site_id=HOMES[0], price_per_mwh=1.0)]
    with pytest.raises(RefusedError, match="same entry twice"):
        block_of(batch(other_price), 3)


def test_an_entry_of_no_site_may_be_in_any_partition() -> None:
    operator = row(site_id="", kind="operator", credit=OPERATOR)
    assert block_of(batch([operator]), 5).site.tolist() == [NO_SITE]
