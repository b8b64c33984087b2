"""The HTTP application: a documented JSON API over the read model, and the dashboard's files."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.responses import FileResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Scope

from schemas.assets import Site
from schemas.forecast import RegionForecast
from vpp_streams.settings import Settings, words_of
from vpp_streams.web import control_views, market_views, views
from vpp_streams.web.answers import Json
from vpp_streams.web.budgets import Budgets, stream_budgets
from vpp_streams.web.control_api import control_routes, order_routes
from vpp_streams.web.desk import ANSWER_S, Desk, Kafka
from vpp_streams.web.guard import Guard
from vpp_streams.web.logins import Logins
from vpp_streams.web.market_api import market_routes
from vpp_streams.web.openapi import answers, describe_with
from vpp_streams.web.problems import ApiError, answer_problems, refuse_unknown_parameters
from vpp_streams.web.readmodel import ReadModel
from vpp_streams.web.stream import LiveResponse, Stream
from vpp_streams.web.twins import FleetWorker

STATIC = Path(__file__).parent / "static"
_ABOUT = """What a virtual power plant's fleet does now and did lately, and orders to it.

Signs: battery + = discharge, grid + = import, solar >= 0, load >= 0; load = grid + battery + solar.
Times are ms since 1970 UTC; null = not measured. Every aggregate carries coverage and age.
"""


class _Pages(StaticFiles):
    """The dashboard's files; a browser asks each time whether they have changed (ETag)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


class WindowSize(IntEnum):
    """Window sizes that are kept, in seconds."""

    MINUTE = 60
    QUARTER_HOUR = 900


def _limit(default: int, most: int) -> Any:
    return Query(default, ge=1, le=most, description="rows at most")


def create_web(
    settings: Settings,
    read_model: ReadModel,
    now_ms: Callable[[], int],
    kafka: Kafka,
    *,
    fleet: FleetWorker | None = None,
    stopping: Callable[[], bool] = lambda: False,
    answer_s: float = ANSWER_S,
    logins: Logins | None = None,
) -> FastAPI:
    """The application over ``read_model``; orders are written to ``kafka``.

    ``fleet`` answers for twins (default: the worker at ``settings.fleet_url``); live streams end
    once ``stopping()`` is true; the region role is given ``answer_s`` to answer an order;
    ``logins`` know the operators (default: those of ``settings.operators``).
    """
    worker = fleet or FleetWorker(settings.fleet_url, token=settings.service_token)
    logins = logins or Logins(settings.operators)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await worker.close()

    app = FastAPI(
        title="vpp_streams",
        version=version("vpp-streams"),
        description=_ABOUT,
        docs_url=None,  # FastAPI's own page loads its scripts from a CDN
        redoc_url=None,
        lifespan=lifespan,
    )
    answer_problems(app)
    stream = Stream(read_model, now_ms, stopping)
    desk = Desk(kafka, read_model, now_ms, answer_s)
    for routes in (
        _loop_routes(read_model, now_ms, stream, stream_budgets(settings.web_per_client)),
        _region_routes(read_model, now_ms),
        _site_routes(read_model, worker),
        control_routes(read_model, kafka, now_ms, partial(_known_region, read_model)),
        order_routes(desk, logins.may_anybody),
        market_routes(read_model.markets, now_ms),
    ):
        app.include_router(routes, prefix="/api/v1")
    describe_with(
        app,
        [
            *(views.Summary, views.HealthView, views.RejectedPage, views.RegionList),
            views.RejectedRecordsPage,
            *(views.RegionHistory, views.RegionWindows, RegionForecast),
            *(views.SitePage, views.SiteDetail, views.SiteWindows),
            *(control_views.DispatchView, control_views.CommandList, control_views.AlarmList),
            *(control_views.AlertList, control_views.DeviceStory, control_views.Ordered),
            *(control_views.TargetOrder, control_views.LimitOrder, control_views.HoldOrder),
            *(control_views.StormOrder, market_views.MarketList, market_views.MarketView),
            market_views.BidView,
        ],
    )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html", headers={"Cache-Control": "no-cache"})

    app.mount("/", _Pages(directory=STATIC, html=True))
    # The last one added is the first that a request passes.
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(
        Guard,
        logins=logins,
        counters=read_model.counters,
        host=settings.host,
        more_hosts=words_of(settings.web_hosts),
    )
    return app


def _without_secrets(site: Site) -> Site:
    devices = tuple(msgspec.structs.replace(d, token_sha256="") for d in site.devices)
    return msgspec.structs.replace(site, devices=devices)


def _router(tag: str) -> APIRouter:
    return APIRouter(tags=[tag], dependencies=[Depends(refuse_unknown_parameters)])


def _known_region(model: ReadModel, region: str) -> str:
    """The region. Raises `ApiError` (404) where nothing was heard of it."""
    if region not in model.regions.names():
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            f"nothing was heard of a region {region[:64]!r}",
            f"regions: {', '.join(model.regions.names()[:20]) or 'none yet'}",
        )
    return region


