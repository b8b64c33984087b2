"""The API of markets: prices, bids, awards, deliveries and money."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Header, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from vpp_streams.serving.absent import no_bid, no_market
from vpp_streams.serving.market_views import BidView, MarketList, MarketView
from vpp_streams.serving.needs import Of, at, some
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen
from vpp_streams.web.answers import Json
from vpp_streams.web.callers import known
from vpp_streams.web.openapi import answers
from vpp_streams.web.routes import Routes


class MarketApi:
    """Handlers of ``/markets`` and ``/bids``."""

    def __init__(self, model: ReadModel, now_ms: Callable[[], int]) -> None:
        self._model, self._markets = model, model.markets
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes = Routes("Markets")
        listed = answers(MarketList)
        routes.get("/markets", some("read_market"), responses=listed)(self.list_markets)
        unchanged = {304: {"description": "It has not changed since its ETag."}}
        routes.get(
            "/markets/{market}/{region}",
            at(Of.REGION, "read_market"),
            responses={**answers(MarketView, 404), **unchanged},
        )(self.market_view)
        bid = answers(BidView, 404)
        routes.get("/bids/{bid_id}", at(Of.BID, "read_market"), responses=bid)(self.bid_view)
        return routes

    async def list_markets(self, http: HttpRequest) -> Response:
        """Every market of the last day, its newest price, and what the sender's regions earned."""
        return Json(Seen(self._model, known(http.scope)).markets(self._now_ms()))

    async def market_view(
        self,
        http: HttpRequest,
        market: str,
        region: str,
        hours: Annotated[int, Query(ge=1, le=24, description="how far back")] = 6,
        if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        """A region in a market: intervals, open offers, awards and the plan; with an ETag."""
        if not self._markets.knows(market, region):
            raise no_market(self._model, known(http.scope), market, region)
        encoded = self._markets.encoded(market, region, hours, self._now_ms())
        headers = {"ETag": encoded.tag, "Cache-Control": "private, no-cache"}
        # Proxies weaken tags (W/"...") and the header may list several; our quoted tag is unique.
        if if_none_match is not None and encoded.tag in if_none_match:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(encoded.content, headers=headers, media_type="application/json")

    async def bid_view(self, http: HttpRequest, bid_id: str) -> Response:
        """A bid of the last day, with its outcome and delivery."""
        found = self._markets.bid(bid_id, self._now_ms())
        if found is None:
            raise no_bid(self._model, known(http.scope), bid_id)
        return Json(found)
