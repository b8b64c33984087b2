"""The states of a site: which may follow which, and what a record keeps of them."""

from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from schemas.assets import MAX_HISTORY, Site, SiteState, StateChange
from schemas.encoding import decode_json, encode_json
from vpp_streams.domain.registry.states import FOLLOWED_BY, continued, in_state, why_not

STATES: tuple[SiteState, ...] = get_args(SiteState)
HOME = Site("home", "north")


def test_a_record_without_a_history_is_active_and_one_that_says_removed_is_retired() -> None:
    assert decode_json(b'{"site_id": "home", "region": "north"}', Site).state == "active"
    old = decode_json(b'{"site_id": "home", "region": "north", "removed": true}', Site)
    assert old.state == "retired"


def test_a_record_has_one_truth() -> None:
    both = (
        b'{"site_id":"h","region":"n","removed":true,"history":[{"state":"active","since_ms":1}]}'
    )
    with pytest.raises(msgspec.ValidationError, match="no `removed`"):
        decode_json(both, Site)


def test_changes_are_kept_with_their_times_and_reasons() -> None:
    site = in_state(in_state(HOME, "suspended", 10, "meter"), "active", 20)
    assert site.history == (StateChange("suspended", 10, "meter"), StateChange("active", 20))
    assert decode_json(encode_json(site), Site) == site
    assert in_state(site, "active", 30) is site, "no change, no record"
    assert in_state(site, "retired", 15).history[-1].since_ms == 20, "times never fall"


def test_only_the_newest_changes_are_kept() -> None:
    site = HOME
    for n in range(MAX_HISTORY + 5):
        site = in_state(site, "active" if n % 2 else "suspended", n)
    assert len(site.history) == MAX_HISTORY
    assert site.history[-1].since_ms == MAX_HISTORY + 4
    assert decode_json(encode_json(site), Site) == site


def test_which_state_may_follow_which() -> None:
    allowed = {(a, b) for a in STATES for b in STATES if a != b and why_not(a, b) is None}
    assert allowed == {
        ("planned", "commissioning"), ("planned", "retired"),
        ("commissioning", "active"), ("commissioning", "planned"), ("commissioning", "retired"),
        ("active", "suspended"), ("active", "commissioning"), ("active", "retired"),
        ("suspended", "active"), ("suspended", "commissioning"), ("suspended", "retired"),
        ("retired", "planned"), ("retired", "commissioning"), ("retired", "active"),
    }  # fmt: skip
    assert FOLLOWED_BY.keys() == set(STATES)
    assert all(why_not(state, state) is None for state in STATES)
    assert why_not("planned", "active") == (
        "a site that is planned cannot become active, only commissioning or retired"
    )


def test_new_contents_keep_the_state_and_the_history() -> None:
    suspended = in_state(HOME, "suspended", 10)
    moved = Site("home", "south")
    kept = continued(moved, suspended, None, since_ms=20)
    assert (kept.region, kept.history) == ("south", suspended.history)
    assert continued(moved, suspended, "retired", since_ms=20).state == "retired"
    assert continued(moved, None, None, since_ms=20) == moved
    assert continued(moved, None, "planned", since_ms=20).history == (StateChange("planned", 20),)


@pytest.mark.parametrize("gone", [replace(HOME, removed=True), in_state(HOME, "retired", 5)])
def test_a_retired_site_that_is_registered_again_is_active(gone: Site) -> None:
    again = continued(HOME, gone, None, since_ms=20, reason="imported")
    assert again.state == "active"
    assert again.history == (*gone.history, StateChange("active", 20, "imported"))
    assert not again.removed
