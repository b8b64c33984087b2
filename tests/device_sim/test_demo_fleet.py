"""The demo's sites: valid assets, the same for the same seed."""

import hashlib

import msgspec

from device_sim import vendor
from device_sim.fleet import demo_sites, device_token
from device_sim.world import World
from schemas.assets import Site
from schemas.telemetry import NativeBody, Reading
from vpp_streams.domain.telemetry.normalize import normalize

MIDNIGHT_MS = 1_763_856_000_000 + 8 * 3_600_000
"""In California, where the demo's regions are."""


def test_ids_kinds_and_regions() -> None:
    sites = demo_sites(homes=4, solar=2, megapacks=1)
    assert [site.devices[0].device_id for site in sites] == [
        "home-0001",
        "home-0002",
        "home-0003",
        "home-0004",
        "solar-0001",
        "solar-0002",
        "mega-01",
    ]
    kinds = [site.devices[0].kind for site in sites]
    assert kinds == ["powerwall"] * 4 + ["solar"] * 2 + ["megapack"]
    assert {site.region for site in demo_sites()} == {"north", "coast", "valley"}
    assert len({site.site_id for site in demo_sites(300, 30, 3)}) == 333


def test_sites_are_valid_and_have_what_a_fleet_has() -> None:
    sites = demo_sites()
    assert msgspec.json.decode(msgspec.json.encode(sites), type=list[Site]) == sites
    homes = [site.devices[0] for site in sites if site.devices[0].kind == "powerwall"]
    assert len({home.model for home in homes}) == 4
    assert any(home.rated_energy_wh == 27_000 for home in homes), "some have two units"
    assert {site.export_limit_w for site in sites} >= {None, 0.0, 5000.0}
    assert len({site.backup_reserve for site in sites}) > 3
    assert all(site.latitude and site.longitude for site in sites)


def test_a_seed_is_a_fleet() -> None:
    assert demo_sites(seed=7) == demo_sites(seed=7)
    assert demo_sites(seed=7) != demo_sites(seed=8)


def test_the_registry_knows_the_hash_of_the_token_and_not_the_token() -> None:
    device = demo_sites(1, 0, 0, secret="s")[0].devices[0]
    token = device_token("home-0001", "s")
    assert device.token_sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert token != device_token("home-0002", "s")
    assert token != device_token("home-0001", "other")


def test_no_device_is_silent_at_night_whatever_form_it_speaks() -> None:
    devices = [(site, device) for site in demo_sites() for device in site.devices]
    measured = World(devices, 1, MIDNIGHT_MS - 1000).step(MIDNIGHT_MS).values()
    without_a_meter = 0
    for (_, device), values in zip(devices, measured, strict=True):
        body = NativeBody(MIDNIGHT_MS, *values)
        assert not body.pv
        name = vendor.vendor_of(device, 1.0, seed=1)
        if name is None:
            continue
        sent = vendor.render(name, body)
        reading = normalize(name, bytes(sent.body), sent.t, sent.iv, MIDNIGHT_MS)
        assert isinstance(reading, Reading), reading
        without_a_meter += body.g is None
    assert without_a_meter > 0, "the ones that have nothing but their panels to tell of"
