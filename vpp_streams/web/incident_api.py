"""The API of incidents: the list, and the acknowledgement by a person who attends to one."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Literal, TypeVar

from aiokafka.errors import KafkaError
from fastapi import Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.incidents import Acknowledgement, Incident, Severity
from vpp_streams.domain.access.rights import Principal
from vpp_streams.domain.incidents.known import Known
from vpp_streams.domain.incidents.rules import KINDS
from vpp_streams.kafka import topics
from vpp_streams.serving.desk import WRITE_S, Kafka
from vpp_streams.serving.needs import denied, some
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen
from vpp_streams.web.answers import Json
from vpp_streams.web.bodies import body_of
from vpp_streams.web.callers import known, set_outcome
from vpp_streams.web.incident_views import AcknowledgeOrder, IncidentList, IncidentView, view_of
from vpp_streams.web.openapi import answers, takes_order
from vpp_streams.web.routes import Routes

T = TypeVar("T")


class IncidentApi:
    """Handlers of incidents. Those of a region are its readers'; others, of whoever reads all."""

    def __init__(self, model: ReadModel, kafka: Kafka, now_ms: Callable[[], int]) -> None:
        self._model = model
        self._known = model.incidents
        self._kafka = kafka
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes = Routes("Incidents")
        routes.get("/incidents", some("read_region"), responses=answers(IncidentList))(
            self.incidents
        )
        routes.post(
            "/incidents/acknowledge",
            some("acknowledge"),
            status_code=HTTPStatus.CREATED,
            responses=answers(IncidentView, 401, 403, 404, 409, 422, 503, ok=(201,)),
            openapi_extra=takes_order(AcknowledgeOrder),
        )(self.acknowledge)
        return routes

    async def incidents(
        self,
        http: HttpRequest,
        state: Annotated[Literal["open", "closed"] | None, Query()] = None,
        severity: Annotated[Severity | None, Query()] = None,
        region: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="rows at most")] = 100,
    ) -> Response:
        """Incidents: open ones first, then the newest first."""
        seen = Seen(self._model, known(http.scope))
        every = [one for one in self._known.all() if seen.sees_incident(one.incident)]
        open_ = [one for one in every if not one.incident.closed_at_ms]
        found = [one for one in every if _matches(one.incident, state, severity, region)]
        return Json(
            IncidentList(
                total=len(found),
                open=len(open_),
                unacknowledged=sum(one.acknowledgement is None for one in open_),
                incidents=[_view(one) for one in found[:limit]],
            )
        )

    async def acknowledge(self, http: HttpRequest) -> Response:
        """Acknowledge an open incident: a person attends to it. Right: acknowledge."""
        by = known(http.scope)
        order = await body_of(http, AcknowledgeOrder)
        incident = self._open(order.incident_id, by).incident
        if incident.region and (denial := by.denial("acknowledge", (incident.region,))):
            raise denied(denial, by)
        record = Acknowledgement(
            incident_id=order.incident_id,
            by=f"operator:{by.name}",
            at_ms=self._now_ms(),
            note=order.note,
        )
        await self._write(record)
        self._known.apply(record)
        set_outcome(http.scope, f"{order.incident_id} acknowledged")
        return Json(_view(self._open(order.incident_id, by)), HTTPStatus.CREATED)

    def _open(self, incident_id: str, who: Principal) -> Known:
        found = self._known.one(incident_id)
        if found is None or not Seen(self._model, who).sees_incident(found.incident):
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no incident {incident_id[:100]!r}",
                "/api/v1/incidents lists them",
            )
        if found.incident.closed_at_ms:
            raise ApiError(
                HTTPStatus.CONFLICT, "the incident has closed", "there is nothing to attend to"
            )
        return found

    async def _write(self, record: Acknowledgement) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await self._kafka.write(topics.INCIDENTS, record)
        except (KafkaError, TimeoutError) as error:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"Kafka did not take the acknowledgement ({type(error).__name__})",
                "try again in a moment",
            ) from None


def _matches(
    incident: Incident, state: str | None, severity: str | None, region: str | None
) -> bool:
    now = "closed" if incident.closed_at_ms else "open"
    return (
        state in (None, now)
        and severity in (None, incident.severity)
        and region in (None, incident.region)
    )


def _view(one: Known) -> IncidentView:
    return view_of(one, KINDS[one.incident.kind].unit)
