"""The registry by columns says what the registry says."""

from typing import get_args

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.assets import Device, Site, SiteState, StateChange
from schemas.bounds import PARTITIONS
from vpp_streams.domain.registry.hashing import murmur2, murmur2_of, partition_of
from vpp_streams.domain.registry.registry import Registry

DEVICES = [f"pw-{n}" for n in range(4)]
SITES = [f"home-{n:0{n}}" for n in range(1, 6)]
records = st.builds(
    lambda site_id, region, numbers, feeder, history: Site(
        site_id,
        region,
        tuple(Device(DEVICES[n], "powerwall", rated_energy_wh=5000.0 + n) for n in sorted(numbers)),
        feeder=feeder,
        history=history,
    ),
    st.sampled_from(SITES),
    st.sampled_from(["coast", "north", "valley"]),
    st.sets(st.integers(0, 3), max_size=2),
    st.sampled_from([None, "f1"]),
    st.sampled_from(get_args(SiteState)).map(lambda state: (StateChange(state, 0),)) | st.just(()),
)


@given(st.lists(st.text(max_size=20)))
def test_many_hashes_at_once_are_kafkas_own(names: list[str]) -> None:
    column = pa.array(["cut off by the slice", *names], pa.string())[1:]
    assert murmur2_of(column).tolist() == [murmur2(name.encode()) for name in names]


@given(st.lists(st.lists(records, max_size=5), max_size=5))
def test_devices_are_found_with_their_sites(groups: list[list[Site]]) -> None:
    registry = Registry()
    for group in groups:  # columns are brought up to date after some records, not each
        for record in group:
            registry.apply(record)
        found = registry.columns.find(pa.array([*DEVICES, "never named"]))
        entries = [*(registry.device(device_id) for device_id in DEVICES), None]
        assert found.known.tolist() == [entry is not None for entry in entries]
        assert found.site_id.to_pylist() == [entry[1].site_id if entry else "" for entry in entries]
        for entry, site_hash in zip(entries, found.site_hash.tolist(), strict=True):
            assert entry is None or site_hash == murmur2(entry[1].site_id.encode())


@given(st.lists(st.lists(records, max_size=5), max_size=5))
def test_a_partition_knows_what_is_its_own(groups: list[list[Site]]) -> None:
    registry = Registry()
    for group in groups:
        for record in group:
            registry.apply(record)
        columns = registry.columns
        feeders: dict[str, set[str]] = {}
        active = [site for site in registry.sites() if site.state == "active"]
        for site in active:
            feeders.setdefault(site.region, set()).update({site.feeder} if site.feeder else ())
        assert columns.feeders_by_region() == feeders
        for partition in range(PARTITIONS):
            mine = [s for s in registry.sites() if partition_of(s.site_id, PARTITIONS) == partition]
            expected: dict[str, int] = {}
            for site in (site for site in mine if site in active):
                expected[site.region] = expected.get(site.region, 0) + 1
            assert columns.sites_by_region(partition) == expected
            rows = columns.device_index.find(pa.array(DEVICES))
            owners = [registry.device(device_id) for device_id in DEVICES]
            here = [
                row for row, entry in zip(rows, owners, strict=True) if entry and entry[1] in mine
            ]
            np.testing.assert_array_equal(columns.devices_of(partition), np.sort(here))
