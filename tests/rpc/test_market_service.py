"""Markets over gRPC: open bids, outcomes, and what is behind a bid."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from tests.support.market_feed import OPEN_MS, at, feed_market
from tests.support.rpc_world import RpcWorld
from tests.support.web_records import NOW_MS
from tests.support.web_world import fed_read_model
from vpp.market.v1 import market_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[RpcWorld]:
    model = fed_read_model()
    feed_market(model, intervals=3)
    async with RpcWorld(model).running() as world:
        yield world


async def test_markets_bids_and_awards_are_those_of_the_read_model(world: RpcWorld) -> None:
    markets = (await world.call("MarketService.ListMarkets", pb.ListMarketsRequest())).markets
    assert [market.market for market in markets] == ["sim"]
    view = world.model.markets.view("sim", "north", 1, NOW_MS)
    bids = await world.call(
        "MarketService.ListBids", pb.ListBidsRequest(market="sim", region="north")
    )
    assert [bid.bid_id for bid in bids.bids] == [offer.bid_id for offer in view.offers]
    assert bids.bids[0].energy.steps
    awards = await world.call(
        "MarketService.ListAwards", pb.ListAwardsRequest(market="sim", region="north")
    )
    assert [one.bid_id for one in awards.awards] == [row.bid_id for row in view.awards]
    assert awards.currency == view.currency


async def test_a_bid_is_explained_with_the_offsets_of_its_inputs(world: RpcWorld) -> None:
    bid_id = world.model.markets.view("sim", "north", 1, NOW_MS).awards[0].bid_id
    found = await world.call("MarketService.ExplainBid", pb.ExplainBidRequest(bid_id=bid_id))
    known = world.model.markets.bid(bid_id, NOW_MS)
    assert known is not None
    assert known.bid is not None
    assert found.bid.rung == known.bid.rung
    assert [one.offset for one in found.bid.sources] == [one.offset for one in known.bid.sources]
    assert found.HasField("award") is (known.award is not None)
    assert found.HasField("delivery") is (known.delivery is not None)
    open_bid = pb.ExplainBidRequest(bid_id=at(OPEN_MS))
    unknown = await world.call("MarketService.ExplainBid", open_bid)
    assert unknown.state in (pb.BID_STATE_OPEN, pb.BID_STATE_CLOSED)
    assert not unknown.HasField("award")


async def test_a_market_that_is_not_there_offers_what_is(world: RpcWorld) -> None:
    request = pb.ListBidsRequest(market="moon", region="north")
    refused = await world.refused("MarketService.ListBids", request)
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert "sim/north" in refused.info.metadata["hint"]
