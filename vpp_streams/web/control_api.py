"""The API of control: requests to regions and commands to devices, with their outcomes."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Literal, get_args

from aiokafka.errors import KafkaError
from fastapi import Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.bounds import PARTITIONS
from schemas.commands import CommandState
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.errors import BrokerError
from vpp_streams.serving.absent import no_device
from vpp_streams.serving.control_views import (
    AlarmList,
    AlertList,
    CommandList,
    DeviceStory,
    DispatchView,
)
from vpp_streams.serving.desk import Kafka
from vpp_streams.serving.needs import Of, at, some
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen
from vpp_streams.serving.story import StoryLine, read_story
from vpp_streams.serving.story_fold import folded
from vpp_streams.web.answers import Json
from vpp_streams.web.budgets import story_budgets
from vpp_streams.web.callers import known
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import known_region
from vpp_streams.web.routes import Routes

READ_S = 30.0
"""Reading a story is given up after this time, s."""


class ControlApi:
    """Handlers that only read: dispatches, commands, alarms, storms, a device's story."""

    def __init__(self, model: ReadModel, kafka: Kafka, now_ms: Callable[[], int]) -> None:
        self._model = model
        self._kafka = kafka
        self._now_ms = now_ms
        self._budgets = story_budgets()

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes, site = Routes("Control"), some("read_site")
        routes.get(
            "/regions/{region}/dispatch",
            at(Of.REGION, "read_region"),
            responses=answers(DispatchView, 404),
        )(self.dispatch)
        routes.get("/commands", site, responses=answers(CommandList))(self.commands)
        either = some("read_site", "read_region")
        routes.get("/alarms", either, responses=answers(AlarmList))(self.alarms)
        routes.get("/alerts", either, responses=answers(AlertList))(self.alerts)
        routes.get(
            "/devices/{device_id}/commands",
            at(Of.DEVICE, "read_site"),
            responses=answers(DeviceStory, 404, 429, 503),
        )(self.story)
        return routes

    def _seen(self, http: HttpRequest) -> Seen:
        return Seen(self._model, known(http.scope))

    async def dispatch(
        self,
        http: HttpRequest,
        region: str,
        points: Annotated[int, Query(ge=2, le=4000)] = 600,
    ) -> Response:
        """A region's dispatch: its present state, its requests, and the last half hour."""
        name = known_region(self._model, known(http.scope), region)
        return Json(self._model.dispatches.view(name, points, self._now_ms()))

    async def commands(
        self,
        http: HttpRequest,
        region: Annotated[str | None, Query(max_length=64)] = None,
        state: Annotated[str | None, Query(max_length=16)] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="rows at most")] = 50,
    ) -> Response:
        """The newest command of each device, newest first, with its outcome."""
        states = get_args(CommandState)
        if state is not None and state not in states:
            hint = f"states: {', '.join(states)}"
            raise ApiError(HTTPStatus.BAD_REQUEST, f"state: there is no state {state!r}", hint)
        return Json(self._seen(http).commands(region, state, limit))

    async def alarms(
        self,
        http: HttpRequest,
        limit: Annotated[int, Query(ge=1, le=500, description="rows at most")] = 100,
    ) -> Response:
        """Devices that deviate from their command or did not answer, and regions with a problem."""
        return Json(self._seen(http).alarms(self._now_ms(), limit))

    async def alerts(self, http: HttpRequest) -> Response:
        """Storms that have not ended."""
        return Json(AlertList(alerts=self._seen(http).alerts(self._now_ms())))

    async def story(
        self,
        http: HttpRequest,
        device_id: str,
        last_s: Annotated[int, Query(ge=1, le=30 * 86_400, description="how far back")] = 3600,
        renewals: Annotated[
            Literal["yes", "no"], Query(description="no: ordinary renewals are only counted")
        ] = "yes",
    ) -> Response:
        """A device's commands of the last hour and their outcomes, from the topics."""
        found = self._model.sites.registry.device(device_id)
        if found is None:
            raise no_device(device_id)
        site = found[1]
        now, partition = self._now_ms(), partition_of(site.site_id, PARTITIONS)
        since_ms = now - 1000 * last_s
        async with self._budgets.place(http.scope):
            reading = read_story(self._kafka, device_id, partition, since_ms=since_ms, now_ms=now)
            lines = await _in_time(reading)
        return Json(
            DeviceStory(
                device_id=device_id,
                site_id=site.site_id,
                region=site.region,
                since_ms=since_ms,
                newest=self._model.commands.of_device(device_id),
                story=lines if renewals == "yes" else folded(lines),
            )
        )


async def _in_time(reading: Awaitable[list[StoryLine]]) -> list[StoryLine]:
    """The lines read from Kafka. Raises `ApiError` (503) if Kafka fails or takes too long."""
    try:
        async with asyncio.timeout(READ_S):
            return await reading
    except (BrokerError, KafkaError, TimeoutError) as error:
        raise ApiError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the topics cannot be read now ({type(error).__name__})",
            "request less with `last_s`, or try again in a moment",
        ) from None
