"""The API of regions: now, the last half hour, windows and forecasts."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.forecast import RegionForecast
from vpp_streams.serving import views
from vpp_streams.serving.needs import Of, at, some
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen
from vpp_streams.web.answers import Json
from vpp_streams.web.callers import known
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import WindowSize, known_region, rows
from vpp_streams.web.routes import Routes


class RegionApi:
    """Handlers of ``/regions`` and the paths below it, except for control."""

    def __init__(self, model: ReadModel, now_ms: Callable[[], int]) -> None:
        self._model = model
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes, region, need = Routes("Regions"), "/regions/{region}", at(Of.REGION, "read_region")
        for path, view, handler in (
            (region, views.RegionView, self.region_now),
            (f"{region}/history", views.RegionHistory, self.history),
            (f"{region}/windows", views.RegionWindows, self.windows),
            (f"{region}/forecast", RegionForecast, self.forecast),
        ):
            routes.get(path, need, responses=answers(view, 404))(handler)
        listed = answers(views.RegionList)
        routes.get("/regions", some("read_region"), responses=listed)(self.regions)
        return routes

    async def regions(self, http: HttpRequest) -> Response:
        """Every region now, of those that the sender may see."""
        seen = Seen(self._model, known(http.scope))
        return Json(views.RegionList(regions=seen.regions(self._now_ms())))

    def _known(self, http: HttpRequest, region: str) -> str:
        return known_region(self._model, known(http.scope), region)

    async def region_now(self, http: HttpRequest, region: str) -> Response:
        """One region now."""
        view = self._model.region_now(self._known(http, region), self._now_ms())
        if view is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no live record of region {region!r} yet",
                "its windows are at /windows",
            )
        return Json(view)

    async def history(
        self, http: HttpRequest, region: str, points: Annotated[int, Query(ge=2, le=4000)] = 600
    ) -> Response:
        """The region's last half hour, thinned to this many points."""
        return Json(self._model.regions.history(self._known(http, region), points))

    async def windows(
        self,
        http: HttpRequest,
        region: str,
        size_s: WindowSize = WindowSize.QUARTER_HOUR,
        limit: int = rows(96, 240),
    ) -> Response:
        """The region's closed windows, newest first."""
        found = self._model.regions.windows(self._known(http, region), size_s, limit)
        return Json(views.RegionWindows(region=region, size_s=size_s, windows=found))

    async def forecast(self, http: HttpRequest, region: str) -> Response:
        """The region's load and solar power for the day ahead, and the accuracy of forecasts."""
        newest = self._model.regions.forecast(self._known(http, region))
        if newest is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no recent forecast of region {region!r}",
                "`vpp worker optimizer` publishes one after each quarter of an hour",
            )
        return Json(newest)
