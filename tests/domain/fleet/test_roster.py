"""The roster is kept in step piece by piece, and is what one made anew would be."""

from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Device, Site, SiteState, StateChange
from tests.support.pool_world import SITE_IDS
from tests.support.telemetry_factory import make_batch
from vpp_streams.domain.fleet.roster import SiteRoster, Unseen
from vpp_streams.domain.fleet.twins import Batch, Twins
from vpp_streams.domain.registry import registry as registry_module
from vpp_streams.domain.registry.registry import Registry

HOMES = SITE_IDS[:4]
"""Of one partition; a device may move from one to another."""
site_records = st.builds(
    lambda site_id, region, numbers, energy_wh, reserve, feeder, history: Site(
        site_id,
        region,
        tuple(Device(f"pw-{n}", "powerwall", rated_energy_wh=energy_wh) for n in sorted(numbers)),
        backup_reserve=reserve,
        feeder=feeder,
        history=history,
    ),
    st.sampled_from([*HOMES, "of-another-partition"]),
    st.sampled_from(["coast", "north", "valley"]),
    st.sets(st.integers(0, 5), max_size=2),
    st.sampled_from([0.0, 5000.0, 13_500.0]),
    st.sampled_from([0.1, 0.2]),
    st.sampled_from([None, "f1", "f2"]),
    st.sampled_from(get_args(SiteState)).map(lambda state: (StateChange(state, 0),)) | st.just(()),
)
heard = st.tuples(st.integers(0, 5), st.sampled_from(HOMES))
"""A device speaks, at the site that ingest then took it for."""


def unseen(registry: Registry, twins: Twins) -> dict[str, Unseen]:
    """What the roster calls unseen, device by device."""
    found: dict[str, Unseen] = {}
    for site in registry.sites():
        for device in site.devices:
            device_, owner = registry.device(device.device_id) or (device, None)
            silent = twins.row(device.device_id) is None and device_.rated_energy_wh
            if site.site_id in HOMES and site.state == "active" and owner is site and silent:
                so_far = found.get(site.region, Unseen(0, 0.0, 0.0))
                found[site.region] = replace(so_far, devices=so_far.devices + 1)
    return found


@given(st.lists(st.one_of(site_records, heard), max_size=20), st.sampled_from([0, 1000]))
def test_equals_one_made_anew(steps: list[Site | tuple[int, str]], changes_kept: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry_module, "MAX_CHANGES", changes_kept)
        registry, twins = Registry(), Twins()
    roster = SiteRoster(0, registry, twins)
    for step in steps:
        if isinstance(step, Site):
            registry.apply(step)
        else:
            number, site_id = step
            twins.rows_of(Batch.of(make_batch([{"device_id": f"pw-{number}", "site_id": site_id}])))
        anew = SiteRoster(0, registry, twins)
        for got, expected in (
            (roster.ratings(), anew.ratings()),
            (roster.rows(), anew.rows()),
        ):
            for field in fields(got):
                mine, theirs = getattr(got, field.name), getattr(expected, field.name)
                np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
        assert roster.unseen() == anew.unseen() == unseen(registry, twins)
        (feeder, names), (expected_feeder, expected_names) = roster.feeders(), anew.feeders()
        assert [names[i] for i in feeder] == [expected_names[i] for i in expected_feeder]
