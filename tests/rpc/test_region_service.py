"""Regions over gRPC: now, deliverable, windows."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from msgspec.structs import replace

from tests.support.rpc_world import RpcWorld
from tests.support.web_records import NOW_MS
from tests.support.web_world import fed_read_model, feed_control
from vpp.region.v1 import region_pb2 as pb
from vpp_streams.serving.readmodel import ReadModel

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[RpcWorld]:
    model = fed_read_model()
    feed_control(model)
    async with RpcWorld(model).running() as world:
        yield world


async def test_a_region_is_as_in_the_read_model(world: RpcWorld) -> None:
    answer = await world.call("RegionService.GetRegion", pb.GetRegionRequest(region="north"))
    region, view = answer.region, world.model.region_now("north", NOW_MS)
    assert (region.grid_w, region.soc, region.coverage) == (view.grid_w, view.soc, view.coverage)
    assert [one.up_w for one in region.deliverable] == [one.up_w for one in view.deliverable]
    assert (region.standing.level, region.stale) == (view.standing.level, False)


async def test_what_is_not_measured_is_not_set(world: RpcWorld) -> None:
    model = fed_read_model()
    live = model.regions._regions["north"].live  # noqa: SLF001 - one record with nothing in it
    assert live is not None
    silent = replace(live.aggregate, sites_reporting=0)
    model.regions.apply_live(replace(live, soc=None, aggregate=silent), NOW_MS)
    async with RpcWorld(model).running() as other:
        answer = await other.call("RegionService.GetRegion", pb.GetRegionRequest(region="north"))
    for name in ("soc", "battery_w", "grid_w", "solar_w", "load_w"):
        assert not answer.region.HasField(name), name


@pytest.mark.parametrize(
    ("duration_s", "of_s"), [(1, 900), (900, 900), (901, 3600), (14400, 14400)]
)
async def test_deliverable_is_that_of_the_next_longer_duration(
    world: RpcWorld, duration_s: int, of_s: int
) -> None:
    request = pb.GetDeliverableRequest(region="north", duration_s=duration_s)
    answer = await world.call("RegionService.GetDeliverable", request)
    assert answer.deliverable.duration_s == of_s
    assert answer.HasField("commandable") is (of_s == 900)  # the region role knows no longer one
    assert 0 < answer.coverage < 1


@pytest.mark.parametrize("duration_s", [0, -1, 14401, 2**31 - 1])
async def test_a_duration_that_is_not_known_names_the_field(
    world: RpcWorld, duration_s: int
) -> None:
    request = pb.GetDeliverableRequest(region="north", duration_s=duration_s)
    refused = await world.refused("RegionService.GetDeliverable", request)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [one.field for one in refused.bad.field_violations] == ["duration_s"]
    assert (refused.info.reason, refused.info.domain) == ("NOT_VALID", "vpp_streams")


async def test_without_a_report_of_the_region_role_nothing_is_commandable() -> None:
    async with RpcWorld(fed_read_model()).running() as world:
        request = pb.GetDeliverableRequest(region="south", duration_s=60)
        answer = await world.call("RegionService.GetDeliverable", request)
    assert not answer.HasField("commandable")


async def test_windows_come_newest_first(world: RpcWorld) -> None:
    request = pb.ListRegionWindowsRequest(region="north", limit=3)
    answer = await world.call("RegionService.ListRegionWindows", request)
    starts = [window.start_ms for window in answer.windows]
    assert len(starts) == 3
    assert starts == sorted(starts, reverse=True)
    for bad in ({"size_s": 61}, {"limit": 241}, {"limit": -1}):
        request = pb.ListRegionWindowsRequest(region="north", **bad)
        refused = await world.refused("RegionService.ListRegionWindows", request)
        assert [one.field for one in refused.bad.field_violations] == list(bad)


async def test_a_region_without_a_record_is_not_there() -> None:
    async with RpcWorld(ReadModel(NOW_MS)).running() as world:
        for name, request in (
            ("RegionService.GetRegion", pb.GetRegionRequest(region="x" * 500)),
            ("RegionService.WatchRegion", pb.WatchRegionRequest(region="\x00")),
        ):
            refused = await world.refused(name, request)
            assert refused.code is grpc.StatusCode.NOT_FOUND
            assert len(refused.error or "") < 200
