"""The API of markets: prices, bids, awards, deliveries and money."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response

from vpp_streams.web.answers import Json
from vpp_streams.web.market_answers import MarketAnswers
from vpp_streams.web.market_views import BidView, MarketList, MarketView
from vpp_streams.web.openapi import answers
from vpp_streams.web.problems import ApiError, refuse_unknown_parameters


def market_routes(markets: MarketAnswers, now_ms: Callable[[], int]) -> APIRouter:
    """What everybody may see of markets."""
    routes = APIRouter(tags=["Markets"], dependencies=[Depends(refuse_unknown_parameters)])

    @routes.get("/markets", responses=answers(MarketList))
    async def list_markets() -> Response:
        """Every market of the last day, its newest price, and what regions earned in it."""
        return Json(markets.all(now_ms()))

    @routes.get(
        "/markets/{market}/{region}",
        responses={**answers(MarketView, 404), 304: {"description": "It is as its ETag says."}},
    )
    async def market_view(
        market: str,
        region: str,
        hours: Annotated[int, Query(ge=1, le=24, description="how far back")] = 6,
        if_none_match: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        """A region in a market: intervals, open offers, awards and the plan; with an ETag."""
        if not markets.knows(market, region):
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"nothing was heard of region {region[:64]!r} in a market {market[:64]!r}",
                f"there are: {', '.join(markets.names()[:20]) or 'none yet'}",
            )
        encoded = markets.encoded(market, region, hours, now_ms())
        headers = {"ETag": encoded.tag, "Cache-Control": "no-cache"}
        # Proxies weaken tags (W/"...") and there may be several: ours is quoted, and unlike others.
        if if_none_match is not None and encoded.tag in if_none_match:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(encoded.content, headers=headers, media_type="application/json")

    @routes.get("/bids/{bid_id}", responses=answers(BidView, 404))
    async def bid_view(bid_id: str) -> Response:
        """A bid of the last day, with all that became of it."""
        found = markets.bid(bid_id, now_ms())
        if found is None:
            newest = ", ".join(markets.newest_ids(3)) or "there is none yet"
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"nothing was heard of a bid {bid_id[:200]!r} in the last day",
                f"`vpp explain` reads older ones from the topic; the newest: {newest}",
            )
        return Json(found)

    return routes
