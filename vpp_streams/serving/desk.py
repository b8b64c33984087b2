"""Orders: who may give them, whether they are valid, and how they reach the region role.

Everything is checked before anything is written. Then either the request is in Kafka, or the
answer says that this is not known. Only this process checks rights: the roles write to the topic
too.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from http import HTTPStatus
from typing import Protocol, TypeVar

import msgspec
from aiokafka.errors import KafkaError

from schemas.dispatch import Hold, Limit, Request, RequestEvent, Target, Withdraw
from schemas.grid import Alert, Droop
from vpp_streams.domain.access.rights import Order, Principal
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.serving.control_views import LimitOrder, Ordered, Span, StormOrder, TargetOrder
from vpp_streams.serving.needs import denied
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.seen import Seen

ANSWER_S = 4.0
"""How long the region role has to answer, s; it decides at least twice a second."""
WRITE_S = 10.0
SPARE_S = 0.1
"""An answer is on its way this long before its sender stops waiting, s."""
_ANOTHER_GRID_HZ = 3.0
"""No grid deviates from its nominal frequency by as much as this, Hz: it has another one."""
_PAST_MS = 5_000
"""A start at most this long ago, ms, counts as now, because clocks differ."""

T = TypeVar("T")


class Kafka(Protocol):
    """The access to Kafka that the web process needs beside its read model."""

    async def write(self, topic: Topic[T], record: T) -> object:
        """Write a record; on return it is on all replicas. Raises `KafkaError`."""
        ...

    def read_since(
        self, topic: Topic, since_ms: int, partition: int
    ) -> AsyncIterator[tuple[int, bytes | None]]:
        """(time written in ms, value) of each record from ``since_ms`` to the present end."""
        ...


class Desk:
    """Turns operators' orders into requests, writes them and returns their outcomes."""

    def __init__(
        self,
        kafka: Kafka,
        model: ReadModel,
        now_ms: Callable[[], int],
        answer_s: float,
    ) -> None:
        self._kafka = kafka
        self._model = model
        self._now_ms = now_ms
        self._answer_s = answer_s
        self._waiting: dict[str, asyncio.Future[RequestEvent]] = {}
        model.dispatches.on_event.append(self._receive)

    @property
    def waiting(self) -> int:
        """The number of orders that wait for the region role's answer."""
        return len(self._waiting)

    def permit(self, who: Principal, order: Order, *regions: str) -> None:
        """Raises `ApiError` (403) if somebody may not give an order in one of these regions."""
        if denial := who.denial(order, regions):
            raise denied(denial, who)

    def target(self, region: str, order: TargetOrder, who: Principal) -> Target:
        """The target for an order. Raises `ApiError` (422) that names the mistake in the order."""
        starts_at_ms, ends_at_ms = self._times(order)
        self._known(region)
        if order.droop is not None:
            self._check_nominal(region, order.droop)
        return Target(
            request_id=_new_id("target"),
            region=region,
            export_w=order.export_w,
            starts_at_ms=starts_at_ms,
            ends_at_ms=ends_at_ms,
            priority=order.priority,
            source=_source(who),
            issued_at_ms=self._now_ms(),
            best_effort=order.best_effort,
            droop=order.droop,
        )

    def limit(self, region: str, order: LimitOrder, who: Principal) -> Limit:
        """The limit for an order. Raises `ApiError` (422) that names the mistake in the order."""
        if order.import_limit_w is None and order.export_limit_w is None:
            raise _wrong(
                "a limit needs `import_limit_w` or `export_limit_w`", field="import_limit_w"
            )
        starts_at_ms, ends_at_ms = self._times(order)
        self._known(region)
        feeders = {s.feeder for s in self._model.sites.registry.sites() if s.region == region}
        if order.feeder is not None and order.feeder not in feeders:
            known = ", ".join(sorted(filter(None, feeders))[:20]) or "none"
            raise _wrong(
                f"{region} has no feeder {order.feeder!r}",
                f"its feeders: {known}",
                field="feeder",
            )
        return Limit(
            request_id=_new_id("limit"),
            region=region,
            feeder=order.feeder,
            import_limit_w=order.import_limit_w,
            export_limit_w=order.export_limit_w,
            starts_at_ms=starts_at_ms,
            ends_at_ms=ends_at_ms,
            source=_source(who),
            issued_at_ms=self._now_ms(),
        )

    def hold(self, region: str, reason: str, who: Principal) -> Hold:
        """A hold of a region in the registry. Raises `ApiError` (422) if it is not there."""
        self._known(region)
        return Hold(
            request_id=_new_id("hold"),
            region=region,
            source=_source(who),
            issued_at_ms=self._now_ms(),
            reason=reason,
        )

    def withdraw(self, region: str, request_id: str, who: Principal) -> Withdraw:
        """The withdrawal of a known request. Raises `ApiError` (403, 404)."""
        request, _ = self._model.dispatches.request(request_id)
        known = (
            request is not None and request.region == region and who.may_in("read_region", region)
        )
        if not known or request is None or isinstance(request, Withdraw):
            raise ApiError(
                HTTPStatus.NOT_FOUND,
                f"{region[:64]} has no request {request_id[:64]!r}",
                f"/api/v1/regions/{region[:64]}/dispatch lists its requests",
            )
        for order in _orders_of(request):
            self.permit(who, order, region)
        return Withdraw(
            request_id=_new_id("withdraw"),
            region=region,
            withdraws=request_id,
            source=_source(who),
            issued_at_ms=self._now_ms(),
        )

    def storm(self, order: StormOrder, who: Principal) -> Alert:
        """The alert for an order. Raises `ApiError` (403, 422)."""
        if not order.regions and not order.site_ids:
            raise _wrong("a storm needs `regions` or `site_ids`")
        self.permit(who, "storm", *order.regions, *self._regions_of(order.site_ids, who))
        starts_at_ms, ends_at_ms = self._times(order)
        for region in order.regions:
            self._known(region)
        now_ms = self._now_ms()
        prepare_from_ms = now_ms if order.prepare_from_ms is None else order.prepare_from_ms
        if prepare_from_ms > starts_at_ms:
            raise _wrong("`prepare_from_ms` is after the storm's start")
        return Alert(
            alert_id=_new_id("storm"),
            kind="storm",
            regions=order.regions,
            site_ids=order.site_ids,
            prepare_from_ms=prepare_from_ms,
            starts_at_ms=starts_at_ms,
            ends_at_ms=ends_at_ms,
            reserve=order.reserve,
            source=_source(who),
        )

    def cancelled(self, alert_id: str, who: Principal) -> Alert:
        """The cancellation of an announced storm. Raises `ApiError` (403, 404)."""
        seen = {alert.alert_id for alert in Seen(self._model, who).alerts(self._now_ms())}
        for alert in self._model.alerts(self._now_ms()):
            if alert.alert_id == alert_id and alert_id in seen:
                regions = {*alert.regions, *self._regions_of(alert.site_ids)}
                if not all(who.may_in("storm", region) for region in regions):
                    what = "the right 'storm' in every region of this storm"
                    raise denied(f"{who.name} does not have {what}", who)
                return msgspec.structs.replace(alert, cancelled=True, source=_source(who))
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            f"there is no storm {alert_id[:64]!r} ahead",
            "/api/v1/alerts lists them",
        )

    async def order(
        self,
        request: Request,
        who: Principal,
        *,
        remaining_s: Callable[[], float | None] = lambda: None,
    ) -> Ordered:
        """Write a request and return its outcome, within the time that its sender has left.

        Raises `ApiError`: 409 if the region role rejects it, 503 if it is not known whether it was
        written.
        """
        event = await self._submit(request, remaining_s)
        if event is not None and event.state == "rejected":
            hint = f"request {request.request_id}" + (f"; see {event.by}" if event.by else "")
            raise ApiError(HTTPStatus.CONFLICT, event.reason or "rejected", hint)
        return as_answer(request, event, who)

    async def _submit(
        self, request: Request, remaining_s: Callable[[], float | None]
    ) -> RequestEvent | None:
        """Write a request; returns the region role's answer, or None if there was none in time."""
        answer: asyncio.Future[RequestEvent] = asyncio.get_running_loop().create_future()
        self._waiting[request.request_id] = answer
        try:
            await self._write(topics.DISPATCH_TARGETS, request.request_id, request)
            left_s = remaining_s()
            within_s = self._answer_s if left_s is None else min(self._answer_s, left_s - SPARE_S)
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[request.request_id]

    async def announce(self, alert: Alert) -> None:
        """Write a storm, or its cancellation."""
        await self._write(topics.GRID_ALERTS, alert.alert_id, alert)

    async def _write(self, topic: Topic[T], id_: str, record: T) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await self._kafka.write(topic, record)
        except (KafkaError, TimeoutError) as error:
            raise ApiError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"Kafka does not answer ({type(error).__name__}): it is not known whether {id_}"
                " was written",
                "check whether it is among the region's requests before you repeat the order",
            ) from None

    def _receive(self, event: RequestEvent) -> None:
        waiting = self._waiting.get(event.request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(event)

    def _times(self, order: Span) -> tuple[int, int]:
        """Start and end of an order, ms UTC. Raises `ApiError` (422)."""
        now_ms = self._now_ms()
        starts_at_ms = now_ms if order.starts_at_ms is None else order.starts_at_ms
        if (order.for_s is None) == (order.ends_at_ms is None):
            raise _wrong(
                "an order needs an end: give one of `for_s` and `ends_at_ms`", field="for_s"
            )
        if starts_at_ms < now_ms - _PAST_MS:
            raise _wrong(
                "it would start in the past",
                "leave `starts_at_ms` out to start now",
                field="starts_at_ms",
            )
        if order.for_s is not None:
            return starts_at_ms, starts_at_ms + max(1, round(order.for_s * 1000))
        assert order.ends_at_ms is not None  # one of the two is given
        if order.ends_at_ms <= now_ms:
            raise _wrong(
                "it would end in the past", "times are ms since 1970 UTC", field="ends_at_ms"
            )
        if order.ends_at_ms <= starts_at_ms:
            raise _wrong("it would end before it starts", field="ends_at_ms")
        return starts_at_ms, order.ends_at_ms

    def _check_nominal(self, region: str, droop: Droop) -> None:
        """Raises `ApiError` (422) if the nominal frequency is that of another grid."""
        measured_hz = self._model.explorer.frequency_hz(region, self._now_ms())
        if measured_hz is not None and abs(measured_hz - droop.nominal_hz) > _ANOTHER_GRID_HZ:
            raise _wrong(
                f"the devices of {region} measure {measured_hz:.1f} Hz: with a nominal frequency of"
                f" {droop.nominal_hz:g} Hz all of them would go to full power at once"
            )

    def _known(self, region: str) -> None:
        regions = self._model.sites.registry.regions()
        if region not in regions:
            known = ", ".join(regions[:20]) or "none yet"
            raise _wrong(
                f"there is no region {region[:64]!r}",
                f"regions with sites: {known}",
                field="region",
            )

    def _regions_of(self, site_ids: Iterable[str], seen_by: Principal | None = None) -> set[str]:
        """The regions of sites. Raises `ApiError` (422) for one unknown, or not in sight."""
        found = set()
        for site_id in site_ids:
            site = self._model.sites.registry.site(site_id)
            hidden = seen_by is not None and not Seen(self._model, seen_by).has_site(site_id)
            if site is None or hidden:
                raise _wrong(f"there is no site {site_id!r}")
            found.add(site.region)
        return found


def as_answer(request: Request | Alert, event: RequestEvent | None, who: Principal) -> Ordered:
    """The answer to an order; ``event`` is None if the region role has not answered."""
    return Ordered(
        request_id=request.alert_id if isinstance(request, Alert) else request.request_id,
        state=event.state if event else "written",
        reason=event.reason if event else "",
        by=event.by if event else "",
        operator=who.name,
    )


def _orders_of(request: Request) -> tuple[Order, ...]:
    match request:
        case Limit():
            return ("limit",)
        case Hold():
            return ("hold",)
        case Target(priority="emergency"):
            return ("dispatch", "emergency")
    return ("dispatch",)


def _source(who: Principal) -> str:
    return f"operator:{who.name}"


def _new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(6)}"


def _wrong(
    error: str, hint: str = "nothing was written; /docs lists every field", *, field: str = ""
) -> ApiError:
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, error, hint, field=field)
