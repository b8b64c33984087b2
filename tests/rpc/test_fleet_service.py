"""Sites over gRPC: pages, twins, windows."""

from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
import pytest_asyncio

from tests.support.rpc_world import RpcWorld
from tests.support.web_world import TWIN, fed_read_model, fleet_that_answers
from vpp.fleet.v1 import fleet_pb2 as pb
from vpp_streams.serving.twins import FleetWorker

pytestmark = pytest.mark.asyncio(loop_scope="module")


def worker(answer: httpx.Response | Exception) -> FleetWorker:
    return FleetWorker("http://fleet.test", fleet_that_answers(answer))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[RpcWorld]:
    fleet = worker(httpx.Response(200, json=TWIN))
    async with RpcWorld(fed_read_model(), fleet=fleet).running() as world:
        yield world


async def test_pages_follow_each_other_to_the_end(world: RpcWorld) -> None:
    found, token, pages = [], "", 0
    while pages == 0 or token:
        request = pb.ListSitesRequest(page_size=7, page_token=token)
        page = await world.call("FleetService.ListSites", request)
        found += [site.site_id for site in page.sites]
        token, pages = page.next_page_token, pages + 1
        assert page.total == 30
    assert found == sorted(found)
    assert (len(found), pages) == (30, 5)
    some = pb.ListSitesRequest(region="south", text="home-02")
    page = await world.call("FleetService.ListSites", some)
    assert {site.region for site in page.sites} == {"south"}
    assert page.sites[0].state == pb.SITE_STATE_ACTIVE
    assert page.sites[0].rated_energy_wh > 0


async def test_a_twin_has_what_was_measured_and_nothing_else(world: RpcWorld) -> None:
    request = pb.GetTwinRequest(site_id="home-001")
    twin = await world.call("FleetService.GetTwin", request)
    [device] = twin.devices
    assert (device.battery_w, device.islanded, device.quality) == (1200.0, False, "ok")
    assert device.HasField("islanded")
    assert not device.HasField("voltage_v")
    assert (device.desired.state, device.desired.standing) == ("applied", True)


@pytest.mark.parametrize(
    "answer", [httpx.ConnectError("refused"), httpx.Response(500), httpx.Response(200, text="{")]
)
async def test_a_worker_that_does_not_answer_is_unavailable(
    answer: httpx.Response | Exception,
) -> None:
    async with RpcWorld(fed_read_model(), fleet=worker(answer)).running() as world:
        request = pb.GetTwinRequest(site_id="home-001")
        refused = await world.refused("FleetService.GetTwin", request)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert "fleet worker" in (refused.error or "")


async def test_windows_come_newest_first_with_their_statistics(world: RpcWorld) -> None:
    request = pb.ListSiteWindowsRequest(site_id="home-001", limit=5)
    windows = (await world.call("FleetService.ListSiteWindows", request)).windows
    starts = [window.start_ms for window in windows]
    assert len(starts) == 5
    assert starts == sorted(starts, reverse=True)
    known = world.model.sites.windows("home-001", 60, 1)[0].battery
    assert known is not None
    assert windows[0].battery.mean_w == known.mean_w
    long = pb.ListSitesRequest(text="x" * 65)
    refused = await world.refused("FleetService.ListSites", long)
    assert [one.field for one in refused.bad.field_violations] == ["text"]
