"""The API of sites: the registry as list, file and map, a site's twin and its windows."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header, Query
from fastapi.responses import Response

from schemas.assets import Site
from vpp_streams.domain.explorer.clusters import Box
from vpp_streams.domain.explorer.site_query import SiteQuery
from vpp_streams.serving import views
from vpp_streams.serving.absent import no_site
from vpp_streams.serving.needs import Of, at, some
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.web.accept import preferred
from vpp_streams.web.answers import Json
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import WindowSize, rows
from vpp_streams.web.routes import Routes
from vpp_streams.web.site_csv import MEDIA_TYPE, CsvOfSites
from vpp_streams.web.site_filters import site_query

_Filters = Annotated[SiteQuery, Depends(site_query)]
_JSON = "application/json"


def _degrees(most: float, default: float) -> Any:
    return Query(default, ge=-most, le=most, description="degrees")


class SiteApi:
    """Handlers of ``/sites``, the paths below it, and the map."""

    def __init__(self, model: ReadModel, worker: FleetWorker, now_ms: Callable[[], int]) -> None:
        self._model = model
        self._worker = worker
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes, site, need = Routes("Sites"), "/sites/{site_id}", at(Of.SITE, "read_site")
        listed = answers(views.SitePage)
        listed[200]["content"][MEDIA_TYPE] = {"schema": {"type": "string"}}
        routes.get("/sites", some("read_site"), responses=listed)(self.sites)
        file: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {}}}}
        routes.get("/sites.csv", some("read_site"), responses=file)(self.csv)
        routes.get("/map", some("read_site"), responses=answers(views.MapView))(self.map)
        routes.get(site, need, responses=answers(views.SiteDetail, 404))(self.site_detail)
        windows = answers(views.SiteWindows, 404)
        routes.get(f"{site}/windows", need, responses=windows)(self.site_windows)
        return routes

    def _known(self, site_id: str) -> Site:
        site = self._model.sites.registry.site(site_id)
        if site is None:
            raise no_site(site_id)
        return site

    async def sites(
        self,
        filters: _Filters,
        limit: int = rows(50, 500),
        offset: Annotated[int, Query(ge=0, le=10_000_000, description="rows to skip")] = 0,
        cursor: Annotated[str, Query(max_length=64, description="next_cursor")] = "",
        accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        """Sites of the registry that match every filter, with their newest values.

        As a CSV file of all of them, without pages, where `Accept` prefers `text/csv`.
        """
        if preferred(accept, (_JSON, MEDIA_TYPE)) == MEDIA_TYPE:
            return await self.csv(filters)
        page = self._model.explorer.page(
            filters, self._now_ms(), limit=limit, offset=offset, cursor=cursor
        )
        return Json(page)

    async def csv(self, filters: _Filters) -> Response:
        """All sites that match every filter as a CSV file."""
        return CsvOfSites(self._model.explorer.all(filters, self._now_ms()))

    async def map(
        self,
        filters: _Filters,
        *,
        south: float = _degrees(90, -90),
        west: float = _degrees(180, -180),
        north: float = _degrees(90, 90),
        east: float = _degrees(180, 180),
        cell_deg: Annotated[float, Query(gt=0.0001, le=90, description="size of a cell")] = 1.0,
    ) -> Response:
        """The sites that match every filter as clusters on a map, a cell of the grid each."""
        box = Box(south, west, north, east)
        return Json(self._model.explorer.map(filters, self._now_ms(), box, cell_deg))

    async def site_detail(self, site_id: str) -> Response:
        """A site: its record, its connections, and the newest reading of each device."""
        site = self._known(site_id)
        twin = await self._worker.twin(site_id)
        return Json(
            views.SiteDetail(
                site=_without_secrets(site),
                state=site.state,
                presence=self._model.sites.presence(site),
                twin=None if isinstance(twin, str) else twin,
                twin_error=twin if isinstance(twin, str) else None,
            )
        )

    async def site_windows(
        self, site_id: str, size_s: WindowSize = WindowSize.MINUTE, limit: int = rows(120, 120)
    ) -> Response:
        """The site's closed windows, newest first."""
        found = self._model.sites.windows(self._known(site_id).site_id, size_s, limit)
        return Json(views.SiteWindows(site_id=site_id, size_s=size_s, windows=found))


def _without_secrets(site: Site) -> Site:
    devices = tuple(msgspec.structs.replace(d, token_sha256="") for d in site.devices)
    return msgspec.structs.replace(site, devices=devices)
