"""What an import would change in the registry."""

from msgspec.structs import replace

from schemas.assets import Device, Site
from vpp_streams.domain.registry.import_plan import plan_of
from vpp_streams.domain.registry.registry import Registry

A = Site("a", "north", (Device("pw-a", "powerwall"),))
B = Site("b", "north")
GONE = Site("gone", "south", removed=True)


def test_each_site_of_a_file_is_new_changed_retired_or_unchanged() -> None:
    changed = replace(A, backup_reserve=0.5)
    new, leaving = Site("c", "north"), replace(B, removed=True)
    same = Site("d", "north")
    plan = plan_of([changed, new, leaving, same, GONE], Registry([A, B, same, GONE]))
    assert plan.new == (new,)
    assert plan.changed == (changed,)
    assert plan.retired == (leaving,)
    assert plan.unchanged == 2
    assert plan.records == [new, changed, leaving]


def test_an_import_into_known_regions_needs_no_agreement() -> None:
    assert plan_of([replace(A, feeder="f1"), Site("c", "north")], Registry([A])).consequences == []


def test_a_region_is_created_by_a_new_site_or_by_one_that_moves() -> None:
    sites = [Site("c", "nroth"), replace(A, region="east")]
    plan = plan_of(sites, Registry([A]))
    assert plan.created_regions == ("east", "nroth")
    assert plan.consequences == ["creates 2 regions: east, nroth"]


def test_a_region_whose_sites_were_all_retired_is_created_again() -> None:
    assert plan_of([Site("c", "south")], Registry([A, GONE])).created_regions == ("south",)
    assert plan_of([GONE], Registry([A, GONE])).created_regions == ()


def test_retired_sites_are_named_and_many_are_counted() -> None:
    sites = [Site(f"s{n}", "north") for n in range(7)]
    plan = plan_of([replace(site, removed=True) for site in sites], Registry(sites))
    assert plan.consequences == [
        "retires 7 sites: s0, s1, s2, s3, s4 and 2 more; their devices are disconnected"
    ]
