"""DispatchService: orders to regions with their outcomes, and a live stream of each dispatch."""

from collections.abc import Callable

from schemas.dispatch import Hold, Limit, Target
from schemas.dispatch import Request as RequestRecord
from vpp.dispatch.v1 import dispatch_pb2 as pb
from vpp_streams.domain.access.rights import ORDERS
from vpp_streams.rpc.messages import fill, message_of
from vpp_streams.rpc.methods import Call, Methods, Send
from vpp_streams.rpc.parameters import order_of, wrong
from vpp_streams.rpc.watching import Source, Watches
from vpp_streams.serving.absent import no_region
from vpp_streams.serving.control_views import HoldOrder, LimitOrder, RequestView, TargetOrder
from vpp_streams.serving.desk import Desk
from vpp_streams.serving.needs import Of, at, orders, some
from vpp_streams.serving.readmodel import ReadModel


class DispatchService:
    """Handlers of ``vpp.dispatch.v1.DispatchService``."""

    def __init__(
        self, model: ReadModel, desk: Desk, watches: Watches, now_ms: Callable[[], int]
    ) -> None:
        self._model, self._desk, self._watches, self._now_ms = model, desk, watches, now_ms
        self._source = Source(encode=self._encoded, change_of=model.dispatches.change_of)

    def methods(self) -> Methods:
        """The methods of these handlers."""
        methods = Methods(pb.DESCRIPTOR.services_by_name["DispatchService"])
        region = at(Of.REGION, "read_region")
        methods.answer("RequestPower", orders("dispatch"), self.request_power, order=True)
        methods.answer("RequestLimit", orders("limit"), self.request_limit, order=True)
        methods.answer("Hold", orders("hold"), self.hold, order=True)
        methods.answer("Withdraw", some(*ORDERS), self.withdraw, order=True)
        methods.answer("GetDispatch", region, self.get_dispatch)
        methods.watch("WatchDispatch", region, self.watch_dispatch)
        return methods

    async def request_power(
        self, request: pb.RequestPowerRequest, call: Call
    ) -> pb.RequestPowerResponse:
        """Request power from a region's batteries until an end."""
        self._desk.permit(call.who, "dispatch", request.region)
        order = _target_order(request)
        if order.priority == "emergency":
            self._desk.permit(call.who, "emergency", request.region)
        target = self._desk.target(request.region, order, call.who)
        return pb.RequestPowerResponse(outcome=await self._ordered(target, call))

    async def request_limit(
        self, request: pb.RequestLimitRequest, call: Call
    ) -> pb.RequestLimitResponse:
        """Keep the sum of a region's (or a feeder's) connections within limits."""
        self._desk.permit(call.who, "limit", request.region)
        limit = self._desk.limit(request.region, order_of(LimitOrder, request), call.who)
        return pb.RequestLimitResponse(outcome=await self._ordered(limit, call))

    async def hold(self, request: pb.HoldRequest, call: Call) -> pb.HoldResponse:
        """The kill switch: command no device of the region until withdrawn."""
        self._desk.permit(call.who, "hold", request.region)
        reason = order_of(HoldOrder, request).reason
        hold = self._desk.hold(request.region, reason, call.who)
        return pb.HoldResponse(outcome=await self._ordered(hold, call))

    async def withdraw(self, request: pb.WithdrawRequest, call: Call) -> pb.WithdrawResponse:
        """End a request (or a hold) before its end."""
        withdrawal = self._desk.withdraw(request.region, request.request_id, call.who)
        return pb.WithdrawResponse(outcome=await self._ordered(withdrawal, call))

    async def _ordered(self, request: RequestRecord, call: Call) -> pb.Outcome:
        # Said first: whatever happens then, the audit trail names the request.
        call.outcome.append(request.request_id)
        ordered = await self._desk.order(request, call.who, remaining_s=call.remaining_s)
        call.outcome.append(f" {ordered.state}")
        return message_of(pb.Outcome, ordered)

    async def get_dispatch(
        self, request: pb.GetDispatchRequest, call: Call
    ) -> pb.GetDispatchResponse:
        """A region's dispatch now, and its requests."""
        self._check_known(request.region, call)
        return pb.GetDispatchResponse(dispatch=self._dispatch(request.region))

    async def watch_dispatch(
        self, request: pb.WatchDispatchRequest, call: Call, send: Send
    ) -> None:
        """A region's dispatch now, and whenever it changes."""
        self._check_known(request.region, call)
        await self._watches.watch(self._source, request.region, "read_region", call, send)

    def _check_known(self, region: str, call: Call) -> None:
        if region not in self._model.regions.names():
            raise no_region(self._model, call.who, region)

    def _encoded(self, region: str) -> bytes:
        return pb.WatchDispatchResponse(dispatch=self._dispatch(region)).SerializeToString()

    def _dispatch(self, region: str) -> pb.RegionDispatch:
        view = self._model.dispatches.view(region, 2, self._now_ms())
        return message_of(
            pb.RegionDispatch,
            view.now,
            ruling_request_id=view.now.ruling.request_id if view.now.ruling else "",
            requests=[_request(one) for one in view.requests],
        )


def _target_order(request: pb.RequestPowerRequest) -> TargetOrder:
    """The order for power in a request. Raises `ApiError` (400)."""
    power = request.WhichOneof("power")
    if power is None or (power == "self_consumption" and not request.self_consumption):
        raise wrong(
            "power",
            "an order needs `export_w`, or `self_consumption` set to true",
            "nothing was written",
        )
    return order_of(
        TargetOrder, request, export_w=request.export_w if power == "export_w" else None
    )


def _request(view: RequestView) -> pb.Request:
    record = view.request
    message = message_of(
        pb.Request,
        view,
        request_id=record.request_id,
        source=record.source,
        issued_at_ms=record.issued_at_ms,
    )
    match record:
        case Target():
            fill(message.target, record)
        case Limit():
            fill(message.limit, record)
        case Hold():
            fill(message.hold, record)
    return message
