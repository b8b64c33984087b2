"""FleetService: sites, their twins and their windows."""

from collections.abc import Callable
from http import HTTPStatus

from vpp.fleet.v1 import fleet_pb2 as pb
from vpp_streams.domain.explorer.site_query import SiteQuery
from vpp_streams.rpc.messages import message_of
from vpp_streams.rpc.methods import Call, Methods
from vpp_streams.rpc.parameters import limit_of, size_of, wrong
from vpp_streams.serving.needs import Of, at, some
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.serving.views import DeviceTwin

_LONGEST_ID = 64


class FleetService:
    """Handlers of ``vpp.fleet.v1.FleetService``."""

    def __init__(self, model: ReadModel, worker: FleetWorker, now_ms: Callable[[], int]) -> None:
        self._model, self._worker, self._now_ms = model, worker, now_ms

    def methods(self) -> Methods:
        """The methods of these handlers."""
        methods = Methods(pb.DESCRIPTOR.services_by_name["FleetService"])
        site = at(Of.SITE, "read_site")
        methods.answer("ListSites", some("read_site"), self.list_sites)
        methods.answer("GetTwin", site, self.get_twin)
        methods.answer("ListSiteWindows", site, self.list_windows)
        return methods

    async def list_sites(self, request: pb.ListSitesRequest, call: Call) -> pb.ListSitesResponse:
        """A page of the sites that the sender may see."""
        for field in ("region", "text", "page_token"):
            if len(getattr(request, field)) > _LONGEST_ID:
                raise wrong(field, f"it has more than {_LONGEST_ID} characters")
        query = SiteQuery(
            text=request.text, region=request.region or None, within=call.who.sight("read_site")
        )
        page = self._model.explorer.page(
            query,
            self._now_ms(),
            limit=limit_of(request, "page_size", 50, 500),
            cursor=request.page_token,
        )
        return pb.ListSitesResponse(
            sites=[message_of(pb.Site, row) for row in page.sites],
            next_page_token=page.next_cursor or "",
            total=page.total,
        )

    async def get_twin(self, request: pb.GetTwinRequest, _call: Call) -> pb.GetTwinResponse:
        """A site's devices as the fleet worker has them."""
        twin = await self._worker.twin(request.site_id)
        if isinstance(twin, str):
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, twin, "try again in some seconds")
        devices = [_device(device) for device in twin.devices]
        return message_of(pb.GetTwinResponse, twin, devices=devices)

    async def list_windows(
        self, request: pb.ListSiteWindowsRequest, _call: Call
    ) -> pb.ListSiteWindowsResponse:
        """A site's closed windows, newest first."""
        limit = limit_of(request, "limit", 120, 120)
        found = self._model.sites.windows(request.site_id, size_of(request, 60), limit)
        return pb.ListSiteWindowsResponse(windows=[message_of(pb.SiteWindow, one) for one in found])


def _device(device: DeviceTwin) -> pb.DeviceTwin:
    return message_of(
        pb.DeviceTwin,
        device,
        islanded=None if device.islanded is None else bool(device.islanded),
        quality=None if device.quality is None else str(device.quality),
    )
