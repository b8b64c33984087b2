"""The kill switch without the web process: holds and releases, written directly to Kafka.

The token and its rights are checked against the same files, and the request names its sender, as in
the web process. Access to Kafka itself is controlled by its access lists.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Literal

import msgspec
from aiokafka.errors import KafkaError

from schemas.dispatch import DispatchEvent, Hold, RequestEvent, Withdraw
from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts, accounts_file
from vpp_streams.domain.access.rights import Principal
from vpp_streams.errors import BrokerError, InputError, OrderRefusedError, SettingsError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import check_topics
from vpp_streams.kafka.clients import KafkaClients, no_topic, producing
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.ranges import records_since
from vpp_streams.process.connection import onlooker
from vpp_streams.serving.control_views import Ordered
from vpp_streams.serving.operators import (
    MAKE_ONE,
    demo_operators_file,
    holder_of,
    principal_of,
    read_access,
    read_operators,
)
from vpp_streams.settings import Settings

ANSWER_S = 4.0
"""How long the region role has to answer, s; it decides at least twice a second."""
KAFKA_S = 15.0
"""Each step with Kafka may take this long, s; after it, the outcome is reported as unknown."""

_CLOCKS_MS = 60_000
"""Clocks differ by less than this."""


class KafkaOrdered(Ordered, frozen=True, kw_only=True):
    """The outcome of an order that was written directly to Kafka."""

    way: Literal["kafka"] = "kafka"


class KafkaHold:
    """Somebody whose token was checked, with access to Kafka."""

    def __init__(self, settings: Settings) -> None:
        """Raises `InputError` or `SettingsError` if it is not known who it is."""
        access = read_access(settings.state_dir)
        token = settings.api_token
        path, namespace = settings.operators, settings.namespace
        if access is not None and token is None:
            # The token that `vpp up` wrote on this machine is for its own namespace.
            token, namespace = access.token, access.namespace
            path = path or demo_operators_file(settings.state_dir, access.namespace)
        if token is None:
            raise InputError(f"no operator's token: set VPP_TOKEN, or {MAKE_ONE}")
        self.who = _holder(settings, token, path)
        self._clients = KafkaClients(settings.model_copy(update={"namespace": namespace}))
        self._source = f"operator:{self.who.name}"

    def hold(self, region: str, reason: str) -> KafkaOrdered:
        """Hold a region; on return the hold is in Kafka.

        Raises `OrderRefusedError`, `BrokerError`, and `InputError` if the hold is not valid.
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
            raise InputError(f"the hold is not valid: {error}") from None
        return asyncio.run(self._submit(request))

    def release(self, region: str) -> list[KafkaOrdered]:
        """Withdraw every hold of a region.

        Raises `OrderRefusedError`, `BrokerError`, and `InputError` if the region is not held.
        """
        self._permit(region)
        standing = asyncio.run(self._standing(region))
        if not standing:
            raise InputError(f"{region} is not held")
        return [
            asyncio.run(
                self._submit(
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
        if denial := self.who.denial("hold", [region]):
            raise OrderRefusedError(denial)

    async def _standing(self, region: str) -> list[str]:
        """Ids of the holds of a region that nobody has withdrawn."""
        held: dict[str, None] = {}
        async with _in_time("it is not known which holds apply"):
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

    async def _submit(self, request: Hold | Withdraw) -> KafkaOrdered:
        """Write a request, and wait up to `ANSWER_S` for the region role's answer."""
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
        return self._outcome(request, answer.result() if answer.done() else None)

    def _outcome(self, request: Hold | Withdraw, event: RequestEvent | None) -> KafkaOrdered:
        """The outcome of a request; ``event`` is None if the region role has not answered yet."""
        if event is not None and event.state == "rejected":
            raise OrderRefusedError(event.reason or f"{request.request_id} was rejected")
        return KafkaOrdered(
            request_id=request.request_id,
            state=event.state if event else "written",
            reason=event.reason if event else "",
            by=event.by if event else "",
            operator=self.who.name,
        )


def _holder(settings: Settings, token: str, operators: Path | None) -> Principal:
    """Who has a token: in the file of operators, or in the accounts' file of this machine.

    Raises `InputError` if there is neither file, `SettingsError` if nobody has the token.
    """
    now_ms, path = clock.now_ms(), accounts_file(settings)
    operator = holder_of(token, read_operators(operators), now_ms) if operators else None
    if operator is not None:
        return principal_of(operator)
    if path.exists():
        with closing(Accounts(path)) as accounts:
            who = accounts.sessions.token_holder(token, now_ms)
        if who is not None:
            return who
    elif operators is None:
        raise InputError(
            "rights cannot be checked without the web process: set VPP_OPERATORS to the"
            " operators' file, or VPP_ACCOUNTS to the accounts'"
        )
    raise SettingsError(f"nobody in {operators or path} has this token")


@asynccontextmanager
async def _in_time(unknown: str) -> AsyncIterator[None]:
    """Limit the body to `KAFKA_S`. Raises `BrokerError` with ``unknown`` if Kafka fails."""
    try:
        async with asyncio.timeout(KAFKA_S):
            yield
    except TimeoutError:
        raise BrokerError(f"Kafka does not answer: {unknown}") from None
    except KafkaError as error:
        raise BrokerError(f"Kafka failed ({error}): {unknown}") from None
