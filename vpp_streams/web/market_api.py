"""The API of markets: prices, bids, awards, deliveries and money."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from vpp_streams.web.answers import Json
from vpp_streams.web.market_answers import MarketAnswers
from vpp_streams.web.market_views import BidView, MarketList, MarketView
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import router
from vpp_streams.web.problems import ApiError


class MarketApi:
    """Handlers of ``/markets`` and ``/bids``."""

    def __init__(self, markets: MarketAnswers, now_ms: Callable[[], int]) -> None:
        self._markets = markets
        self._now_ms = now_ms

    def routes(self) -> APIRouter:
        """The paths of these handlers."""
        routes = router("Markets")
        routes.get("/markets", responses=answers(MarketList))(self.list_markets)
        routes.get(
            "/markets/{market}/{region}",
            responses={
                **answers(MarketView, 404),
                304: {"description": "It has not changed since its ETag."},
            },
        )(self.market_view)
        routes.get("/bids/{bid_id}", responses=answers(BidView, 404))(self.bid_view)
        return routes

    async def list_markets(self) -> Response:
        """Every market of the last day, its newest price, and what regions earned in it."""
        return Json(self._markets.all(self._now_ms()))

    async def market_view(
        self,
        market: str,
        region: str,
        hours: Annotated[int, Query(ge=1, le=24, description="how far back")] = 6,
        if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        """A region in a market: intervals, open offers, awards and the plan; with an ETag."""
        if not self._markets.knows(market, region):
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no record of region {region[:64]!r} in a market {market[:64]!r}",
                f"there are: {', '.join(self._markets.names()[:20]) or 'none yet'}",
            )
        encoded = self._markets.encoded(market, region, hours, self._now_ms())
        headers = {"ETag": encoded.tag, "Cache-Control": "no-cache"}
        # Proxies weaken tags (W/"...") and the header may list several; our quoted tag is unique.
        if if_none_match is not None and encoded.tag in if_none_match:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(encoded.content, headers=headers, media_type="application/json")

    async def bid_view(self, bid_id: str) -> Response:
        """A bid of the last day, with its outcome and delivery."""
        found = self._markets.bid(bid_id, self._now_ms())
        if found is None:
            newest = ", ".join(self._markets.newest_ids(3)) or "there is none yet"
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no record of a bid {bid_id[:200]!r} in the last day",
                f"`vpp explain` reads older ones from the topic; the newest: {newest}",
            )
        return Json(found)
