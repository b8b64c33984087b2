"""Every method tried as each role: whoever may not see a place finds it by no method.

What is tried comes from the services' own declarations, and these from the contracts, so that a new
method is covered from its first day.
"""

import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.protobuf.message import Message

from tests.support.rights_world import HOLDERS, NOWHERE, OTHERS, PLACES, allowed, fed
from tests.support.rpc_world import Refused, RpcWorld
from tests.support.web_world import TWIN, fleet_that_answers
from vpp.dispatch.v1 import dispatch_pb2
from vpp.fleet.v1 import fleet_pb2
from vpp.market.v1 import market_pb2
from vpp.region.v1 import region_pb2
from vpp_streams.domain.access.rights import READS, grant_of
from vpp_streams.rpc.methods import Method
from vpp_streams.serving.needs import Of
from vpp_streams.serving.twins import FleetWorker

pytestmark = pytest.mark.asyncio(loop_scope="module")
HIDDEN = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)
CONTRACTS = (fleet_pb2, region_pb2, dispatch_pb2, market_pb2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[RpcWorld]:
    fleet = FleetWorker("http://fleet.test", fleet_that_answers(httpx.Response(200, json=TWIN)))
    async with RpcWorld(fed(), fleet=fleet).running() as world:
        yield world


def request_of(method: Method, places: dict[str, str]) -> Message:
    """A request that is valid, about these places."""
    fields = method.descriptor.input_type.fields_by_name
    values: dict[str, object] = {name: places[name] for name in fields if name in places}
    if "duration_s" in fields:
        values["duration_s"] = 900
    if "for_s" in fields:
        values |= {"for_s": 60.0, "export_w" if "export_w" in fields else "export_limit_w": 1.0}
    return method.request_type(**values)


async def asked(
    world: RpcWorld, method: Method, places: dict[str, str], metadata: object
) -> Message | Refused:
    """The answer to a call (of a stream: its first message), or its refusal."""
    call = world.call(method.name, request_of(method, places), metadata)
    try:
        if method.watch is None:
            found: Message = await call
        else:
            found = await call.read()
            call.cancel()
    except grpc.aio.AioRpcError as error:
        return Refused(error)
    return found


async def test_every_method_of_the_contracts_has_declared_what_it_needs() -> None:
    world = RpcWorld(fed())
    promised = {
        f"{service.name}.{method.name}"
        for module in CONTRACTS
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert len(promised) > 15
    assert world.methods.keys() == promised
    nobody = {Of.NOBODY, Of.ONESELF, Of.BROWSER}
    assert not [name for name, method in world.methods.items() if method.need.of in nobody]


async def test_a_method_that_is_not_declared_is_not_there(world: RpcWorld) -> None:
    stub: Any = world.channel.unary_unary("/vpp.fleet.v1.FleetService/Secrets")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub(b"", metadata=world.metadata())
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "metadata", [(), (("authorization", "Bearer wrong"),), (("authorization", "Basic YTpi"),)]
)
async def test_without_a_token_nothing_is_answered(
    world: RpcWorld, metadata: tuple[tuple[str, str], ...]
) -> None:
    world.kafka.written.clear()
    for method in world.methods.values():
        refused = await asked(world, method, PLACES, metadata)
        assert isinstance(refused, Refused), method.name
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        assert refused.info.reason == "TOKEN_NOT_ACCEPTED"
    assert world.kafka.written == []


@pytest.mark.parametrize(("role", "scope"), HOLDERS)
async def test_each_method_answers_a_role_as_the_table_says(
    world: RpcWorld, role: str, scope: str
) -> None:
    metadata = world.metadata(role, scope)
    for method in world.methods.values():
        world.kafka.written.clear()
        answer = await asked(world, method, PLACES, metadata)
        refused = isinstance(answer, Refused) and answer.code in HIDDEN
        if method.name != "DispatchService.Withdraw":
            assert refused is not allowed(method.need, role, scope), (method.name, answer)
        if refused:
            assert world.kafka.written == [], method.name
        else:
            assert not isinstance(answer, Refused), (method.name, answer.error)


@pytest.mark.parametrize(("role", "scope"), [h for h in HOLDERS if h[1] != "*"])
async def test_what_is_not_in_sight_is_as_what_does_not_exist(
    world: RpcWorld, role: str, scope: str
) -> None:
    metadata = world.metadata(role, scope)
    for method in world.methods.values():
        if not method.places(request_of(method, PLACES)) or method.need.of is Of.SOME:
            continue
        other = await asked(world, method, OTHERS, metadata)
        nothing = await asked(world, method, NOWHERE, metadata)
        assert isinstance(other, Refused), method.name
        assert isinstance(nothing, Refused), method.name
        assert other.code == nothing.code
        assert said(other, OTHERS) == said(nothing, NOWHERE), method.name


def said(refused: Refused, places: dict[str, str]) -> str:
    text = f"{refused.error} {refused.info}"
    for name in sorted(places, key=lambda n: -len(places[n])):
        text = text.replace(places[name], f"<{name}>")
    return text


@pytest.mark.parametrize("role", ["owner", "installer", "viewer"])
async def test_who_sees_one_home_finds_no_other(world: RpcWorld, role: str) -> None:
    metadata = world.metadata(role, "site:home-001")
    sites = await world.call("FleetService.ListSites", fleet_pb2.ListSitesRequest(), metadata)
    assert ([site.site_id for site in sites.sites], sites.total) == (["home-001"], 1)
    for method in world.methods.values():
        for places in (PLACES, OTHERS):
            answer = await asked(world, method, places, metadata)
            named = set(method.places(request_of(method, places)).values())
            text = answer.error if isinstance(answer, Refused) else str(answer)
            found = set(re.findall(r"\b(?:home|pw)-\d{3}\b", text or ""))
            assert found <= named | {"home-001", "pw-001"}, method.name


async def test_lists_are_cut_to_a_region(world: RpcWorld) -> None:
    metadata = world.metadata("operator", "region:north")
    regions = await world.call(
        "RegionService.ListRegions", region_pb2.ListRegionsRequest(), metadata
    )
    assert [one.region for one in regions.regions] == ["north"]
    request = fleet_pb2.ListSitesRequest(page_size=500)
    sites = await world.call("FleetService.ListSites", request, metadata)
    assert {site.region for site in sites.sites} == {"north"}
    markets = await world.call(
        "MarketService.ListMarkets", market_pb2.ListMarketsRequest(), metadata
    )
    assert [one.region for market in markets.markets for one in market.regions] == ["north"]


async def test_an_emergency_needs_its_own_right(world: RpcWorld) -> None:
    account = world.entrance.add("no-emergencies", ("operator", "*"))
    word = world.entrance.accounts.sessions.add_token(
        account, "orders", (*READS, "dispatch"), now_ms=world.now_ms(), days=1
    )
    metadata = (("authorization", f"Bearer {word}"),)
    request = dispatch_pb2.RequestPowerRequest(region="north", export_w=1.0, for_s=60)
    await world.call("DispatchService.RequestPower", request, metadata)
    world.kafka.written.clear()
    request.priority = dispatch_pb2.PRIORITY_EMERGENCY
    refused = await world.refused("DispatchService.RequestPower", request, metadata)
    assert (refused.code, world.kafka.written) == (grpc.StatusCode.PERMISSION_DENIED, [])
    assert "'emergency'" in (refused.error or "")
    assert "no-emergencies may: dispatch" in refused.info.metadata["hint"]


async def test_an_account_without_a_role_is_told_so(world: RpcWorld) -> None:
    world.entrance.add("newcomer")
    metadata = (("authorization", f"Bearer {world.entrance.token(name='newcomer')}"),)
    refused = await world.refused(
        "RegionService.ListRegions", region_pb2.ListRegionsRequest(), metadata
    )
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert "vpp accounts role" in refused.info.metadata["hint"]
    world.entrance.accounts.people.grant(
        world.entrance.accounts.people.named("newcomer"), grant_of("viewer", "*")
    )
    await world.call("RegionService.ListRegions", region_pb2.ListRegionsRequest(), metadata)


async def test_each_order_is_in_the_audit_trail(world: RpcWorld) -> None:
    audit = world.entrance.accounts.audit
    metadata = world.metadata("operator", "region:north")
    audit.published(audit.waiting(10_000))
    orders = [method for method in world.methods.values() if method.order]
    for method in orders:
        for places in (PLACES, OTHERS):
            await asked(world, method, places, metadata)
    events = audit.waiting()
    assert len(events) == 2 * len(orders) == 8
    assert {event.who for event in events} == {"operator-region-north"}
    assert {event.result for event in events[1::2]} == {"refused"}
    held = next(event for event in events if event.action == "DispatchService.Hold")
    assert (held.target, held.result, held.how) == ("region=north", "done", "token")
    assert re.fullmatch(r"hold-[0-9a-f]{12} written", held.detail)
    assert held.address == "127.0.0.1"


async def test_an_address_that_guesses_is_locked_out() -> None:
    async with RpcWorld(fed()).running() as world:
        for _ in range(5):
            wrong = (("authorization", f"Bearer {world.entrance.token()}x"),)
            refused = await world.refused(
                "RegionService.ListRegions", region_pb2.ListRegionsRequest(), wrong
            )
            assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        refused = await world.refused("RegionService.ListRegions", region_pb2.ListRegionsRequest())
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.retry.retry_delay.seconds > 0
