"""Filters and orders, compared with plain Python."""

from math import nan

from hypothesis import given
from hypothesis import strategies as st

from schemas.preferences import Preferences
from tests.support.explorer_world import NOW_MS, ExplorerWorld, home, working
from vpp_streams.domain.registry.states import in_state


def test_a_change_of_the_registry_is_seen_and_a_retired_site_leaves() -> None:
    world = ExplorerWorld(home(1), home(2, "south"))
    assert world.find(region="south") == ["home-2"]
    world.registry.apply(home(1, "south"))
    assert world.find(region="south") == ["home-1", "home-2"]
    assert world.find(text="PW-1") == ["home-1"]
    assert world.find(device="pw-2-0") == ["home-2"]
    assert world.find(device="pw-2") == []
    world.registry.apply(in_state(home(2), "retired", NOW_MS))
    assert world.find() == ["home-1"]
    assert world.find(region="nowhere") == []


def test_after_more_changes_than_are_kept_all_is_read_again() -> None:
    world = ExplorerWorld()
    for number in range(1500):
        world.registry.apply(home(number % 1200))
        if number == 5:
            assert len(world.find()) == 6
    assert len(world.find()) == 1200


@given(
    charges=st.lists(st.one_of(st.none(), st.integers(0, 10)), min_size=1, max_size=12),
    low=st.one_of(st.none(), st.integers(0, 10)),
    descending=st.booleans(),
)
def test_the_order_and_the_range_are_those_of_plain_python(
    charges: list[int | None], low: int | None, descending: bool
) -> None:
    world = ExplorerWorld(*(home(number) for number in range(10, 10 + len(charges))))
    soc = {}
    for number, charge in enumerate(charges, 10):
        soc[f"home-{number}"] = None if charge is None else charge / 10
        world.read(f"pw-{number}-0", soc=nan if charge is None else charge / 10)
    wanted = [i for i, c in soc.items() if low is None or (c is not None and c >= low / 10)]
    wanted.sort(key=lambda i: (soc[i] is None, (soc[i] or 0) * (-1 if descending else 1), i))
    least = None if low is None else low / 10
    assert world.find(sort="soc", descending=descending, soc_min=least) == wanted


def test_sites_are_found_by_what_their_owners_decided() -> None:
    world = ExplorerWorld(*(home(number, backup_reserve=0.2) for number in range(1, 8)))
    for number, chosen in {
        1: {"backup_reserve": 0.5},
        2: {"backup_reserve": 0.1},
        3: {"storm_mode": False},
        4: {"paused_until_ms": NOW_MS + 1},
        5: {"paused_until_ms": NOW_MS},
        6: {"skips": ("r1", "r2")},
        7: {"left": True},
    }.items():
        site_id = f"home-{number}"
        decided = Preferences(site_id=site_id, set_at_ms=1, by="owner:a", **chosen)  # type: ignore[arg-type]  # fields by name
        world.registry.prefer(site_id, decided)
    assert world.find(owner="reserve_raised") == ["home-1"]
    assert world.find(owner="no_storm_mode") == ["home-3"]
    assert world.find(owner="paused") == ["home-4"]
    assert world.find(owner="left") == ["home-7"]
    assert world.find(owner="skipping") == [], "no request applies"
    world.ruling = {"north": "r2"}
    assert world.find(owner="skipping") == ["home-6"]
    assert world.find(sort="backup_reserve")[0] == "home-2"
    world.registry.prefer("home-1", None)
    assert world.find(owner="reserve_raised") == []


def test_a_home_whose_owner_takes_no_part_is_not_commandable() -> None:
    world = working(1)
    assert world.find(commandable=True) == ["home-1"]
    paused = Preferences(site_id="home-1", set_at_ms=1, by="owner:a", paused_until_ms=NOW_MS + 1)
    world.registry.prefer("home-1", paused)
    assert world.find(commandable=True) == []
    assert world.why("home-1") == "opted_out"
