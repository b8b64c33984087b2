"""The kill switch without the web process: holds and their release, written straight to Kafka.

The operator's token and rights are checked against the same file, and the request names the
operator, as the web process does it. What Kafka itself lets through is a matter of its own access
lists.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import msgspec
from aiokafka.errors import KafkaError

from schemas.dispatch import DispatchEvent, Hold, RequestEvent, Withdraw
from vpp_streams import clock
from vpp_streams.errors import BrokerError, InputError, OrderRefusedError, SettingsError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import check_topics
from vpp_streams.kafka.clients import KafkaClients, no_topic, producing
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.ranges import records_since
from vpp_streams.process.connection import onlooker
from vpp_streams.settings import Settings
from vpp_streams.web.control_views import Ordered
from vpp_streams.web.operators import (
    MAKE_ONE,
    Operator,
    demo_operators_file,
    holder_of,
    read_access,
    read_operators,
)

ANSWER_S = 4.0
"""How long we wait for the region role, which rules at least twice a second."""
KAFKA_S = 15.0
"""Each thing asked of Kafka is done within this, or the answer is that it is not known."""

_CLOCKS_MS = 60_000
"""Clocks differ by less than this."""


class StraightOrdered(Ordered, frozen=True, kw_only=True):
    """What became of an order that went straight to Kafka."""

    way: Literal["kafka"] = "kafka"


class Straight:
    """An operator whose rights were checked, with a way to Kafka."""

    def __init__(self, settings: Settings) -> None:
        """Raises `InputError`, `SettingsError` where it cannot be said whose token it is."""
        access = read_access(settings.state_dir)
        given = settings.operator_token
        token = None if given is None else given.get_secret_value()
        path, namespace = settings.operators, settings.namespace
        if access is not None and token is None:
            # What `vpp up` left on this machine is that of its own world.
            token, namespace = access.token, access.namespace
            path = path or demo_operators_file(settings.state_dir, access.namespace)
        if token is None:
            raise InputError(f"no operator's token: set VPP_OPERATOR_TOKEN, or {MAKE_ONE}")
        if path is None:
            raise InputError(
                "rights cannot be checked without the web process: VPP_OPERATORS names no file"
            )
        operator = holder_of(token, read_operators(path))
        if operator is None:
            raise SettingsError(f"nobody in {path} has this token")
        self.operator: Operator = operator
        self._clients = KafkaClients(settings.model_copy(update={"namespace": namespace}))
        self._source = f"operator:{operator.name}"

    def hold(self, region: str, reason: str) -> StraightOrdered:
        """Hold a region; on return it is in Kafka.

        Raises `OrderRefusedError`, `BrokerError`, and `InputError` where no such hold can be.
        """
        self._permit(region)
        try:
            request = msgspec.convert(
                {
                    "type": "hold",
                    "request_id": f"hold-{secrets.token_hex(6)}",
                    "region": region,
                    "source": self._source,
                    "issued_at_ms": clock.now_ms(),
                    "reason": reason,
                },
                Hold,
            )
        except msgspec.ValidationError as error:
            raise InputError(f"no such hold can be: {error}") from None
        return asyncio.run(self._ask(request))

    def release(self, region: str) -> list[StraightOrdered]:
        """End every hold of a region that stands.

        Raises `OrderRefusedError`, `BrokerError`, and `InputError` where there is none.
        """
        self._permit(region)
        standing = asyncio.run(self._standing(region))
        if not standing:
            raise InputError(f"{region} is not held")
        return [
            asyncio.run(
                self._ask(
                    Withdraw(
                        request_id=f"withdraw-{secrets.token_hex(6)}",
                        region=region,
                        withdraws=request_id,
                        source=self._source,
                        issued_at_ms=clock.now_ms(),
                    )
                )
            )
            for request_id in standing
        ]

    def _permit(self, region: str) -> None:
        if lack := self.operator.lacks("hold", [region]):
            raise OrderRefusedError(lack)

    async def _standing(self, region: str) -> list[str]:
        """The holds of a region that nobody has withdrawn, by id."""
        held: dict[str, None] = {}
        async with _in_time("it is not known which holds stand"):
            await self._check_topic()
            async for read in records_since(self._clients, topics.DISPATCH_TARGETS, 0):
                match read.record:
                    case Hold() as hold if hold.region == region:
                        held[hold.request_id] = None
                    case Withdraw() as withdraw:
                        held.pop(withdraw.withdraws, None)
        return list(held)

    async def _check_topic(self) -> None:
        if self._clients.full(topics.DISPATCH_TARGETS) in await check_topics(self._clients):
            raise no_topic(self._clients.settings, topics.DISPATCH_TARGETS)

    async def _ask(self, request: Hold | Withdraw) -> StraightOrdered:
        """Write a request, and give the region role some seconds to answer."""
        answer: asyncio.Future[RequestEvent] = asyncio.get_running_loop().create_future()

        def receive(read: Read[DispatchEvent]) -> None:
            match read.record:
                case RequestEvent(request_id=request.request_id) as event if not answer.done():
                    answer.set_result(event)

        async with _in_time(f"{request.request_id} was not written"):
            await self._check_topic()
        unknown = f"it is not known whether {request.request_id} was written"
        since_ms = request.issued_at_ms - _CLOCKS_MS
        feed = Feed(topics.DISPATCH_EVENTS, receive, since_ms=since_ms)
        listening = asyncio.create_task(onlooker(self._clients).follow(feed))
        try:
            async with _in_time(unknown), producing(self._clients) as producer:
                outlet = Outlet(producer, self._clients.settings.namespace)
                await outlet.write(topics.DISPATCH_TARGETS, request)
            await asyncio.wait({answer}, timeout=ANSWER_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return self._ordered(request, answer.result() if answer.done() else None)

    def _ordered(self, request: Hold | Withdraw, event: RequestEvent | None) -> StraightOrdered:
        """What became of a request; None = it is written, and nobody has answered yet."""
        if event is not None and event.state == "rejected":
            raise OrderRefusedError(event.reason or f"{request.request_id} was rejected")
        return StraightOrdered(
            request_id=request.request_id,
            state=event.state if event else "written",
            reason=event.reason if event else "",
            by=event.by if event else "",
            operator=self.operator.name,
        )


@asynccontextmanager
async def _in_time(unknown: str) -> AsyncIterator[None]:
    """Limits the body to `KAFKA_S`; raises `BrokerError` that says what is then not known."""
    try:
        async with asyncio.timeout(KAFKA_S):
            yield
    except TimeoutError:
        raise BrokerError(f"Kafka does not answer: {unknown}") from None
    except KafkaError as error:
        raise BrokerError(f"Kafka failed ({error}): {unknown}") from None
