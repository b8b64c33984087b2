"""The API of regions: now, the last half hour, windows and forecasts."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from schemas.forecast import RegionForecast
from vpp_streams.web import views
from vpp_streams.web.answers import Json
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import WindowSize, known_region, router, rows
from vpp_streams.web.problems import ApiError
from vpp_streams.web.readmodel import ReadModel


class RegionApi:
    """Handlers of ``/regions`` and the paths below it, except for control."""

    def __init__(self, model: ReadModel, now_ms: Callable[[], int]) -> None:
        self._model = model
        self._now_ms = now_ms

    def routes(self) -> APIRouter:
        """The paths of these handlers."""
        routes, region = router("Regions"), "/regions/{region}"
        routes.get("/regions", responses=answers(views.RegionList))(self.regions)
        routes.get(region, responses=answers(views.RegionView, 404))(self.region_now)
        routes.get(f"{region}/history", responses=answers(views.RegionHistory, 404))(self.history)
        routes.get(f"{region}/windows", responses=answers(views.RegionWindows, 404))(self.windows)
        routes.get(f"{region}/forecast", responses=answers(RegionForecast, 404))(self.forecast)
        return routes

    async def regions(self) -> Response:
        """Every region now."""
        return Json(views.RegionList(regions=self._model.regions_now(self._now_ms())))

    async def region_now(self, region: str) -> Response:
        """One region now."""
        view = self._model.region_now(known_region(self._model, region), self._now_ms())
        if view is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no live record of region {region!r} yet",
                "its windows are at /windows",
            )
        return Json(view)

    async def history(
        self, region: str, points: Annotated[int, Query(ge=2, le=4000)] = 600
    ) -> Response:
        """The region's last half hour, thinned to this many points."""
        return Json(self._model.regions.history(known_region(self._model, region), points))

    async def windows(
        self, region: str, size_s: WindowSize = WindowSize.QUARTER_HOUR, limit: int = rows(96, 240)
    ) -> Response:
        """The region's closed windows, newest first."""
        found = self._model.regions.windows(known_region(self._model, region), size_s, limit)
        return Json(views.RegionWindows(region=region, size_s=size_s, windows=found))

    async def forecast(self, region: str) -> Response:
        """The region's load and solar power for the day ahead, and the accuracy of forecasts."""
        newest = self._model.regions.forecast(known_region(self._model, region))
        if newest is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no recent forecast of region {region!r}",
                "`vpp worker optimizer` publishes one after each quarter of an hour",
            )
        return Json(newest)
