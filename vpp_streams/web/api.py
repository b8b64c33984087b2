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
from vpp_streams.domain.owners.choices import Change
from vpp_streams.domain.statements.document import StatementDocument
from vpp_streams.domain.statements.past_events import PastEvent
from vpp_streams.history.formats import ReportView
from vpp_streams.serving import control_views, market_views, views
from vpp_streams.serving.desk import ANSWER_S, Desk, Kafka
from vpp_streams.serving.logins import Logins
from vpp_streams.serving.needs import ONESELF, PUBLIC
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings, words_of
from vpp_streams.statements.reading import LedgerReader
from vpp_streams.web import account_views
from vpp_streams.web.account_api import AccountApi
from vpp_streams.web.budgets import report_budgets, stream_budgets
from vpp_streams.web.control_api import ControlApi
from vpp_streams.web.guard import Guard
from vpp_streams.web.history_api import HistoryApi
from vpp_streams.web.history_views import HistoryView
from vpp_streams.web.home_api import HomeApi
from vpp_streams.web.home_views import HomeList, HomeView, SkipOrder
from vpp_streams.web.incident_api import IncidentApi
from vpp_streams.web.incident_views import AcknowledgeOrder, IncidentList, IncidentView
from vpp_streams.web.ledger_access import LedgerAccess
from vpp_streams.web.market_api import MarketApi
from vpp_streams.web.oidc import Oidc
from vpp_streams.web.openapi import describe_with
from vpp_streams.web.order_api import OrderApi
from vpp_streams.web.past_flows import PastFlows
from vpp_streams.web.pipeline_api import PipelineApi
from vpp_streams.web.problems import answer_problems
from vpp_streams.web.region_api import RegionApi
from vpp_streams.web.routes import PREFIX, Declared, Needs
from vpp_streams.web.senders import Senders
from vpp_streams.web.session_api import SessionApi
from vpp_streams.web.sign_in import SignIn
from vpp_streams.web.site_api import SiteApi
from vpp_streams.web.statement_api import StatementApi
from vpp_streams.web.statement_views import Entries, Months, PastEvents
from vpp_streams.web.stream import Stream

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
    *(market_views.BidView, account_views.Me, account_views.AccountView, account_views.Ways),
    *(account_views.SignedIn, account_views.Changed, account_views.NewToken),
    *(account_views.TotpStart, account_views.SignInForm, account_views.LinkForm),
    *(account_views.PasswordForm, account_views.ConfirmForm, account_views.CodeForm),
    *(account_views.TokenForm, IncidentList, IncidentView, AcknowledgeOrder),
    *(HomeList, HomeView, SkipOrder, Change, HistoryView, ReportView),
    *(HomeList, HomeView, SkipOrder, Change),
    *(PastEvents, PastEvent, Months, StatementDocument, Entries),
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
    logins: Logins,
    fleet: FleetWorker | None = None,
    stopping: Callable[[], bool] = lambda: False,
    answer_s: float = ANSWER_S,
    oidc: Oidc | None = None,
) -> FastAPI:
    """The HTTP application over ``read_model``; orders are written to ``kafka``.

    ``logins`` knows who sends a request. ``fleet`` provides twins (default: the worker at
    ``settings.fleet_url``). Live streams end once ``stopping()`` is true. The region role has
    ``answer_s`` seconds to answer an order. ``oidc`` is an organisation's provider.
    """
    worker = fleet or FleetWorker(settings.fleet_url, token=settings.service_token)
    ledger = LedgerAccess(LedgerReader(settings), read_model.counters)
    app, accounts = _empty_app(worker, ledger), logins.accounts
    answer_problems(app)
    sign_in = SignIn(accounts, now_ms, logins.clock_s)
    stream = Stream(read_model, now_ms, stopping, Senders(logins).again)
    budgets, needs = stream_budgets(settings.web_per_client), Needs()
    for part in (
        PipelineApi(read_model, now_ms, stream, budgets),
        RegionApi(read_model, now_ms),
        SiteApi(read_model, worker, now_ms),
        ControlApi(read_model, kafka, now_ms),
        OrderApi(Desk(kafka, read_model, now_ms, answer_s)),
        MarketApi(read_model, now_ms),
        SessionApi(accounts, sign_in, oidc, now_ms),
        AccountApi(accounts, sign_in, now_ms),
        IncidentApi(read_model, kafka, now_ms),
        HomeApi(read_model, worker, kafka, now_ms),
        HistoryApi(settings, read_model, report_budgets(), now_ms, ledger),
        StatementApi(read_model, ledger, PastFlows(settings, read_model.counters), now_ms),
    ):
        routes = part.routes()
        # `include_router` would build each of them a second time.
        app.router.routes.extend(routes.router.routes)
        needs.extend(routes.declared, PREFIX)
    describe_with(app, _DOCUMENTED)
    needs.extend(_serve_pages(app))
    _guard(app, settings, logins, needs, read_model)
    return app


def _empty_app(worker: FleetWorker, ledger: LedgerAccess) -> FastAPI:
    """An application without routes, which ends its access to the fleet worker and the ledger."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await worker.close()
        ledger.close()

    return FastAPI(
        title="vpp_streams",
        version=version("vpp-streams"),
        description=_ABOUT,
        docs_url=None,  # FastAPI's own page loads its scripts from a CDN
        redoc_url=None,
        lifespan=lifespan,
    )


def _guard(
    app: FastAPI, settings: Settings, logins: Logins, needs: Needs, read_model: ReadModel
) -> None:
    """Let every request pass the guard first, then be compressed on its way out."""
    # The last one added is the first that a request passes.
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    app.add_middleware(
        Guard,
        logins=logins,
        needs=needs,
        read_model=read_model,
        host=settings.host,
        more_hosts=words_of(settings.web_hosts),
    )


def _serve_pages(app: FastAPI) -> list[Declared]:
    """Serve the dashboard's files; returns the paths, which contain no data."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html", headers={"Cache-Control": "no-cache"})

    app.mount("/", _Pages(directory=STATIC, html=True))
    files = [path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()]
    public = [Declared("GET", path, PUBLIC) for path in ("/", "/docs", *(f"/{f}" for f in files))]
    return [*public, Declared("GET", "/openapi.json", ONESELF)]
