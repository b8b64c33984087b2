"""The API for owners: their homes, why the battery does what it does, and what they decide."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from aiokafka.errors import KafkaError
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.assets import Site
from schemas.preferences import Preferences
from vpp_streams.domain.owners.choices import Change, changed, joining, skipping
from vpp_streams.kafka import topics
from vpp_streams.serving.absent import no_site
from vpp_streams.serving.desk import WRITE_S, Kafka
from vpp_streams.serving.needs import ONESELF, Of, at
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.web.answers import Json
from vpp_streams.web.bodies import body_of
from vpp_streams.web.callers import known, set_outcome
from vpp_streams.web.home_views import HomeList, HomeView, SkipOrder
from vpp_streams.web.homes import Homes
from vpp_streams.web.openapi import answers, takes_order
from vpp_streams.web.routes import Routes


class HomeApi:
    """Handlers of ``/homes``."""

    def __init__(
        self, model: ReadModel, worker: FleetWorker, kafka: Kafka, now_ms: Callable[[], int]
    ) -> None:
        self._model = model
        self._homes = Homes(model)
        self._worker = worker
        self._kafka = kafka
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes, home = Routes("Homes"), "/homes/{site_id}"
        routes.get("/homes", ONESELF, responses=answers(HomeList))(self.homes)
        routes.get(home, at(Of.SITE, "read_site"), responses=answers(HomeView, 404))(self.home)
        problems = answers(HomeView, 401, 403, 404, 422, 503)
        routes.post(
            f"{home}/preferences",
            at(Of.SITE, "choose"),
            responses=problems,
            openapi_extra=takes_order(Change),
        )(self.choose)
        routes.post(
            f"{home}/skips",
            at(Of.SITE, "choose"),
            responses=problems,
            openapi_extra=takes_order(SkipOrder),
        )(self.skip)
        return routes

    async def homes(self, http: HttpRequest) -> Response:
        """The homes that the sender owns."""
        scopes = [grant.scope for grant in known(http.scope).grants if grant.role == "owner"]
        found = {scope.name for scope in scopes if self._model.sites.registry.site(scope.name)}
        return Json(HomeList(homes=sorted(found)))

    async def home(self, site_id: str) -> Response:
        """A home now: its flows, the reason, events ahead, storms, and what its owner decided."""
        return Json(await self._view(self._site(site_id)))

    async def choose(self, site_id: str, http: HttpRequest) -> Response:
        """Change the reserve, storm mode, a pause, or leave. The fleet obeys within a second."""
        change = await body_of(http, Change, what="change")
        before = self._homes.preferences(site_id, self._now_ms())
        after = changed(before, change, _by(http), self._now_ms())
        return await self._decided(site_id, after, http)

    async def skip(self, site_id: str, http: HttpRequest) -> Response:
        """Take no part in an event, now or when it begins; or take part in it again."""
        order = await body_of(http, SkipOrder)
        now_ms, site = self._now_ms(), self._site(site_id)
        before = self._homes.preferences(site_id, now_ms)
        if not order.skip:
            return await self._decided(
                site_id, joining(before, order.request_id, _by(http), now_ms), http
            )
        requests = self._model.dispatches.not_over(site.region, now_ms)
        events = {request.request_id for request in requests}
        after = skipping(before, order.request_id, events, _by(http), now_ms)
        return await self._decided(site_id, after, http)

    async def _decided(self, site_id: str, after: Preferences | str, http: HttpRequest) -> Response:
        if isinstance(after, str):
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, after, "nothing was changed")
        try:
            async with asyncio.timeout(WRITE_S):
                await self._kafka.write(topics.PREFERENCES, after)
        except (KafkaError, TimeoutError) as error:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"Kafka did not take the change ({type(error).__name__})",
                "it is not known whether it was written: look again in a moment",
            ) from None
        self._model.sites.registry.prefer(site_id, after)
        set_outcome(http.scope, f"preferences of {site_id} changed")
        return Json(await self._view(self._site(site_id)))

    def _site(self, site_id: str) -> Site:
        site = self._model.sites.registry.site(site_id)
        if site is None:
            raise no_site(site_id)
        return site

    async def _view(self, site: Site) -> HomeView:
        twin = await self._worker.twin(site.site_id)
        return self._homes.view(site, twin, self._now_ms())


def _by(http: HttpRequest) -> str:
    return f"owner:{known(http.scope).name}"
