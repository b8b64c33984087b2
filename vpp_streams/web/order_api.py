"""The API of orders: requests to regions, and announcements of storms."""

from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.dispatch import Request, Withdraw
from schemas.grid import Alert
from vpp_streams.domain.access.rights import ORDERS, Principal
from vpp_streams.serving.control_views import (
    HoldOrder,
    LimitOrder,
    Ordered,
    StormOrder,
    TargetOrder,
)
from vpp_streams.serving.desk import Desk, as_answer
from vpp_streams.serving.needs import Need, orders, some
from vpp_streams.web.answers import Json
from vpp_streams.web.bodies import body_of
from vpp_streams.web.callers import known, set_outcome
from vpp_streams.web.openapi import answers, takes_order
from vpp_streams.web.routes import Routes

_ORDERED = answers(Ordered, 401, 403, 409, 422, 429, 503, ok=(201, 202))


class OrderApi:
    """Handlers that need a right to give orders."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes, region = Routes("Orders"), "/regions/{region}"

        def add(path: str, need: Need, body: type[msgspec.Struct] | None, *problems: int) -> Any:
            return routes.post(path, need, **_order(body, *problems))

        add(f"{region}/targets", orders("dispatch"), TargetOrder)(self.target)
        add(f"{region}/limits", orders("limit"), LimitOrder)(self.limit)
        add(f"{region}/hold", orders("hold"), HoldOrder)(self.hold)
        one = region + "/requests/{request_id}/withdraw"
        add(one, some(*ORDERS), None, 404)(self.withdraw)
        add("/alerts", some("storm"), StormOrder)(self.storm)
        add("/alerts/{alert_id}/cancel", some("storm"), None, 404)(self.cancel)
        return routes

    async def _ordered(self, request: Request, http: HttpRequest) -> Response:
        ordered = await self._desk.order(request, known(http.scope))
        set_outcome(http.scope, f"{ordered.request_id} {ordered.state}")
        status = HTTPStatus.ACCEPTED if ordered.state == "written" else HTTPStatus.CREATED
        return Json(ordered, status)

    async def _announced(self, alert: Alert, by: Principal, http: HttpRequest) -> Response:
        await self._desk.announce(alert)
        set_outcome(http.scope, f"{alert.alert_id} written")
        return Json(as_answer(alert, None, by), HTTPStatus.CREATED)

    async def target(self, region: str, http: HttpRequest) -> Response:
        """Request power from a region's batteries until an end. Right: dispatch (and emergency)."""
        by = known(http.scope)
        self._desk.permit(by, "dispatch", region)
        order = await body_of(http, TargetOrder)
        if order.priority == "emergency":
            self._desk.permit(by, "emergency", region)
        return await self._ordered(self._desk.target(region, order, by), http)

    async def limit(self, region: str, http: HttpRequest) -> Response:
        """Keep the sum of a region's (or a feeder's) connections within limits. Right: limit."""
        by = known(http.scope)
        self._desk.permit(by, "limit", region)
        order = await body_of(http, LimitOrder)
        return await self._ordered(self._desk.limit(region, order, by), http)

    async def hold(self, region: str, http: HttpRequest) -> Response:
        """The kill switch: command no device of the region until withdrawn. Right: hold."""
        by = known(http.scope)
        self._desk.permit(by, "hold", region)
        order = await body_of(http, HoldOrder, HoldOrder())
        return await self._ordered(self._desk.hold(region, order.reason, by), http)

    async def withdraw(self, region: str, request_id: str, http: HttpRequest) -> Response:
        """End a request (or a hold) before its end. Right: that of the request."""
        by = known(http.scope)
        request: Withdraw = self._desk.withdraw(region, request_id, by)
        return await self._ordered(request, http)

    async def storm(self, http: HttpRequest) -> Response:
        """Announce a storm: batteries are filled and reserved for their owners. Right: storm."""
        by = known(http.scope)
        self._desk.permit(by, "storm")
        alert = self._desk.storm(await body_of(http, StormOrder), by)
        return await self._announced(alert, by, http)

    async def cancel(self, alert_id: str, http: HttpRequest) -> Response:
        """Cancel a storm. Right: storm."""
        by = known(http.scope)
        return await self._announced(self._desk.cancelled(alert_id, by), by, http)


def _order(body: type[msgspec.Struct] | None, *problems: int) -> dict[str, Any]:
    """Arguments of a route that takes an order with this body."""
    more = answers(Ordered, *problems) if problems else {}
    return {
        "status_code": HTTPStatus.CREATED,
        "responses": {**more, **_ORDERED},
        "openapi_extra": takes_order(body),
    }
