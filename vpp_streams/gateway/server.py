"""The gateway process: sockets, Kafka and the clock around `Session`."""

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus
from weakref import WeakKeyDictionary

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from websockets import Request, Response
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from schemas.protocol import (
    CLOSE_GOING_AWAY,
    CLOSE_REGISTRY_CHANGED,
    CLOSE_REPLACED,
    CLOSE_UNKNOWN_DEVICE,
    MAX_MESSAGE_BYTES,
    SUBPROTOCOL,
    SpanMs,
)
from vpp_streams import topics
from vpp_streams.background import run_beside
from vpp_streams.domain.partition import partition_of
from vpp_streams.domain.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.gateway.actions import Limits
from vpp_streams.gateway.admission import Admitted, Refused, admit
from vpp_streams.gateway.framer import Framer
from vpp_streams.gateway.link import Link, now
from vpp_streams.gateway.outbox import EventOutbox
from vpp_streams.gateway.presence import PresenceLog
from vpp_streams.gateway.push import Pusher
from vpp_streams.gateway.session import Session
from vpp_streams.gateway.tls import certificate_names, tls_context
from vpp_streams.health import HealthReporter
from vpp_streams.kafka import apply_asset, ensure_topics, following, new_producer, no_broker
from vpp_streams.settings import Settings

log = structlog.get_logger()

SWEEP_S = 1.0
SLICE = 500
"""Connections handled before others get their turn."""
FINISH_S = 2.0
"""At a stop: how long each of Kafka's last answers, the devices' goodbyes and ours may take."""


