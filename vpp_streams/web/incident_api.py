"""The API of incidents: the list, and the acknowledgement by a person who attends to one."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Literal, TypeVar

from aiokafka.errors import KafkaError
from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from schemas.incidents import Acknowledgement, Incident, Severity
from vpp_streams.domain.incidents.known import Known, KnownIncidents
from vpp_streams.domain.incidents.rules import KINDS
from vpp_streams.kafka import topics
from vpp_streams.web.answers import Json
from vpp_streams.web.desk import WRITE_S, Kafka
from vpp_streams.web.incident_views import AcknowledgeOrder, IncidentList, IncidentView, view_of
from vpp_streams.web.openapi import answers, takes_order
from vpp_streams.web.operators import Operator
from vpp_streams.web.orders import body_of, ordering_operator
from vpp_streams.web.parameters import router
from vpp_streams.web.problems import ApiError

T = TypeVar("T")


class IncidentApi:
    """Handlers of incidents; an acknowledgement needs an operator's token."""

    def __init__(
        self,
        known: KnownIncidents,
        kafka: Kafka,
        now_ms: Callable[[], int],
        has_operators: bool,
    ) -> None:
        self._known = known
        self._kafka = kafka
        self._now_ms = now_ms
        self._has_operators = has_operators

    def routes(self) -> APIRouter:
        """The paths of these handlers."""
        routes = router("Incidents")
        routes.get("/incidents", responses=answers(IncidentList))(self.incidents)
        routes.post(
            "/incidents/acknowledge",
            status_code=HTTPStatus.CREATED,
            responses=answers(IncidentView, 401, 403, 404, 409, 422, 503, ok=(201,)),
            openapi_extra=takes_order(AcknowledgeOrder),
        )(self.acknowledge)
        return routes

    async def incidents(
        self,
        state: Annotated[Literal["open", "closed"] | None, Query()] = None,
        severity: Annotated[Severity | None, Query()] = None,
        region: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="rows at most")] = 100,
    ) -> Response:
        """Incidents: open ones first, then the newest first."""
        every = self._known.all()
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
        """Acknowledge an open incident: a person attends to it. Any operator of its region may."""
        by = ordering_operator(http, self._has_operators)
        order = await body_of(http, AcknowledgeOrder)
        known = self._open(order.incident_id)
        _permit(by, known.incident)
        record = Acknowledgement(
            incident_id=order.incident_id,
            by=f"operator:{by.name}",
            at_ms=self._now_ms(),
            note=order.note,
        )
        await self._write(record)
        self._known.apply(record)
        return Json(_view(self._open(order.incident_id)), HTTPStatus.CREATED)

    def _open(self, incident_id: str) -> Known:
        known = self._known.one(incident_id)
        if known is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no incident {incident_id[:100]!r}",
                "/api/v1/incidents lists them",
            )
        if known.incident.closed_at_ms:
            raise ApiError(
                HTTPStatus.CONFLICT, "the incident has closed", "there is nothing to attend to"
            )
        return known

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


def _permit(by: Operator, incident: Incident) -> None:
    """Raises `ApiError` (403) if the incident is in a region that is not the operator's."""
    if by.regions != "*" and incident.region and incident.region not in by.regions:
        raise ApiError(
            HTTPStatus.FORBIDDEN,
            f"operator {by.name} has no rights in region {incident.region}",
            f"{by.name} acts in {', '.join(by.regions) or 'no region'}",
        )


def _view(known: Known) -> IncidentView:
    return view_of(known, KINDS[known.incident.kind].unit)
