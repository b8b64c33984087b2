"""Who may do what where: the table of rights, and the sentences for what is not allowed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paths import DOCS
from vpp_streams.domain.access.rights import (
    ACTIONS,
    MEANINGS,
    ORDERS,
    PLANT,
    ROLES,
    TABLE,
    Grant,
    Principal,
    Scope,
    ScopeError,
    grant_of,
    scope_of,
)

NORTH, HOME = Scope("region", "north"), Scope("site", "home-1")
scopes = st.sampled_from([PLANT, NORTH, Scope("region", "south"), HOME, Scope("site", "home-2")])
grants = st.builds(Grant, st.sampled_from(ROLES), scopes)
principals = st.builds(
    Principal,
    name=st.just("ann"),
    grants=st.lists(grants, max_size=4).map(tuple),
    limited_to=st.none() | st.frozensets(st.sampled_from(ACTIONS)),
)
actions = st.sampled_from(ACTIONS)


def one(role: str, scope: str) -> Principal:
    return Principal(name="ann", grants=(grant_of(role, scope),))


@given(principals, actions)
def test_the_larger_place_implies_the_smaller_one(who: Principal, action: str) -> None:
    act = next(a for a in ACTIONS if a == action)
    if who.may_everywhere(act):
        assert who.may_in(act, "north")
    if who.may_in(act, "north"):
        assert who.may_at(act, "home-9", "north")
    if who.may_at(act, "home-9", "north"):
        assert who.may(act)
    assert (act in who.actions) is who.may(act)


@given(principals, actions, st.frozensets(actions))
def test_a_limit_takes_rights_away_and_gives_none(
    who: Principal, action: str, limit: frozenset[str]
) -> None:
    act = next(a for a in ACTIONS if a == action)
    limited = Principal(
        name=who.name, grants=who.grants, limited_to=frozenset(a for a in ACTIONS if a in limit)
    )
    free = Principal(name=who.name, grants=who.grants)
    assert limited.may_in(act, "north") <= free.may_in(act, "north")
    assert limited.may_at(act, "home-1", "north") <= free.may_at(act, "home-1", "north")
    assert not limited.may(act) or act in limit


@given(principals, actions)
def test_the_sentence_is_there_if_and_only_if_something_is_missing(
    who: Principal, action: str
) -> None:
    act = next(a for a in ACTIONS if a == action)
    assert (who.denial(act, ["north"]) is None) is who.may_in(act, "north")
    assert (who.denial(act, []) is None) is who.may(act)


def test_one_home_is_no_region_and_one_region_is_not_the_plant() -> None:
    operator = one("operator", "site:home-1")
    assert operator.may_at("read_site", "home-1", "north")
    assert not operator.may_at("read_site", "home-2", "north")
    assert not operator.may_in("read_region", "north")
    assert not operator.gives_orders
    assert one("operator", "*").may_everywhere("read_records")
    assert not one("operator", "region:north").may("read_records")


def test_nobody_may_anything_without_a_role() -> None:
    assert Principal(name="ann", grants=()).actions == ()


def test_a_refusal_says_what_is_missing_and_what_there_is() -> None:
    north = one("operator", "region:north")
    assert north.denial("hold", ["north", "south"]) == (
        "ann does not have the right 'hold' in region 'south'"
    )
    assert north.in_words == f"ann may: {', '.join(ORDERS)}, in north"
    assert one("operator", "*").in_words.endswith("in every region")
    assert one("viewer", "*").in_words == "ann may give no orders"


@pytest.mark.parametrize("words", ["", "north", "region:", "site:a b", "city:x", "*:x", "site:x\n"])
def test_what_is_no_scope_is_a_sentence(words: str) -> None:
    with pytest.raises(ScopeError, match="is no scope"):
        scope_of(words)


@given(scopes)
def test_a_scope_is_read_as_it_is_written(scope: Scope) -> None:
    assert scope_of(str(scope)) == scope


@pytest.mark.parametrize(("role", "scope"), [("owner", "*"), ("owner", "region:x"), ("king", "*")])
def test_a_role_that_cannot_be_is_refused(role: str, scope: str) -> None:
    with pytest.raises(ScopeError):
        grant_of(role, scope)


def test_the_documented_table_is_the_one_that_is_checked() -> None:
    """docs/accounts.md has a row for each action and a column for each role."""
    lines = (DOCS / "accounts.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    head = next(row for row in rows if row[2:] == list(ROLES))
    assert head[:2] == ["action", "what it is"]
    documented = {row[0].strip("`"): row[1:] for row in rows if re.fullmatch(r"`\w+`", row[0])}
    for action in ACTIONS:
        meaning, *marks = documented[action]
        assert meaning == MEANINGS[action]
        allowed = [role for role, mark in zip(ROLES, marks, strict=True) if mark == "yes"]
        assert allowed == [role for role in ROLES if action in TABLE[role]], action
