"""The API of control: orders by operators, and what became of them for everybody to see."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from aiokafka.errors import KafkaError
from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.bounds import PARTITIONS
from schemas.commands import CommandState
from schemas.dispatch import Request, Withdraw
from schemas.grid import Alert
from schemas.wire import UNREADABLE
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.errors import BrokerError
from vpp_streams.web.answers import Json
from vpp_streams.web.budgets import story_budgets
from vpp_streams.web.callers import operator_of
from vpp_streams.web.control_views import (
    AlarmList,
    AlertList,
    CommandList,
    DeviceStory,
    DispatchView,
    HoldOrder,
    LimitOrder,
    Ordered,
    StormOrder,
    TargetOrder,
)
from vpp_streams.web.desk import Desk, Kafka, as_answer
from vpp_streams.web.logins import unknown
from vpp_streams.web.openapi import answers, takes
from vpp_streams.web.operators import MAKE_ONE, Operator
from vpp_streams.web.problems import ApiError, refuse_unknown_parameters
from vpp_streams.web.readmodel import ReadModel
from vpp_streams.web.story import StoryLine, read_story

MAX_BODY = 64 * 1024
READ_S = 30.0
"""A story is read within this, or not."""
T = TypeVar("T", bound=msgspec.Struct)
_ORDERED = answers(Ordered, 401, 403, 409, 422, 429, 503, ok=(201, 202))


def order_routes(desk: Desk, may_anybody: bool) -> APIRouter:
    """What operators may do; ``may_anybody`` is false where there is no file of operators."""
    routes = APIRouter(tags=["Orders"], dependencies=[Depends(refuse_unknown_parameters)])

    def operator(http: HttpRequest) -> Operator:
        if not may_anybody:
            raise ApiError(HTTPStatus.FORBIDDEN, "nobody may order here", MAKE_ONE)
        holder = operator_of(http.scope)
        if holder is None:
            hint = "send it as `Authorization: Bearer <token>`"
            raise unknown("an order needs a token", hint)
        return holder

    By = Annotated[Operator, Depends(operator)]  # noqa: N806  # a type

    async def ordered(request: Request, by: Operator) -> Response:
        event = await desk.ask(request)
        if event is not None and event.state == "rejected":
            hint = f"request {request.request_id}" + (f"; see {event.by}" if event.by else "")
            raise ApiError(HTTPStatus.CONFLICT, event.reason or "rejected", hint)
        status = HTTPStatus.ACCEPTED if event is None else HTTPStatus.CREATED
        return Json(as_answer(request, event, by), status)

    @routes.post("/regions/{region}/targets", **_order(TargetOrder))
    async def target(region: str, http: HttpRequest, by: By) -> Response:
        """Ask a region's batteries for power until an end. Right: dispatch (and emergency)."""
        desk.permit(by, "dispatch", region)
        order = await _body(http, TargetOrder)
        if order.priority == "emergency":
            desk.permit(by, "emergency", region)
        return await ordered(desk.target(region, order, by), by)

    @routes.post("/regions/{region}/limits", **_order(LimitOrder))
    async def limit(region: str, http: HttpRequest, by: By) -> Response:
        """Keep the sum of a region's (or a feeder's) connections within limits. Right: limit."""
        desk.permit(by, "limit", region)
        return await ordered(desk.limit(region, await _body(http, LimitOrder), by), by)

    @routes.post("/regions/{region}/hold", **_order(HoldOrder))
    async def hold(region: str, http: HttpRequest, by: By) -> Response:
        """The kill switch: ask nothing of the region until it is withdrawn. Right: hold."""
        desk.permit(by, "hold", region)
        order = await _body(http, HoldOrder, HoldOrder())
        return await ordered(desk.hold(region, order.reason, by), by)

    @routes.post("/regions/{region}/requests/{request_id}/withdraw", **_order(None, 404))
    async def withdraw(region: str, request_id: str, by: By) -> Response:
        """End a request (or a hold) before its time. Right: that of the request."""
        request: Withdraw = desk.withdraw(region, request_id, by)
        return await ordered(request, by)

    async def announced(alert: Alert, by: Operator) -> Response:
        await desk.announce(alert)
        return Json(as_answer(alert, None, by), HTTPStatus.CREATED)

    @routes.post("/alerts", **_order(StormOrder))
    async def storm(http: HttpRequest, by: By) -> Response:
        """Tell of a storm: batteries fill before it and are kept for owners. Right: storm."""
        desk.permit(by, "storm")
        return await announced(desk.storm(await _body(http, StormOrder), by), by)

    @routes.post("/alerts/{alert_id}/cancel", **_order(None, 404))
    async def cancel(alert_id: str, by: By) -> Response:
        """Call a storm off. Right: storm."""
        return await announced(desk.cancelled(alert_id, by), by)

    return routes


