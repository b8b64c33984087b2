"""The API of sites: the registry, a site's twin and its windows."""

from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response

from schemas.assets import Site
from vpp_streams.web import views
from vpp_streams.web.answers import Json
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import WindowSize, router, rows
from vpp_streams.web.problems import ApiError
from vpp_streams.web.readmodel import ReadModel
from vpp_streams.web.twins import FleetWorker


class SiteApi:
    """Handlers of ``/sites`` and the paths below it."""

    def __init__(self, model: ReadModel, worker: FleetWorker) -> None:
        self._model = model
        self._worker = worker

    def routes(self) -> APIRouter:
        """The paths of these handlers."""
        routes = router("Sites")
        routes.get("/sites", responses=answers(views.SitePage))(self.sites)
        routes.get("/sites/{site_id}", responses=answers(views.SiteDetail, 404))(self.site_detail)
        routes.get("/sites/{site_id}/windows", responses=answers(views.SiteWindows, 404))(
            self.site_windows
        )
        return routes

    def _known(self, site_id: str) -> Site:
        site = self._model.sites.registry.site(site_id)
        if site is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no site {site_id[:64]!r}",
                "/api/v1/sites?q= finds sites by a part of their id",
            )
        return site

    async def sites(
        self,
        region: Annotated[str | None, Query(max_length=64)] = None,
        q: Annotated[str, Query(max_length=64, description="part of a site's or device's id")] = "",
        limit: int = rows(50, 500),
        cursor: Annotated[str | None, Query(max_length=64, description="next_cursor")] = None,
    ) -> Response:
        """Sites of the registry by id."""
        return Json(self._model.sites.page(region, q, limit, cursor))

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
