"""The API of reports over history: JSON, CSV or Parquet, as the client prefers."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Header, Query, Request
from fastapi.responses import Response

from vpp_streams.domain.access.rights import Action, Principal
from vpp_streams.domain.history.kinds import KINDS
from vpp_streams.domain.history.periods import GROUPS, Group
from vpp_streams.domain.history.reports import REPORT_NAMES, REPORTS
from vpp_streams.errors import InputError
from vpp_streams.history.formats import (
    MEDIA_TYPES,
    Format,
    ReportView,
    encoded,
    file_name,
)
from vpp_streams.history.questions import question_of
from vpp_streams.history.reports import (
    Answer,
    Answering,
    History,
    NoHistoryError,
    open_history,
)
from vpp_streams.serving.absent import no_region, no_site
from vpp_streams.serving.needs import some
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings
from vpp_streams.statements.earnings import LedgerEarnings, is_in_ledger
from vpp_streams.web.accept import format_for
from vpp_streams.web.answers import Json
from vpp_streams.web.budgets import Budgets
from vpp_streams.web.callers import known
from vpp_streams.web.history_views import HistoryView, KindView, ReportInfo
from vpp_streams.web.ledger_access import LedgerAccess
from vpp_streams.web.openapi import answers
from vpp_streams.web.routes import Routes

_ACTIONS: dict[str, Action] = {"earnings": "read_market", "delivery": "read_market"}
"""The right that a report of regions needs, if it is not to read them."""


class HistoryApi:
    """Handlers of ``/reports``."""

    def __init__(
        self,
        settings: Settings,
        model: ReadModel,
        budgets: Budgets,
        now_ms: Callable[[], int],
        ledger: LedgerAccess,
    ) -> None:
        """The directory of history may be begun after this process; so may the ledger."""
        self._root = settings.history_dir
        self._lateness_ms = settings.window_retention_s * 1000
        self._model = model
        self._budgets = budgets
        self._now_ms = now_ms
        self._ledger = ledger

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes, need = Routes("Reports"), some("read_region", "read_market", "read_site")
        routes.get("/reports", need, responses=answers(HistoryView, 404))(self.overview)
        described = answers(ReportView, 404, 406, 429, 503)
        for media in MEDIA_TYPES.values():
            described[200]["content"].setdefault(media, {"schema": {"type": "string"}})
        routes.get("/reports/{report}", need, responses=described)(self.report)
        return routes

    async def overview(self) -> Response:
        """What history has: its days, kinds and reports."""
        extent = await asyncio.to_thread(lambda: self._history().extent())
        return Json(
            HistoryView(
                tz=extent.zone,
                first_day=str(extent.first) if extent.first else None,
                last_day=str(extent.last) if extent.last else None,
                groups=list(GROUPS),
                formats=list(MEDIA_TYPES.values()),
                reports=[ReportInfo(n, REPORTS[n].about, REPORTS[n].by_site) for n in REPORT_NAMES],
                kinds=[KindView(k.name, k.about, extent.days[k.name]) for k in KINDS],
            )
        )

    async def report(
        self,
        request: Request,
        report: str,
        *,
        from_: Annotated[
            str | None,
            Query(
                alias="from", description="local date or ISO 8601 time; else where history begins"
            ),
        ] = None,
        to: Annotated[
            str | None, Query(description="the last day, or the time of the end; else now")
        ] = None,
        group: Annotated[
            Group, Query(description="length of a row's period, by local time")
        ] = "day",
        region: Annotated[
            str | None, Query(description="only this one; * = a row for each; else all together")
        ] = None,
        site: Annotated[
            str | None, Query(description="this site; * = a row for each (of the region)")
        ] = None,
        tz: Annotated[
            str | None, Query(description="IANA time zone of days; else that of history")
        ] = None,
        format_: Annotated[
            Format | None, Query(alias="format", description="for links; else by Accept")
        ] = None,
        accept: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        """Sums by period. Each has its coverage, and says whether it is final; null = not measured.

        As a CSV or Parquet file where `Accept` prefers `text/csv` or
        `application/vnd.apache.parquet`.
        """
        if report not in REPORT_NAMES:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"there is no report {report[:64]!r}",
                f"reports: {', '.join(REPORT_NAMES)}",
            )
        self._permit(known(request.scope), report, region, site)
        wanted = format_ or format_for(accept, MEDIA_TYPES, "report")

        def made(source: Answering) -> tuple[Answer, bytes]:
            question = question_of(
                source,
                report,
                from_=from_,
                to=to,
                group=group,
                region=region,
                site=site,
                tz=tz,
                now_ms=self._now_ms(),
            )
            answer = source.answer(question)
            return answer, encoded(answer, wanted)

        try:
            if is_in_ledger(report, site):
                of = site or ""
                found = await self._ledger.read(
                    request.scope, lambda reader: _or_fault(made, LedgerEarnings(reader, of))
                )
                if isinstance(found, InputError):
                    raise found
                return _file(*found, wanted)
            async with self._budgets.place(request.scope):
                return _file(*await asyncio.to_thread(lambda: made(self._history())), wanted)
        except InputError as error:
            raise ApiError(HTTPStatus.BAD_REQUEST, str(error)) from None

    def _permit(self, who: Principal, report: str, region: str | None, site: str | None) -> None:
        """Raises `ApiError` for places that the sender may not see: 404 for one, 403 for all."""
        of_home: Action = "read_money" if report == "earnings" else "read_site"
        if site not in (None, "*"):
            found = self._model.sites.registry.record(site or "")  # a retired one has history too
            seen = found is not None and who.may_at(of_home, found.site_id, found.region)
            if not seen and not who.may_everywhere(of_home):
                raise no_site(site or "")
            return
        action: Action = of_home if site == "*" else _ACTIONS.get(report, "read_region")
        if region in (None, "*"):
            if not who.may_everywhere(action):
                raise ApiError(
                    HTTPStatus.FORBIDDEN,
                    f"{who.name} does not have the right {action!r} in every region",
                    "name one with region=, or a home with site=",
                )
        elif not who.may_in(action, region or ""):
            raise no_region(self._model, who, region or "")

    def _history(self) -> History:
        """The history. Raises `ApiError` where there is none."""
        try:
            return open_history(self._root, self._lateness_ms)
        except NoHistoryError:
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                "there is no history yet",
                "`vpp worker historian` keeps one; VPP_HISTORY names the directory, for it and for"
                " the web process",
            ) from None


def _or_fault(
    made: Callable[[Answering], tuple[Answer, bytes]], source: Answering
) -> tuple[Answer, bytes] | InputError:
    """The report, or what is wrong with the question: that is no fault of the ledger."""
    try:
        return made(source)
    except InputError as error:
        return error


def _file(answer: Answer, content: bytes, format_: Format) -> Response:
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if format_ != "json":
        name = file_name(answer, format_)
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(content, headers=headers, media_type=MEDIA_TYPES[format_])
