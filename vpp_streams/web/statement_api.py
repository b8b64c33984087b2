"""The API of payments to owners: past events, monthly statements, and the entries behind them."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import Path, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from starlette.types import Scope

from schemas.assets import Site
from schemas.settlement import EntryKind
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.settle.periods import month_of
from vpp_streams.domain.statements.document import MONTH, StatementDocument
from vpp_streams.domain.statements.entry_details import entry_detail
from vpp_streams.domain.statements.flows import EventFlows, event_flows
from vpp_streams.domain.statements.past_events import PastEvent, past_events
from vpp_streams.serving.absent import no_site
from vpp_streams.serving.needs import Of, at
from vpp_streams.serving.readmodel import KEEP_SITE_WINDOWS, ReadModel
from vpp_streams.statements.files import MEDIA_TYPES, Format, file_name, file_of
from vpp_streams.statements.reading import LedgerReader
from vpp_streams.statements.storms import StormFacts
from vpp_streams.web.accept import format_for
from vpp_streams.web.answers import Json
from vpp_streams.web.ledger_access import LedgerAccess
from vpp_streams.web.openapi import answers
from vpp_streams.web.parameters import rows, time_range
from vpp_streams.web.past_flows import PastFlows, Span, span_of
from vpp_streams.web.routes import Routes
from vpp_streams.web.statement_views import Entries, EntryLinks, LinkedEntry, Months, PastEvents

MOST_DAYS = 92
"""Longest range of events: a quarter."""
_STORY_MS = 30 * DAY_MS
"""How far back the commands of a device are kept."""
Month = Annotated[str, Path(pattern=MONTH, description="a month, for example 2026-11")]
Moment = Annotated[int | None, Query(ge=0, le=2**53, description="ms since 1970 UTC")]


class StatementApi:
    """Handlers of ``/homes/{site_id}`` that read the ledger."""

    def __init__(
        self, model: ReadModel, access: LedgerAccess, past: PastFlows, now_ms: Callable[[], int]
    ) -> None:
        self._model = model
        self._past = past
        self._access = access
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """The paths of these handlers."""
        routes, home, need = Routes("Homes"), "/homes/{site_id}", at(Of.SITE, "read_money")
        problems = (404, 429, 503)
        events, months = answers(PastEvents, *problems), answers(Months, *problems)
        routes.get(f"{home}/events", need, responses=events)(self.events)
        routes.get(f"{home}/statements", need, responses=months)(self.months)
        statement = answers(StatementDocument, 406, *problems)
        for media_type in MEDIA_TYPES.values():
            statement[200]["content"].setdefault(media_type, {})
        routes.get(f"{home}/statements/{{month}}", need, responses=statement)(self.statement)
        routes.get(f"{home}/entries", need, responses=answers(Entries, *problems))(self.entries)
        return routes

    async def events(  # noqa: PLR0917  # the parameters of a query, which FastAPI gives by name
        self,
        http: HttpRequest,
        site_id: str,
        since: Annotated[Moment, Query(alias="from")] = None,
        until: Annotated[Moment, Query(alias="to")] = None,
        days: Annotated[int, Query(ge=1, le=MOST_DAYS, description="where there is no `from`")] = 7,
        limit: int = rows(100, 500),
    ) -> Response:
        """Past events of the last week, or of a range: what was given, why, and what was paid."""
        site = self._site(site_id)
        span = time_range(since, until, self._now_ms(), days=days, most_days=MOST_DAYS)

        def read(ledger: LedgerReader) -> tuple[str, list[PastEvent]]:
            zone = ledger.zone
            return str(zone), past_events(ledger.entries(site_id, *span), zone)

        zone, found = await self._access.read(http.scope, read)
        return Json(
            PastEvents(
                site_id=site_id,
                zone=zone,
                from_ms=span[0],
                to_ms=span[1],
                total=len(found),
                events=await self._with_flows(http.scope, site, found[:limit]),
            )
        )

    async def months(self, http: HttpRequest, site_id: str) -> Response:
        """The months in which the home has entries, with what was earned and paid out in each."""
        now_ms = self._now_ms()

        def read(ledger: LedgerReader) -> Months:
            return Months(
                site_id=site_id,
                zone=str(ledger.zone),
                this_month=month_of(now_ms, ledger.zone),
                months=ledger.months(site_id),
            )

        return Json(await self._access.read(http.scope, read))

    async def statement(
        self,
        http: HttpRequest,
        site_id: str,
        month: Month,
        format_: Annotated[Format | None, Query(alias="format")] = None,
    ) -> Response:
        """A month's statement as JSON, CSV or PDF: by ``format``, or by the header Accept."""
        chosen = format_ or format_for(http.headers.get("accept"), MEDIA_TYPES, "statement")
        programs, now_ms = list(self._model.programs.values()), self._now_ms()
        facts = StormFacts(
            self._model.known_alerts(),
            self._site(site_id),
            self._model.sites.registry.preferences(site_id),
            self._model.agreements,
        )

        def read(ledger: LedgerReader) -> tuple[str, bytes]:
            storms = ledger.storms.bill(facts, month, ledger.zone, now_ms)
            document = ledger.statement(site_id, month, programs, storms)
            return file_name(document, chosen), file_of(document, chosen)

        name, content = await self._access.read(http.scope, read)
        headers = {"Cache-Control": "no-store", "Vary": "Accept"}
        if chosen != "json":
            headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return Response(content, headers=headers, media_type=MEDIA_TYPES[chosen])

    async def entries(  # noqa: PLR0917  # the parameters of a query, which FastAPI gives by name
        self,
        http: HttpRequest,
        site_id: str,
        month: Annotated[str, Query(pattern=MONTH, description="for example 2026-11")],
        kind: EntryKind | None = None,
        program_id: Annotated[str | None, Query(max_length=64)] = None,
        program_version: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
        offset: Annotated[int, Query(ge=0, le=10**6, description="entries to leave out")] = 0,
        limit: int = rows(200, 1000),
    ) -> Response:
        """The entries behind a line of a statement, each with its formula and measurements."""
        site, now_ms = self._site(site_id), self._now_ms()

        def read(ledger: LedgerReader) -> Entries:
            zone = ledger.zone
            found = [
                one
                for one in ledger.entries_of_month(site_id, month)
                if kind in (None, one.kind)
                and program_id in (None, one.program_id)
                and program_version in (None, one.program_version)
            ]
            details = [entry_detail(site_id, one, zone) for one in found[offset : offset + limit]]
            return Entries(
                site_id=site_id,
                month=month,
                zone=str(zone),
                total=len(found),
                entries=[
                    LinkedEntry(entry=one, links=_links(site, one.start_ms, one.kind, now_ms))
                    for one in details
                ],
            )

        return Json(await self._access.read(http.scope, read))

    def _site(self, site_id: str) -> Site:
        site = self._model.sites.registry.site(site_id)
        if site is None:
            raise no_site(site_id)
        return site

    async def _with_flows(
        self, scope: Scope, site: Site, events: list[PastEvent]
    ) -> list[PastEvent]:
        """The events with their flows, as far as their windows are in memory or in history."""
        delivered = [event for event in events if event.why != "availability"]
        reserve = {span_of(event): self._reserve(site, event) for event in delivered}
        flows = {
            span: found
            for span, kept in reserve.items()
            if (found := self._recent(site.site_id, span, kept)) is not None
        }
        older = [event for event in delivered if span_of(event) not in flows]
        if older:
            read = await self._access.read(
                scope, lambda _ledger: self._past.of(site.site_id, older, reserve)
            )
            flows |= read
        return [
            event
            if event.why == "availability"
            else msgspec.structs.replace(event, flows=flows.get(span_of(event)))
            for event in events
        ]

    def _reserve(self, site: Site, event: PastEvent) -> float | None:
        """The owner's reserve at the time; None = it was changed since."""
        chosen = self._model.sites.registry.preferences(site.site_id)
        if chosen is None or chosen.backup_reserve is None:
            return site.backup_reserve
        return chosen.backup_reserve if chosen.set_at_ms <= event.start_ms else None

    def _recent(self, site_id: str, span: Span, reserve: float | None) -> EventFlows | None:
        for size_s, count in KEEP_SITE_WINDOWS.items():
            windows = self._model.sites.windows(site_id, size_s, count)
            flows = event_flows(windows, *span, reserve)
            if flows is not None:
                return flows
        return None


def _links(site: Site, start_ms: int, kind: str, now_ms: int) -> EntryLinks:
    age_ms = now_ms - start_ms
    measured = kind not in ("availability", "payout")
    sizes: Any = [s for s, count in KEEP_SITE_WINDOWS.items() if age_ms <= s * count * 1000]
    home = f"/api/v1/sites/{site.site_id}"
    since_s = -(-age_ms // 1000)
    return EntryLinks(
        windows=f"{home}/windows?size_s={sizes[0]}" if sizes and measured else None,
        commands=[
            f"/api/v1/devices/{device.device_id}/commands?last_s={since_s}"
            for device in site.devices
            if measured and 0 < age_ms <= _STORY_MS and device.rated_energy_wh
        ],
    )
