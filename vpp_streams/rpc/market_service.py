"""MarketService: markets, bids, awards, and the reasons behind a bid."""

from collections.abc import Callable

from vpp.market.v1 import market_pb2 as pb
from vpp_streams.rpc.messages import message_of
from vpp_streams.rpc.methods import Call, Methods
from vpp_streams.serving.absent import no_bid, no_market
from vpp_streams.serving.market_views import MarketView
from vpp_streams.serving.needs import Of, at, some
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen


class MarketService:
    """Handlers of ``vpp.market.v1.MarketService``."""

    def __init__(self, model: ReadModel, now_ms: Callable[[], int]) -> None:
        self._model, self._now_ms = model, now_ms

    def methods(self) -> Methods:
        """The methods of these handlers."""
        methods = Methods(pb.DESCRIPTOR.services_by_name["MarketService"])
        region = at(Of.REGION, "read_market")
        methods.answer("ListMarkets", some("read_market"), self.list_markets)
        methods.answer("ListBids", region, self.list_bids)
        methods.answer("ListAwards", region, self.list_awards)
        methods.answer("ExplainBid", at(Of.BID, "read_market"), self.explain_bid)
        return methods

    async def list_markets(
        self, _request: pb.ListMarketsRequest, call: Call
    ) -> pb.ListMarketsResponse:
        """Every market of the last day, with the regions that the sender may see."""
        return message_of(
            pb.ListMarketsResponse, Seen(self._model, call.who).markets(self._now_ms())
        )

    async def list_bids(self, request: pb.ListBidsRequest, call: Call) -> pb.ListBidsResponse:
        """The bids of a region that have no outcome yet."""
        view = self._view(request.market, request.region, call)
        return message_of(pb.ListBidsResponse, view, bids=view.offers)

    async def list_awards(self, request: pb.ListAwardsRequest, call: Call) -> pb.ListAwardsResponse:
        """The newest outcomes of a region's bids."""
        view = self._view(request.market, request.region, call)
        return message_of(pb.ListAwardsResponse, view)

    async def explain_bid(self, request: pb.ExplainBidRequest, call: Call) -> pb.ExplainBidResponse:
        """A bid of the last day with everything behind it."""
        found = self._model.markets.bid(request.bid_id, self._now_ms())
        if found is None:
            raise no_bid(self._model, call.who, request.bid_id)
        return message_of(pb.ExplainBidResponse, found)

    def _view(self, market: str, region: str, call: Call) -> MarketView:
        if not self._model.markets.knows(market, region):
            raise no_market(self._model, call.who, market, region)
        return self._model.markets.view(market, region, 1, self._now_ms())
