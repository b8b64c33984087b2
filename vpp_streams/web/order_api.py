"""The API of orders: operators' requests to regions, and announcements of storms."""

from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.dispatch import Request, Withdraw
from schemas.grid import Alert
from vpp_streams.web.answers import Json
from vpp_streams.web.control_views import HoldOrder, LimitOrder, Ordered, StormOrder, TargetOrder
from vpp_streams.web.desk import Desk, as_answer
from vpp_streams.web.openapi import answers, takes_order
from vpp_streams.web.operators import Operator
from vpp_streams.web.orders import body_of, ordering_operator
from vpp_streams.web.parameters import router
from vpp_streams.web.problems import ApiError

_ORDERED = answers(Ordered, 401, 403, 409, 422, 429, 503, ok=(201, 202))


class OrderApi:
    """Handlers that need an operator's token."""

    def __init__(self, desk: Desk, has_operators: bool) -> None:
        """``has_operators`` is false if there is no file of operators."""
        self._desk = desk
        self._has_operators = has_operators

    def routes(self) -> APIRouter:
        """The paths of these handlers."""
        routes, region = router("Orders"), "/regions/{region}"
        routes.post(f"{region}/targets", **_order(TargetOrder))(self.target)
        routes.post(f"{region}/limits", **_order(LimitOrder))(self.limit)
        routes.post(f"{region}/hold", **_order(HoldOrder))(self.hold)
        routes.post(region + "/requests/{request_id}/withdraw", **_order(None, 404))(self.withdraw)
        routes.post("/alerts", **_order(StormOrder))(self.storm)
        routes.post("/alerts/{alert_id}/cancel", **_order(None, 404))(self.cancel)
        return routes

    async def _ordered(self, request: Request, by: Operator) -> Response:
        event = await self._desk.submit(request)
        if event is not None and event.state == "rejected":
            hint = f"request {request.request_id}" + (f"; see {event.by}" if event.by else "")
            raise ApiError(HTTPStatus.CONFLICT, event.reason or "rejected", hint)
        status = HTTPStatus.ACCEPTED if event is None else HTTPStatus.CREATED
        return Json(as_answer(request, event, by), status)

    async def _announced(self, alert: Alert, by: Operator) -> Response:
        await self._desk.announce(alert)
        return Json(as_answer(alert, None, by), HTTPStatus.CREATED)

    async def target(self, region: str, http: HttpRequest) -> Response:
        """Request power from a region's batteries until an end. Right: dispatch (and emergency)."""
        by = ordering_operator(http, self._has_operators)
        self._desk.permit(by, "dispatch", region)
        order = await body_of(http, TargetOrder)
        if order.priority == "emergency":
            self._desk.permit(by, "emergency", region)
        return await self._ordered(self._desk.target(region, order, by), by)

    async def limit(self, region: str, http: HttpRequest) -> Response:
        """Keep the sum of a region's (or a feeder's) connections within limits. Right: limit."""
        by = ordering_operator(http, self._has_operators)
        self._desk.permit(by, "limit", region)
        return await self._ordered(
            self._desk.limit(region, await body_of(http, LimitOrder), by), by
        )

    async def hold(self, region: str, http: HttpRequest) -> Response:
        """The kill switch: command no device of the region until withdrawn. Right: hold."""
        by = ordering_operator(http, self._has_operators)
        self._desk.permit(by, "hold", region)
        order = await body_of(http, HoldOrder, HoldOrder())
        return await self._ordered(self._desk.hold(region, order.reason, by), by)

    async def withdraw(self, region: str, request_id: str, http: HttpRequest) -> Response:
        """End a request (or a hold) before its end. Right: that of the request."""
        by = ordering_operator(http, self._has_operators)
        request: Withdraw = self._desk.withdraw(region, request_id, by)
        return await self._ordered(request, by)

    async def storm(self, http: HttpRequest) -> Response:
        """Announce a storm: batteries are filled and reserved for their owners. Right: storm."""
        by = ordering_operator(http, self._has_operators)
        self._desk.permit(by, "storm")
        return await self._announced(self._desk.storm(await body_of(http, StormOrder), by), by)

    async def cancel(self, alert_id: str, http: HttpRequest) -> Response:
        """Cancel a storm. Right: storm."""
        by = ordering_operator(http, self._has_operators)
        return await self._announced(self._desk.cancelled(alert_id, by), by)


def _order(body: type[msgspec.Struct] | None, *problems: int) -> dict[str, Any]:
    """Arguments of a route that takes an order with this body."""
    more = answers(Ordered, *problems) if problems else {}
    return {
        "status_code": HTTPStatus.CREATED,
        "responses": {**more, **_ORDERED},
        "openapi_extra": takes_order(body),
    }
