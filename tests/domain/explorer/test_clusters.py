"""Clusters have every site with a position once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.explorer_world import ExplorerWorld, home, working
from vpp_streams.domain.explorer.clusters import Box, box_of, clusters, placed
from vpp_streams.domain.explorer.site_query import SiteQuery, rows_of
from vpp_streams.domain.explorer.site_values import LEVELS

EVERYWHERE = Box(-90, -180, 90, 180)


@given(
    places=st.lists(
        st.one_of(st.none(), st.tuples(st.floats(-85, 85), st.floats(-179, 179))), max_size=20
    ),
    cell_deg=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_every_site_with_a_position_is_in_one_cluster(
    places: list[tuple[float, float] | None], cell_deg: float
) -> None:
    world = ExplorerWorld(
        *(
            home(n, latitude=place[0] if place else None, longitude=place[1] if place else None)
            for n, place in enumerate(places)
        )
    )
    values = world.values()
    rows = rows_of(SiteQuery(), world.registry, world.table, values)
    on_map = placed(rows, world.table)
    found = clusters(on_map, world.table, values, EVERYWHERE, cell_deg)
    known = [place for place in places if place]
    assert sum(sum(one.counts) for one in found) == len(known)
    cells = {(np.floor(lat / cell_deg), np.floor(lng / cell_deg)) for lat, lng in known}
    assert len(found) == len(cells)
    box = box_of(on_map, world.table)
    assert (box is None) == (not known)
    if box is not None:
        assert all(
            box.south <= lat <= box.north and box.west <= lng <= box.east for lat, lng in known
        )


def test_a_cluster_counts_its_sites_by_level_and_only_those_in_the_box() -> None:
    world = working(1, latitude=50.1, longitude=8.1)
    world.registry.apply(home(2, latitude=50.3, longitude=8.3))
    world.registry.apply(home(3, latitude=60.0, longitude=8.0))
    values = world.values()
    rows = rows_of(SiteQuery(), world.registry, world.table, values)
    [one] = clusters(rows, world.table, values, Box(49, 7, 51, 9), 1.0)
    assert dict(zip(LEVELS, one.counts, strict=True)) == {
        "good": 1,
        "warn": 0,
        "bad": 1,
        "quiet": 0,
    }
    assert (one.latitude, one.longitude) == pytest.approx((50.2, 8.2))
