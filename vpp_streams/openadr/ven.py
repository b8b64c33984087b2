"""A virtual end node: a VTN's events become records in Kafka, measurements become reports.

If a VTN is down, nothing changes: requests end by themselves, and each poll reads all events again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from openadr3.entities.raw import RawProgram

from schemas.dispatch import Limit, Target, Withdraw
from schemas.grid import Alert, PriceSeries
from vpp_streams.domain.openadr.contents import Contents, unchanged_times
from vpp_streams.domain.openadr.events import map_events
from vpp_streams.domain.openadr.measured import Measured
from vpp_streams.domain.openadr.reports import Due, body, due_reports, has_value
from vpp_streams.domain.openadr.requests import Known, Ven
from vpp_streams.domain.openadr.standing import Standing
from vpp_streams.domain.openadr.wire import Remark, read_program
from vpp_streams.errors import BrokerError, InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.openadr.vtn import Vtn, VtnError, VtnRefusedError

log = structlog.get_logger()

MOST_WAIT_S = 300.0
Record = Target | Limit | Withdraw | Alert | PriceSeries
Send = Callable[[Topic, Record], Awaitable[None]]
"""Writes one record to its topic; returns when it is on all replicas."""


def wait_s(failures: int, every_s: float, share: float) -> float:
    """Wait before the next poll, s: longer after each failure; ``share`` in 0..1 spreads it."""
    longest = min(every_s * 2 ** min(failures, 16), max(MOST_WAIT_S, every_s))
    return every_s if failures == 0 else longest * (0.5 + 0.5 * share)


@dataclass(slots=True)
class VenSession:
    """One VEN at one VTN, for one region. Poll it; its feeds pass it the records of Kafka."""

    vtn: Vtn
    ven: Ven
    programs: frozenset[str]
    """Names or ids of programs; empty = all that the VTN shows."""
    send: Send
    now_ms: Callable[[], int]
    counters: Counter[str] = field(default_factory=Counter)
    _registered: bool = False
    _known: tuple[Known, ...] = ()
    _contents: dict[str, Contents] = field(default_factory=dict)
    """Contents of each event at the last poll, by its id."""
    _remarks: frozenset[Remark] = frozenset()
    _prices: PriceSeries | None = None
    _sent: dict[str, set[str]] = field(default_factory=dict)
    """Names of the reports that the VTN has, by event."""
    standing: Standing = field(init=False)
    measured: Measured = field(init=False)

    def __post_init__(self) -> None:
        self.standing = Standing(self.ven)
        self.measured = Measured(self.ven.region)

    async def poll(self) -> None:
        """Poll the VTN once, and write the resulting records and reports. Raises `VtnError`."""
        if not self._registered:
            await self._register()
        targets = sorted(self.ven.targets)
        programs, refused = self._chosen(await self.vtn.programs(targets))
        raw_events = await self.vtn.events(programs, targets)
        raw_events += await self._missed(raw_events)
        told, self._contents = unchanged_times(raw_events, self._contents)
        now_ms = self.now_ms()
        outcome = map_events(told, programs, self.ven, now_ms)
        self._known = outcome.known
        self.counters["polls"] += 1
        for request in self.standing.request_changes(outcome.requests, now_ms):
            await self._write(topics.DISPATCH_TARGETS, request.request_id, request)
            self.standing.on_request(request.request_id, request)
        for alert in self.standing.alert_changes(outcome.alerts, now_ms):
            await self._write(topics.GRID_ALERTS, alert.alert_id, alert)
            self.standing.on_alert(alert.alert_id, alert)
        if outcome.prices is not None and outcome.prices != self._prices:
            await self._write(topics.MARKET_PRICES, self.ven.region, outcome.prices)
            self._prices = outcome.prices
        refused += outcome.refused
        due: list[Due] = []
        for known in outcome.known:
            reports, remarks = due_reports(known, self.ven, now_ms)
            due += reports
            refused += remarks
        self._log_remarks(refused, outcome.found)
        await self._report(due, now_ms)

    async def _write(self, topic: Topic, key: str, record: Record) -> None:
        await self.send(topic, record)
        kind = type(record).__name__.lower()
        self.counters[f"written_{kind}"] += 1
        log.info(f"openadr: {kind} written", id=key)

    async def _register(self) -> None:
        """Register; a VTN that registers its VENs itself may refuse that."""
        try:
            names = [self.ven.region, self.ven.batteries]
            targets = await self.vtn.register(self.ven.name, names)
            self.ven = replace(self.ven, targets=self.ven.targets | targets)
        except VtnRefusedError as error:
            if error.status in (400, 401):
                raise
            log.warning("openadr: continuing without registration", reason=str(error))
        self._registered = True

    def _chosen(self, raw_programs: Iterable[object]) -> tuple[dict[str, RawProgram], list[Remark]]:
        read = [read_program(raw) for raw in raw_programs]
        remarks = [r for r in read if isinstance(r, Remark)]
        shown = {p.id: p for p in read if isinstance(p, RawProgram) and p.id}
        if not self.programs:
            return shown, remarks
        names = {p.program_name for p in shown.values()} | shown.keys()
        if missing := sorted(self.programs - names):
            names_shown = ", ".join(sorted(p.program_name for p in shown.values())) or "none"
            detail = f"the VTN shows no program {missing[0]!r}; it shows: {names_shown}"
            if not self.counters["polls"]:
                raise InputError(detail)
            remarks.append(Remark("", "no_program", detail))
        return {i: p for i, p in shown.items() if {i, p.program_name} & self.programs}, remarks

    async def _missed(self, raw_events: Iterable[Any]) -> list[Any]:
        """Known events that are on no page now, but still exist.

        A list that changes while it is read page by page can omit some.
        """
        listed = {str(raw.get("id")) for raw in raw_events if isinstance(raw, dict)}
        found = [await self.vtn.event(k.event_id) for k in self._known if k.event_id not in listed]
        return [raw for raw in found if raw is not None]

    def _log_remarks(self, refused: Iterable[Remark], found: Iterable[Remark]) -> None:
        """Log and count each remark once, when it is new."""
        new = dict.fromkeys(refused, "refused") | dict.fromkeys(found, "found")
        for remark, kind in new.items():
            if remark not in self._remarks:
                self.counters[f"{kind}_{remark.reason}"] += 1
                write = log.warning if kind == "refused" else log.info
                where = {"event_id": remark.event_id} if remark.event_id else {}
                write(f"openadr: {kind}", reason=remark.reason, detail=remark.detail, **where)
        self._remarks = frozenset(new)

    async def _report(self, due: Iterable[Due], now_ms: int) -> None:
        self.measured.forget(now_ms)
        known_ids = {known.event_id for known in self._known}
        self._sent = {id_: names for id_, names in self._sent.items() if id_ in known_ids}
        for report in due:
            sent = self._sent.get(report.event_id)
            if sent is None:
                sent = await self.vtn.report_names(report.event_id, self.ven.name)
                self._sent[report.event_id] = sent
            if report.name in sent:
                continue
            content = body(report, self.ven, self.measured)
            if report.is_now and not has_value(content):
                continue  # nothing is known yet of the region
            try:
                await self.vtn.send_report(content)
                self.counters["reports"] += 1
                log.info("openadr: report sent", name=report.name)
            except VtnRefusedError as error:
                self.counters["reports_refused"] += 1
                log.warning("openadr: report refused", name=report.name, reason=str(error))
            sent.add(report.name)


async def poll_for_ever(
    session: VenSession, stop: asyncio.Event, every_s: float, jitter: Callable[[], float]
) -> None:
    """Poll until ``stop``. A VTN (or Kafka) that is down is logged once, and once when it is back.

    Raises `VtnRefusedError` if the first poll is refused, and `InputError` if a program does not
    exist then.
    """
    failures, trouble = 0, ""
    while not stop.is_set():
        try:
            await session.poll()
            if failures:
                log.warning("openadr: the VTN answers again")
            failures, trouble = 0, ""
        except (VtnError, InputError, BrokerError) as error:
            first = session.counters["polls"] == 0 and not failures
            if first and isinstance(error, VtnRefusedError | InputError):
                raise
            failures += 1
            session.counters["failed_polls"] += 1
            if str(error) != trouble:
                log.warning("openadr: trying again", reason=str(error))
            trouble = str(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s(failures, every_s, jitter())):
                await stop.wait()
