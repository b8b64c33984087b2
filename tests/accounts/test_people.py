"""Accounts, their sessions and links, and secrets: what is accepted, and what ends when."""

import pytest

from tests.support.accounts_world import CHEAP, PASSWORD, Entrance
from vpp_streams.accounts.secrets import LONGEST, SHORTEST, Passwords, digest_of, new_word
from vpp_streams.accounts.sessions import LINK_MS, MOST_EACH
from vpp_streams.domain.access.rights import grant_of
from vpp_streams.errors import InputError


@pytest.fixture
def entrance() -> Entrance:
    return Entrance(now_ms=lambda: 0)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a" * 65, "a\n", "ä", "a/b"])
def test_a_name_that_cannot_be_is_refused(entrance: Entrance, name: str) -> None:
    with pytest.raises(InputError, match="is no name"):
        entrance.accounts.people.add(name, [], at_ms=0)


def test_names_and_addresses_are_taken_once_whatever_their_case(entrance: Entrance) -> None:
    people = entrance.accounts.people
    people.add("ann", [], at_ms=0, email="Ann@x.example")
    with pytest.raises(InputError, match="with this name"):
        people.add("ANN", [], at_ms=0)
    with pytest.raises(InputError, match="with this e-mail address"):
        people.add("bob", [], at_ms=0, email="ann@X.example")
    with pytest.raises(InputError, match="no e-mail address"):
        people.add("carl", [], at_ms=0, email="carl")
    assert [account.name for account in people.all()] == ["ann"]


def test_roles_are_given_and_taken(entrance: Entrance) -> None:
    people = entrance.accounts.people
    account = entrance.add("ann", ("viewer", "*"), ("operator", "region:north"))
    assert {str(g) for g in account.grants} == {
        "viewer of every region",
        "operator of region:north",
    }
    assert people.take(account, grant_of("viewer", "*"))
    assert not people.take(account, grant_of("viewer", "*"))
    assert people.named("ann").grants == (grant_of("operator", "region:north"),)


def test_a_password_has_a_length_and_no_other_rule() -> None:
    for password in ("x" * (SHORTEST - 1), "x" * (LONGEST + 1)):
        with pytest.raises(InputError, match="12 to 256 characters"):
            CHEAP.hash(password)
    stored = CHEAP.hash(PASSWORD)
    assert CHEAP.fits(stored, PASSWORD)
    assert not CHEAP.fits(stored, PASSWORD + "x")
    assert not CHEAP.fits("no hash", PASSWORD)
    assert CHEAP.hash(PASSWORD) != stored
    assert Passwords().is_outdated(stored)


def test_words_differ_and_their_digests_do_not_show_them() -> None:
    words = {new_word("vpps") for _ in range(100)}
    assert len(words) == 100
    assert all(word not in digest_of(word) and len(digest_of(word)) == 64 for word in words)


def test_a_new_link_replaces_the_one_before(entrance: Entrance) -> None:
    sessions, account = entrance.accounts.sessions, entrance.add("ann")
    first = sessions.add_link(account, "password", 0)
    second = sessions.add_link(account, "password", 0)
    assert sessions.link(first, 0) is None
    assert sessions.link(second, LINK_MS["password"] - 1) == (account, "password")
    assert sessions.link(second, LINK_MS["password"]) is None
    assert (sessions.use_link(second), sessions.use_link(second)) == (True, False)


def test_what_an_account_has_is_bounded(entrance: Entrance) -> None:
    sessions, account = entrance.accounts.sessions, entrance.add("ann")
    for at_ms in range(MOST_EACH + 10):
        sessions.open(account, at_ms, how="password", address="", agent="")
    kept = sessions.of(account, MOST_EACH + 10)
    assert (len(kept), kept[0].made_at_ms) == (MOST_EACH, MOST_EACH + 9)
    for _ in range(MOST_EACH):
        sessions.add_token(account, "t", ["read_site"], now_ms=0, days=1)
    with pytest.raises(InputError, match="at most 50 tokens"):
        sessions.add_token(account, "t", ["read_site"], now_ms=0, days=1)
