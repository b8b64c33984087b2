"""The API of sites: the registry, a site's twin and its windows."""

from typing import Annotated

import msgspec
from fastapi import Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.assets import Site
from vpp_streams.web import views
from vpp_streams.web.absent import no_site
from vpp_streams.web.answers import Json
from vpp_streams.web.callers import known
from vpp_streams.web.needs import Of, Routes, at, some
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import WindowSize, rows
from vpp_streams.web.readmodel import ReadModel
from vpp_streams.web.seen import Seen
from vpp_streams.web.twins import FleetWorker


class SiteApi:
    """Handlers of ``/sites`` and the paths below it."""

    def __init__(self, model: ReadModel, worker: FleetWorker) -> None:
        self._model = model
        self._worker = worker

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes, site, need = Routes("Sites"), "/sites/{site_id}", at(Of.SITE, "read_site")
        routes.get("/sites", some("read_site"), responses=answers(views.SitePage))(self.sites)
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
        http: HttpRequest,
        region: Annotated[str | None, Query(max_length=64)] = None,
        q: Annotated[str, Query(max_length=64, description="part of a site's or device's id")] = "",
        limit: int = rows(50, 500),
        cursor: Annotated[str | None, Query(max_length=64, description="next_cursor")] = None,
    ) -> Response:
        """Sites of the registry by id, of those that the sender may see."""
        return Json(Seen(self._model, known(http.scope)).sites(region, q, limit, cursor))

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
