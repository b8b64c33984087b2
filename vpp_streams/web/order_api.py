"""The API of orders: operators' requests to regions, and announcements of storms."""

from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.dispatch import Request, Withdraw
from schemas.grid import Alert
from schemas.wire import UNREADABLE
from vpp_streams.web.answers import Json
from vpp_streams.web.callers import operator_of
from vpp_streams.web.control_views import HoldOrder, LimitOrder, Ordered, StormOrder, TargetOrder
from vpp_streams.web.desk import Desk, as_answer
from vpp_streams.web.logins import unknown
from vpp_streams.web.openapi import answers, takes_order
from vpp_streams.web.operators import MAKE_ONE, Operator
from vpp_streams.web.parameters import router
from vpp_streams.web.problems import ApiError

MAX_BODY = 64 * 1024
T = TypeVar("T", bound=msgspec.Struct)
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

    def _operator(self, http: HttpRequest) -> Operator:
        if not self._has_operators:
            raise ApiError(HTTPStatus.FORBIDDEN, "nobody may give orders here", MAKE_ONE)
        holder = operator_of(http.scope)
        if holder is None:
            hint = "send it as `Authorization: Bearer <token>`"
            raise unknown("an order needs a token", hint)
        return holder

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
        by = self._operator(http)
        self._desk.permit(by, "dispatch", region)
        order = await _body(http, TargetOrder)
        if order.priority == "emergency":
            self._desk.permit(by, "emergency", region)
        return await self._ordered(self._desk.target(region, order, by), by)

    async def limit(self, region: str, http: HttpRequest) -> Response:
        """Keep the sum of a region's (or a feeder's) connections within limits. Right: limit."""
        by = self._operator(http)
        self._desk.permit(by, "limit", region)
        return await self._ordered(self._desk.limit(region, await _body(http, LimitOrder), by), by)

    async def hold(self, region: str, http: HttpRequest) -> Response:
        """The kill switch: command no device of the region until withdrawn. Right: hold."""
        by = self._operator(http)
        self._desk.permit(by, "hold", region)
        order = await _body(http, HoldOrder, HoldOrder())
        return await self._ordered(self._desk.hold(region, order.reason, by), by)

    async def withdraw(self, region: str, request_id: str, http: HttpRequest) -> Response:
        """End a request (or a hold) before its end. Right: that of the request."""
        by = self._operator(http)
        request: Withdraw = self._desk.withdraw(region, request_id, by)
        return await self._ordered(request, by)

    async def storm(self, http: HttpRequest) -> Response:
        """Announce a storm: batteries are filled and reserved for their owners. Right: storm."""
        by = self._operator(http)
        self._desk.permit(by, "storm")
        return await self._announced(self._desk.storm(await _body(http, StormOrder), by), by)

    async def cancel(self, alert_id: str, http: HttpRequest) -> Response:
        """Cancel a storm. Right: storm."""
        by = self._operator(http)
        return await self._announced(self._desk.cancelled(alert_id, by), by)


def _order(body: type[msgspec.Struct] | None, *problems: int) -> dict[str, Any]:
    """Arguments of a route that takes an order with this body."""
    more = answers(Ordered, *problems) if problems else {}
    return {
        "status_code": HTTPStatus.CREATED,
        "responses": {**more, **_ORDERED},
        "openapi_extra": takes_order(body),
    }


async def _body(http: HttpRequest, type_: type[T], default: T | None = None) -> T:
    """The request's body. Raises `ApiError` (422) with the mistake in it."""
    content = bytearray()
    async for part in http.stream():
        content += part
        if len(content) > MAX_BODY:
            raise _wrong_body(f"it is longer than {MAX_BODY} bytes")
    if not content and default is not None:
        return default
    try:
        return msgspec.json.decode(content, type=type_)
    except UNREADABLE as error:
        raise _wrong_body(str(error)) from None


def _wrong_body(why: str) -> ApiError:
    reason = why[:1].lower() + why[1:300]
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"the order cannot be read: {reason}",
        "nothing was written; /docs lists every field",
    )
