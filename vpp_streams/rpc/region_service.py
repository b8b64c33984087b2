"""RegionService: regions now, what they can deliver, and a live stream of each."""

from collections.abc import Callable, Iterable
from http import HTTPStatus

from schemas.windows import Deliverable
from vpp.region.v1 import region_pb2 as pb
from vpp_streams.rpc.messages import message_of
from vpp_streams.rpc.methods import Call, Methods, Send
from vpp_streams.rpc.parameters import limit_of, size_of, wrong
from vpp_streams.rpc.watching import Source, Watches
from vpp_streams.serving.absent import no_region
from vpp_streams.serving.needs import Of, at, some
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen
from vpp_streams.serving.views import RegionView

_WINDOWS, _MOST_WINDOWS = 96, 240


class RegionService:
    """Handlers of ``vpp.region.v1.RegionService``."""

    def __init__(self, model: ReadModel, watches: Watches, now_ms: Callable[[], int]) -> None:
        self._model, self._watches, self._now_ms = model, watches, now_ms
        self._source = Source(encode=self._encoded, change_of=model.regions.change_of)

    def methods(self) -> Methods:
        """The methods of these handlers."""
        methods = Methods(pb.DESCRIPTOR.services_by_name["RegionService"])
        region = at(Of.REGION, "read_region")
        methods.answer("ListRegions", some("read_region"), self.list_regions)
        methods.answer("GetRegion", region, self.get_region)
        methods.answer("GetDeliverable", region, self.get_deliverable)
        methods.answer("ListRegionWindows", region, self.list_windows)
        methods.watch("WatchRegion", region, self.watch_region)
        return methods

    async def list_regions(
        self, _request: pb.ListRegionsRequest, call: Call
    ) -> pb.ListRegionsResponse:
        """Every region now, of those that the sender may see."""
        found = Seen(self._model, call.who).regions(self._now_ms())
        return pb.ListRegionsResponse(regions=[message_of(pb.Region, view) for view in found])

    async def get_region(self, request: pb.GetRegionRequest, call: Call) -> pb.GetRegionResponse:
        """One region now."""
        view = self._known(request.region, call)
        return pb.GetRegionResponse(region=message_of(pb.Region, view))

    async def get_deliverable(
        self, request: pb.GetDeliverableRequest, call: Call
    ) -> pb.GetDeliverableResponse:
        """The power that a region could hold for a duration."""
        view, duration_s = self._known(request.region, call), request.duration_s
        dispatch = self._model.dispatches.one(request.region, self._now_ms())
        status = dispatch.status if dispatch is not None and not dispatch.stale else None
        if duration_s < 1:
            raise wrong("duration_s", "a duration has at least 1 s")
        deliverable = _held_for(view.deliverable, duration_s)
        if deliverable is None:
            longest_s = max((one.duration_s for one in view.deliverable), default=0)
            raise wrong("duration_s", f"it is only known for up to {longest_s} s")
        return message_of(
            pb.GetDeliverableResponse,
            view,
            deliverable=deliverable,
            commandable=None if status is None else _held_for(status.capability, duration_s),
        )

    async def list_windows(
        self, request: pb.ListRegionWindowsRequest, call: Call
    ) -> pb.ListRegionWindowsResponse:
        """A region's closed windows, newest first."""
        size_s = size_of(request, 900)
        limit = limit_of(request, "limit", _WINDOWS, _MOST_WINDOWS)
        if request.region not in self._model.regions.names():
            raise no_region(self._model, call.who, request.region)
        windows = [
            message_of(
                pb.RegionWindow,
                window,
                sites_expected=window.sums.sites_expected,
                sites_reporting=window.sums.sites_reporting,
                readings=window.sums.readings,
            )
            for window in self._model.regions.windows(request.region, size_s, limit)
        ]
        return pb.ListRegionWindowsResponse(windows=windows)

    async def watch_region(self, request: pb.WatchRegionRequest, call: Call, send: Send) -> None:
        """A region now, and whenever it changes."""
        self._known(request.region, call)
        await self._watches.watch(self._source, request.region, "read_region", call, send)

    def _known(self, region: str, call: Call) -> RegionView:
        view = self._model.region_now(region, self._now_ms())
        if view is not None:
            return view
        if region not in self._model.regions.names():
            raise no_region(self._model, call.who, region)
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            f"there is no live record of region {region[:64]!r} yet",
            "ListRegionWindows has its windows",
        )

    def _encoded(self, region: str) -> bytes | None:
        view = self._model.region_now(region, self._now_ms())
        if view is None:
            return None
        return pb.WatchRegionResponse(region=message_of(pb.Region, view)).SerializeToString()


def _held_for(known: Iterable[Deliverable], duration_s: int) -> Deliverable | None:
    """What can be held for the shortest known duration of at least ``duration_s``, if any."""
    longer = [one for one in known if one.duration_s >= duration_s]
    return min(longer, key=lambda one: one.duration_s, default=None)