def _loop_routes(
    model: ReadModel, now_ms: Callable[[], int], stream: Stream, budgets: Budgets
) -> APIRouter:
    routes = _router("Pipeline")

    @routes.get("/summary", responses=answers(views.Summary))
    async def summary() -> Response:
        """The whole loop on one page: counts, ages, regions and processes."""
        return Json(model.summary(now_ms()))

    @routes.get("/health", responses=answers(views.HealthView))
    async def health() -> Response:
        """Processes, rates, lag and ages of the pipeline."""
        return Json(model.health(now_ms()))

    @routes.get("/rejected", responses=answers(views.RejectedPage))
    async def rejected(
        reason: Annotated[str | None, Query(max_length=64)] = None,
        limit: int = _limit(50, 500),
    ) -> Response:
        """Readings that were not taken, newest first, with the reason and what came."""
        return Json(model.rejections.page(reason, limit))

    @routes.get("/records/rejected", responses=answers(views.RejectedRecordsPage))
    async def rejected_records(
        topic: Annotated[str | None, Query(max_length=64)] = None,
        limit: int = _limit(50, 500),
    ) -> Response:
        """Records of our own topics that were refused, newest first, and why."""
        return Json(model.rejected_records.page(topic, limit, now_ms()))

    @routes.get(
        "/stream",
        response_class=StreamingResponse,
        responses={
            **answers(views.Summary, 429, 503),
            200: {
                "description": "Events `update`: a Summary whose regions are those that changed"
                " (all of them in the first) and whose processes are left out.",
                "content": {"text/event-stream": {}},
            },
        },
    )
    async def live() -> Response:
        """Server-sent events: once a second what has changed."""
        return LiveResponse(stream, budgets)

    return routes


def _region_routes(model: ReadModel, now_ms: Callable[[], int]) -> APIRouter:
    routes = _router("Regions")
    known = partial(_known_region, model)

    @routes.get("/regions", responses=answers(views.RegionList))
    async def regions() -> Response:
        """Every region now."""
        return Json(views.RegionList(regions=model.regions_now(now_ms())))

    @routes.get("/regions/{region}", responses=answers(views.RegionView, 404))
    async def region_now(region: str) -> Response:
        """One region now."""
        view = model.region_now(known(region), now_ms())
        if view is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"nothing live was heard of region {region!r} yet",
                "its windows are at /windows",
            )
        return Json(view)

    @routes.get("/regions/{region}/history", responses=answers(views.RegionHistory, 404))
    async def history(region: str, points: Annotated[int, Query(ge=2, le=4000)] = 600) -> Response:
        """The region's last half hour, thinned to so many points."""
        return Json(model.regions.history(known(region), points))

    @routes.get("/regions/{region}/windows", responses=answers(views.RegionWindows, 404))
    async def windows(
        region: str, size_s: WindowSize = WindowSize.QUARTER_HOUR, limit: int = _limit(96, 240)
    ) -> Response:
        """The region's closed windows, newest first."""
        found = model.regions.windows(known(region), size_s, limit)
        return Json(views.RegionWindows(region=region, size_s=size_s, windows=found))

    @routes.get("/regions/{region}/forecast", responses=answers(RegionForecast, 404))
    async def forecast(region: str) -> Response:
        """The region's load and solar power for the day ahead, and how good forecasts were."""
        newest = model.regions.forecast(known(region))
        if newest is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"no forecast of region {region!r} was heard of lately",
                "`vpp worker optimizer` tells one after each quarter of an hour",
            )
        return Json(newest)

    return routes


def _site_routes(model: ReadModel, worker: FleetWorker) -> APIRouter:
    routes = _router("Sites")

    def known(site_id: str) -> Site:
        site = model.sites.registry.site(site_id)
        if site is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no site {site_id[:64]!r}",
                "/api/v1/sites?q= finds sites by a part of their id",
            )
        return site

    @routes.get("/sites", responses=answers(views.SitePage))
    async def sites(
        region: Annotated[str | None, Query(max_length=64)] = None,
        q: Annotated[str, Query(max_length=64, description="part of a site's or device's id")] = "",
        limit: int = _limit(50, 500),
        cursor: Annotated[str | None, Query(max_length=64, description="next_cursor")] = None,
    ) -> Response:
        """Sites of the registry by id."""
        return Json(model.sites.page(region, q, limit, cursor))

    @routes.get("/sites/{site_id}", responses=answers(views.SiteDetail, 404))
    async def site_detail(site_id: str) -> Response:
        """A site: its record, who is connected, and the newest reading of each device."""
        site = known(site_id)
        twin = await worker.twin(site_id)
        return Json(
            views.SiteDetail(
                site=_without_secrets(site),
                presence=model.sites.presence(site),
                twin=None if isinstance(twin, str) else twin,
                twin_error=twin if isinstance(twin, str) else None,
            )
        )

    @routes.get("/sites/{site_id}/windows", responses=answers(views.SiteWindows, 404))
    async def site_windows(
        site_id: str, size_s: WindowSize = WindowSize.MINUTE, limit: int = _limit(120, 120)
    ) -> Response:
        """The site's closed windows, newest first."""
        found = model.sites.windows(known(site_id).site_id, size_s, limit)
        return Json(views.SiteWindows(site_id=site_id, size_s=size_s, windows=found))

    return routes
