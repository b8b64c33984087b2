"""The API of the pipeline: a summary, its processes, refused records, the live stream."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response, StreamingResponse

from vpp_streams.serving import views
from vpp_streams.serving.needs import Of, at, some
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen
from vpp_streams.web.answers import Json
from vpp_streams.web.budgets import Budgets
from vpp_streams.web.callers import known
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import rows
from vpp_streams.web.routes import Routes
from vpp_streams.web.stream import LiveResponse, Stream

_LIVE = {
    **answers(views.Summary, 429, 503),
    200: {
        "description": "Events `update`: a Summary whose regions are those that changed"
        " (all of them in the first) and whose processes are left out.",
        "content": {"text/event-stream": {}},
    },
}


class PipelineApi:
    """Handlers of ``/summary``, ``/health``, ``/rejected``, ``/records/rejected``, ``/stream``."""

    def __init__(
        self, model: ReadModel, now_ms: Callable[[], int], stream: Stream, budgets: Budgets
    ) -> None:
        self._model = model
        self._now_ms = now_ms
        self._stream = stream
        self._budgets = budgets

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes = Routes("Pipeline")
        region, pipeline = some("read_region"), some("read_pipeline")
        routes.get("/summary", region, responses=answers(views.Summary))(self.summary)
        routes.get("/health", pipeline, responses=answers(views.HealthView))(self.health)
        rejected = answers(views.RejectedPage)
        routes.get("/rejected", some("read_rejected"), responses=rejected)(self.rejected)
        records, plant = answers(views.RejectedRecordsPage), at(Of.PLANT, "read_records")
        routes.get("/records/rejected", plant, responses=records)(self.rejected_records)
        routes.get("/stream", region, response_class=StreamingResponse, responses=_LIVE)(self.live)
        return routes

    async def summary(self, http: HttpRequest) -> Response:
        """The complete loop on one page: counts, ages, the sender's regions and processes."""
        return Json(Seen(self._model, known(http.scope)).summary(self._now_ms()))

    async def health(self) -> Response:
        """Processes, rates, lag and ages of the pipeline."""
        return Json(self._model.health(self._now_ms()))

    async def rejected(
        self,
        http: HttpRequest,
        reason: Annotated[str | None, Query(max_length=64)] = None,
        limit: int = rows(50, 500),
    ) -> Response:
        """Rejected readings, newest first, with the reason and the received bytes."""
        return Json(Seen(self._model, known(http.scope)).rejected(reason, limit))

    async def rejected_records(
        self,
        topic: Annotated[str | None, Query(max_length=64)] = None,
        limit: int = rows(50, 500),
    ) -> Response:
        """Refused records of our own topics, newest first, with the reason."""
        return Json(self._model.rejected_records.page(topic, limit, self._now_ms()))

    async def live(self, http: HttpRequest) -> Response:
        """Server-sent events: the changes, once a second, until the sender's session ends."""
        return LiveResponse(self._stream, http.scope, self._budgets)