def control_routes(
    model: ReadModel,
    kafka: Kafka,
    now_ms: Callable[[], int],
    known_region: Callable[[str], str],
) -> APIRouter:
    """What everybody may see of control."""
    routes = APIRouter(tags=["Control"], dependencies=[Depends(refuse_unknown_parameters)])
    budgets = story_budgets()

    @routes.get("/regions/{region}/dispatch", responses=answers(DispatchView, 404))
    async def dispatch(region: str, points: Annotated[int, Query(ge=2, le=4000)] = 600) -> Response:
        """A region's dispatch: now, what is asked of it, and the last half hour."""
        return Json(model.dispatches.view(known_region(region), points, now_ms()))

    @routes.get("/commands", responses=answers(CommandList))
    async def commands(
        region: Annotated[str | None, Query(max_length=64)] = None,
        state: Annotated[str | None, Query(max_length=16)] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="rows at most")] = 50,
    ) -> Response:
        """The newest command of each device, newest first, and what became of it."""
        states = get_args(CommandState)
        if state is not None and state not in states:
            hint = f"states: {', '.join(states)}"
            raise ApiError(HTTPStatus.BAD_REQUEST, f"state: there is no state {state!r}", hint)
        counts = model.commands.counts(region) if region is not None else {}
        found = model.commands.newest(region, state, limit)
        return Json(CommandList(counts=counts, commands=found))

    @routes.get("/alarms", responses=answers(AlarmList))
    async def alarms(
        limit: Annotated[int, Query(ge=1, le=500, description="rows at most")] = 100,
    ) -> Response:
        """Devices that do not do as desired or did not answer, and regions with something wrong."""
        return Json(model.alarms(now_ms(), limit))

    @routes.get("/alerts", responses=answers(AlertList))
    async def alerts() -> Response:
        """Storms that are not over."""
        return Json(AlertList(alerts=model.alerts(now_ms())))

    @routes.get("/devices/{device_id}/commands", responses=answers(DeviceStory, 404, 429, 503))
    async def story(
        http: HttpRequest,
        device_id: str,
        last_s: Annotated[int, Query(ge=1, le=30 * 86_400, description="how far back")] = 3600,
    ) -> Response:
        """What a device was asked in the last hour and what became of it, from the topics."""
        known = model.sites.registry.device(device_id)
        if known is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no device {device_id[:64]!r}",
                "/api/v1/sites?q= finds devices by a part of their id",
            )
        site = known[1]
        now, partition = now_ms(), partition_of(site.site_id, PARTITIONS)
        since_ms = now - 1000 * last_s
        async with budgets.place(http.scope):
            reading = read_story(kafka, device_id, partition, since_ms=since_ms, now_ms=now)
            lines = await _in_time(reading)
        return Json(
            DeviceStory(
                device_id=device_id,
                site_id=site.site_id,
                region=site.region,
                since_ms=since_ms,
                newest=model.commands.of_device(device_id),
                story=lines,
            )
        )

    return routes


async def _in_time(reading: Awaitable[list[StoryLine]]) -> list[StoryLine]:
    """What is read from Kafka. Raises `ApiError` (503) where that does not come."""
    try:
        async with asyncio.timeout(READ_S):
            return await reading
    except (BrokerError, KafkaError, TimeoutError) as error:
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the topics cannot be read now ({type(error).__name__})",
            "ask for less with `last_s`, or again in a moment",
        ) from None


def _order(body: type[msgspec.Struct] | None, *problems: int) -> dict[str, Any]:
    """How a route that takes an order is described."""
    more = answers(Ordered, *problems) if problems else {}
    return {
        "status_code": HTTPStatus.CREATED,
        "responses": {**more, **_ORDERED},
        "openapi_extra": takes(body),
    }


async def _body(http: HttpRequest, type_: type[T], default: T | None = None) -> T:
    """The request's body. Raises `ApiError` (422) with what is wrong with it."""
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
    said = why[:1].lower() + why[1:300]
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"the order cannot be read: {said}",
        "nothing was written; /docs lists every field",
    )