class Gateway:
    """The connections of one process and what they share."""

    def __init__(
        self, settings: Settings, slot: int, limits: Limits, producer: AIOKafkaProducer
    ) -> None:
        self.port = 0
        """The port it listens on, once it does."""
        self.health = HealthReporter("gateway")
        self.registry = Registry()
        self.background: list[asyncio.Task[None]] = []
        """Run for as long as the gateway does; one that ends has failed."""
        counters: Counter[str] = self.health.counters
        self.framer = Framer(
            producer,
            settings.namespace,
            self.health.process_id,
            settings.flush_ms,
            counters,
        )
        self._counters = counters
        self._limits = limits
        self._presence = PresenceLog(producer, settings.namespace, slot)
        self._admitted: WeakKeyDictionary[ServerConnection, Admitted] = WeakKeyDictionary()
        self._links: set[Link] = set()
        self._by_device: dict[str, Link] = {}
        self.outbox = EventOutbox(producer, settings.namespace, self.health)
        self.pusher = Pusher(self._by_device, self.outbox, self.health)
        self._seen_registry = 0
        self.health.gauges["connections"] = lambda: len(self._links)
        self.health.gauges["in_flight_bytes"] = lambda: self.framer.in_flight_bytes

    def answer_request(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse an upgrade, answer ``/healthz``, or return None to go on."""
        if request.path == "/healthz":
            return _json_response(socket, 200, {"status": "ok", **self.health.report().gauges})
        headers: dict[str, str] = {}
        for name, value in request.headers.raw_items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        names = certificate_names(socket.transport)
        match admit(request.path, headers, names, self.registry):
            case Refused(status, reason):
                self._counters["refused"] += 1
                log.debug("refused", path=request.path[:100], status=status, reason=reason)
                response = _json_response(socket, status, {"error": reason})
                if status == HTTPStatus.UNAUTHORIZED:
                    response.headers["WWW-Authenticate"] = "Bearer"
                return response
            case Admitted() as admitted:
                self._admitted[socket] = admitted
        return None

    async def serve_device(self, socket: ServerConnection) -> None:
        """Carry one admitted connection to its end."""
        admitted = self._admitted[socket]
        partition = partition_of(admitted.site.site_id, topics.PARTITIONS)
        session = Session(
            *admitted, partition, self._limits, self._spread_ms(), self._counters, now()
        )
        link = Link(
            socket,
            session,
            self.framer,
            self._presence,
            self._counters,
            self._replace_older,
            lambda live: self.pusher.send_prices([live]),
            self.outbox,
        )
        self._links.add(link)
        try:
            while True:
                # Reading stops here while Kafka is slow: the engine's small queue fills, it pauses
                # the transport, and TCP tells the device.
                await self.framer.room.wait()
                message = await socket.recv(decode=False)
                link.perform(session.receive(message, now()))
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == 1009:
                self._counters["bad_messages"] += 1
        finally:
            self._links.discard(link)
            if self._by_device.get(link.device_id) is link:
                del self._by_device[link.device_id]
            await link.end()

    async def sweep_for_ever(self) -> None:
        """Give every session the time, and see to devices whose record has changed."""
        while True:
            await asyncio.sleep(SWEEP_S)
            if self._seen_registry != self.registry.version:
                self._seen_registry = self.registry.version
                self._apply_registry()
            listening = self.framer.room.is_set()
            for links in _slices(list(self._links)):
                for link in links:
                    link.perform(link.session.tick(now(), listening))
                await asyncio.sleep(0)

    async def drain(self, server: Server) -> None:
        """Stop taking connections, store what was taken in, and end every connection."""
        server.close(close_connections=False)
        for links in _slices(list(self._links)):
            for link in links:
                link.perform(link.session.drain(self._spread_ms(), now()))
            await asyncio.sleep(0)
        if not await self.framer.finish(FINISH_S):
            log.warning("Kafka has not answered for all readings; devices will send them again")
        for link in list(self._links):
            link.perform(link.session.close(CLOSE_GOING_AWAY, "the gateway stops"))
        await self.outbox.flush()
        self.framer.room.set()  # or those who wait for it would never see the end
        try:
            async with asyncio.timeout(FINISH_S):
                await server.wait_closed()
        except TimeoutError:
            for link in list(self._links):
                link.abort()
            await asyncio.wait([asyncio.create_task(server.wait_closed())], timeout=FINISH_S)

    def _spread_ms(self) -> SpanMs:
        """A span over which a fleet of this size may come back without a stampede."""
        return 0, min(60_000, 500 + 5 * self.registry.device_count())

    def _replace_older(self, link: Link) -> None:
        older = self._by_device.get(link.device_id)
        self._by_device[link.device_id] = link
        if older is not None and older is not link:
            older.perform(older.session.close(CLOSE_REPLACED, "a newer connection took over"))

    def _apply_registry(self) -> None:
        for link in list(self._links):
            device, site = link.session.device, link.session.site
            entry = self.registry.device(link.device_id)
            if entry is None:
                actions = link.session.close(CLOSE_UNKNOWN_DEVICE, "no longer in the registry")
            elif (site.site_id, device.kind, device.token_sha256) != (
                entry[1].site_id,
                entry[0].kind,
                entry[0].token_sha256,
            ):
                actions = link.session.close(CLOSE_REGISTRY_CHANGED, "its record has changed")
            else:
                continue
            link.perform(actions)


@asynccontextmanager
async def running_gateway(
    settings: Settings, slot: int = 0, limits: Limits | None = None
) -> AsyncIterator[Gateway]:
    """A gateway that listens on ``settings.gateway_port`` (0 = any free one) during the body.

    Raises `BrokerError` where Kafka does not answer, `SettingsError` for certificates that cannot
    be used, `InputError` where the port cannot be had.
    """
    tls = tls_context(settings)
    await ensure_topics(settings)
    async with AsyncExitStack() as stack:
        producer = new_producer(settings)
        try:
            await producer.start()
        except (KafkaConnectionError, OSError) as error:
            raise no_broker(settings, error) from None
        finally:
            stack.push_async_callback(_stop, producer)
        gateway = Gateway(settings, slot, limits or Limits(), producer)
        assets = following(
            settings, topics.ASSETS, lambda _, value, __: apply_asset(gateway.registry, value)
        )
        gateway.background.append(await stack.enter_async_context(assets))
        prices = following(settings, topics.MARKET_PRICES, gateway.pusher.on_prices)
        gateway.background.append(await stack.enter_async_context(prices))
        for work in (
            gateway.framer.run(),
            gateway.sweep_for_ever(),
            gateway.outbox.run(),
            gateway.pusher.deliver_for_ever(settings, slot),
        ):
            gateway.background.append(run_beside(stack, work))
        run_beside(stack, gateway.health.publish_for_ever(settings, producer))
        try:
            server = await serve(
                gateway.serve_device,
                settings.host,
                settings.gateway_port,
                ssl=tls,
                # Several gateway processes share one port; the kernel spreads connections.
                reuse_port=True,
                process_request=gateway.answer_request,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=4,
                ping_interval=None,  # a device that is silent for idle_s is closed by its session
                open_timeout=5,
                close_timeout=1,
                server_header=None,
                logger=_engine_log(),
            )
        except OSError as error:
            raise InputError(
                f"cannot listen on {settings.host} port {settings.gateway_port}"
                f" ({os.strerror(error.errno or 0)});"
                " stop what uses it, or choose another with --port"
            ) from None
        stack.push_async_callback(gateway.drain, server)
        gateway.port = server.sockets[0].getsockname()[1]
        yield gateway


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop, but do not wait for a broker that has gone away."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FINISH_S):
            await producer.stop()


def _slices(links: list[Link]) -> Iterator[list[Link]]:
    return (links[i : i + SLICE] for i in range(0, len(links), SLICE))


def _json_response(socket: ServerConnection, status: int, body: dict[str, object]) -> Response:
    response = socket.respond(HTTPStatus(status), json.dumps(body) + "\n")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


def _engine_log() -> logging.Logger:
    """The engine's log without its lines at every start and stop."""
    engine_log = logging.getLogger("vpp_streams.gateway.engine")
    engine_log.setLevel(logging.WARNING)
    return engine_log
