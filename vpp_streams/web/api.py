"""The HTTP application: a documented JSON API over the read model, and the dashboard's files."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec
from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Scope

from schemas.forecast import RegionForecast
from vpp_streams.settings import Settings, words_of
from vpp_streams.web import control_views, market_views, views
from vpp_streams.web.budgets import stream_budgets
from vpp_streams.web.control_api import ControlApi
from vpp_streams.web.desk import ANSWER_S, Desk, Kafka
from vpp_streams.web.guard import Guard
from vpp_streams.web.incident_api import IncidentApi
from vpp_streams.web.incident_views import AcknowledgeOrder, IncidentList, IncidentView
from vpp_streams.web.logins import Logins
from vpp_streams.web.market_api import MarketApi
from vpp_streams.web.openapi import describe_with
from vpp_streams.web.order_api import OrderApi
from vpp_streams.web.pipeline_api import PipelineApi
from vpp_streams.web.problems import answer_problems
from vpp_streams.web.readmodel import ReadModel
from vpp_streams.web.region_api import RegionApi
from vpp_streams.web.site_api import SiteApi
from vpp_streams.web.stream import Stream
from vpp_streams.web.twins import FleetWorker

STATIC = Path(__file__).parent / "static"
_ABOUT = """The present and recent state of a virtual power plant's fleet, and orders to it.

Signs: battery + = discharge, grid + = import, solar >= 0, load >= 0; load = grid + battery + solar.
Times are ms since 1970 UTC; null = not measured. Every aggregate carries coverage and age.
"""


_DOCUMENTED: list[type[msgspec.Struct]] = [
    *(views.Summary, views.HealthView, views.RejectedPage, views.RegionList),
    views.RejectedRecordsPage,
    *(views.RegionHistory, views.RegionWindows, RegionForecast),
    *(views.SitePage, views.SiteDetail, views.SiteWindows, views.MapView),
    *(control_views.DispatchView, control_views.CommandList, control_views.AlarmList),
    *(control_views.AlertList, control_views.DeviceStory, control_views.Ordered),
    *(control_views.TargetOrder, control_views.LimitOrder, control_views.HoldOrder),
    *(control_views.StormOrder, market_views.MarketList, market_views.MarketView),
    *(market_views.BidView, IncidentList, IncidentView, AcknowledgeOrder),
]
"""The schemas of answers and orders, in the order of the documentation."""


class _Pages(StaticFiles):
    """The dashboard's files; a browser checks each time whether they have changed (ETag)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


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
    """The HTTP application over ``read_model``; orders are written to ``kafka``.

    ``fleet`` provides twins (default: the worker at ``settings.fleet_url``). Live streams end once
    ``stopping()`` is true. The region role has ``answer_s`` seconds to answer an order. ``logins``
    knows the operators (default: those in the file ``settings.operators``).
    """
    worker = fleet or FleetWorker(settings.fleet_url, token=settings.service_token)
    logins = logins or Logins(settings.operators)
    app = _empty_app(worker)
    answer_problems(app)
    budgets = stream_budgets(settings.web_per_client)
    for part in (
        PipelineApi(read_model, now_ms, Stream(read_model, now_ms, stopping), budgets),
        RegionApi(read_model, now_ms),
        SiteApi(read_model, worker, now_ms),
        ControlApi(read_model, kafka, now_ms),
        OrderApi(Desk(kafka, read_model, now_ms, answer_s), logins.has_operators),
        MarketApi(read_model.markets, now_ms),
        IncidentApi(read_model.incidents, kafka, now_ms, logins.has_operators),
    ):
        app.include_router(part.routes(), prefix="/api/v1")
    describe_with(app, _DOCUMENTED)
    _serve_pages(app)
    _guard(app, settings, logins, read_model)
    return app


def _empty_app(worker: FleetWorker) -> FastAPI:
    """An application without routes, which closes its access to the fleet worker at its end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await worker.close()

    return FastAPI(
        title="vpp_streams",
        version=version("vpp-streams"),
        description=_ABOUT,
        docs_url=None,  # FastAPI's own page loads its scripts from a CDN
        redoc_url=None,
        lifespan=lifespan,
    )


def _guard(app: FastAPI, settings: Settings, logins: Logins, read_model: ReadModel) -> None:
    """Let every request pass the guard first, then be compressed on its way out."""
    # The last one added is the first that a request passes.
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(
        Guard,
        logins=logins,
        counters=read_model.counters,
        host=settings.host,
        more_hosts=words_of(settings.web_hosts),
    )


def _serve_pages(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html", headers={"Cache-Control": "no-cache"})

    app.mount("/", _Pages(directory=STATIC, html=True))
