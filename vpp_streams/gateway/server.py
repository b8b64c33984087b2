"""The gateway process: sockets, Kafka and the clock around `Session`."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from websockets import Request

from schemas.bounds import PARTITIONS
from schemas.protocol import (
    CLOSE_GOING_AWAY,
    CLOSE_REGISTRY_CHANGED,
    CLOSE_REPLACED,
    CLOSE_TRY_LATER,
    CLOSE_UNKNOWN_DEVICE,
    SpanMs,
)
from vpp_streams.clock import now
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.registry.hashing import partition_of
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.errors import InputError
from vpp_streams.gateway.actions import Limits
from vpp_streams.gateway.admission import AdmissionRefusal, Admitted
from vpp_streams.gateway.certificates import Credentials, client_certificate
from vpp_streams.gateway.doorkeeper import Doorkeeper, address_of
from vpp_streams.gateway.engine import OwnEngine
from vpp_streams.gateway.framer import Framer
from vpp_streams.gateway.link import Link, Shared
from vpp_streams.gateway.listening import (
    check_demo_tokens,
    check_plain_text,
    sharing_port,
    warn_of_plain_text,
)
from vpp_streams.gateway.live_readings import Head
from vpp_streams.gateway.outbox import EventOutbox
from vpp_streams.gateway.presence import PresenceLog
from vpp_streams.gateway.push import Pusher
from vpp_streams.gateway.seam import Door, Engine, Reply, Socket
from vpp_streams.gateway.session import Session
from vpp_streams.gateway.stock_engine import StockEngine
from vpp_streams.gateway.tls import ReloadingContext, tls_context
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import Feed, assets_into, revocations_into
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.kafka.topic_ids import KnownTopics
from vpp_streams.process.background import run_beside
from vpp_streams.process.connection import connected_role
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.ports import is_loopback
from vpp_streams.settings import Settings

log = structlog.get_logger()

SWEEP_S = 1.0
SLICE = 500
"""Connections handled before others get their turn."""
FINISH_S = 2.0
"""At a stop: how long each of Kafka's last answers, the devices' goodbyes and ours may take."""


ENGINES: dict[str, Callable[[Door], Engine]] = {"own": OwnEngine, "stock": StockEngine}


class Gateway:
    """The connections of one process and what they share."""

    def __init__(
        self,
        settings: Settings,
        slot: int,
        limits: Limits,
        outlet: Outlet,
        health: HealthReporter,
    ) -> None:
        self.port = 0
        """The port it listens on, once it does."""
        self.health = health
        self.registry = Registry()
        self.revocations = Revocations()
        self.revoked_serials: Callable[[], Collection[int]] = tuple
        """Serial numbers on the CA's own list, as it is now."""
        self.warning = ""
        """What is wrong with how the gateway was set up, for ``/healthz``."""
        self.background: list[asyncio.Task[None]] = []
        """Run for as long as the gateway does; one that ends has failed."""
        counters: Counter[str] = self.health.counters
        self.framer = Framer(
            outlet,
            self.health.process_id,
            settings.flush_ms,
            counters,
        )
        self.room = self.framer.room
        self._counters = counters
        self._limits = limits
        self._links: set[Link] = set()
        self._by_device: dict[str, Link] = {}
        """Those that have said Hello; the newest of each device."""
        self._before_hello: dict[str, Link] = {}
        """The newest of each device that has not: a device has one of either at most."""
        self._heads: dict[str, Head] = {}
        """Of devices that were connected here: one for each, for as long as it is registered."""
        self._credentials: Credentials[Link] = Credentials(self.revocations)
        self._doorkeeper = Doorkeeper(
            self.registry,
            self.revocations,
            counters,
            now().mono_ms,
            demo_tokens=is_loopback(settings.host),
        )
        self.outbox = EventOutbox(outlet, self.health)
        self.pusher = Pusher(self._by_device, self.outbox, self.health)
        self._shared = Shared(
            self.framer,
            PresenceLog(outlet, slot),
            self.outbox,
            counters,
            on_hello=self._replace_older,
            on_live=self.pusher.send_prices,
            on_closed=self._forget,
        )
        self._seen_registry = 0
        self.health.gauges["connections"] = lambda: len(self._links)
        self.health.gauges["in_flight_bytes"] = lambda: self.framer.in_flight_bytes

    # What a WebSocket engine asks (see `vpp_streams.gateway.seam.Door`)

    def answer(self, request: Request, transport: asyncio.BaseTransport) -> Admitted | Reply:
        """Admit or refuse an upgrade, or answer ``/healthz``."""
        if request.path == "/healthz":
            warning = {"warning": self.warning} if self.warning else {}
            return Reply(200, {"status": "ok", **warning, **self.health.report().gauges})
        headers: dict[str, str] = {}
        for name, value in request.headers.raw_items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        shown = client_certificate(transport.get_extra_info("peercert"))
        address = address_of(transport)
        match self._doorkeeper.admit(request.path, headers, shown, address, now().mono_ms):
            case AdmissionRefusal(status, reason, retry_after_s, code):
                more = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
                if retry_after_s is not None:
                    more["Retry-After"] = str(retry_after_s)
                return Reply(status, {"error": reason} | ({"code": code} if code else {}), more)
            case admitted:
                return admitted

    def opened(self, admitted: Admitted, socket: Socket) -> Link:
        """A device has connected."""
        partition = partition_of(admitted.site.site_id, PARTITIONS)
        session = Session(
            admitted.device,
            admitted.site,
            partition,
            self._limits,
            backfill_delay_ms=self._spread_ms(),
            counters=self._counters,
            now=now(),
        )
        link = Link(socket, session, self._shared)
        self._links.add(link)
        self._credentials.opened(link, link.device_id, admitted.certificate)
        older = self._before_hello.get(link.device_id)
        self._before_hello[link.device_id] = link
        if older is not None:
            older.perform(older.session.close(CLOSE_TRY_LATER, "a newer connection was opened"))
        return link

    async def sweep_for_ever(self) -> None:
        """Give every session the time, and see to devices whose record has changed."""
        while True:
            await asyncio.sleep(SWEEP_S)
            if self._seen_registry != self.registry.version:
                self._seen_registry = self.registry.version
                self._apply_registry()
            self._end_credentials()
            listening = self.framer.room.is_set()
            for links in _slices(list(self._links)):
                moment = now()
                for link in links:
                    if actions := link.session.tick(moment, listening):
                        link.perform(actions)
                await asyncio.sleep(0)

    async def drain(self, engine: Engine) -> None:
        """Stop taking connections, store what was taken in, and end every connection."""
        engine.stop_listening()
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
                await engine.wait_closed()
        except TimeoutError:
            for link in list(self._links):
                link.abort()
            await asyncio.wait([asyncio.create_task(engine.wait_closed())], timeout=FINISH_S)

    def _spread_ms(self) -> SpanMs:
        """A span over which a fleet of this size may come back without a stampede."""
        return 0, min(60_000, 500 + 5 * self.registry.device_count())

    def _forget(self, link: Link) -> None:
        self._links.discard(link)
        self._credentials.closed(link)
        registered = self.registry.device(link.device_id) is not None
        if registered and self._by_device.get(link.device_id) is link:
            self._heads[link.device_id] = link.session.head
        for links in (self._by_device, self._before_hello):
            if links.get(link.device_id) is link:
                del links[link.device_id]

    def _replace_older(self, link: Link) -> None:
        if self._before_hello.get(link.device_id) is link:
            del self._before_hello[link.device_id]
        older = self._by_device.get(link.device_id)
        self._by_device[link.device_id] = link
        head = older.session.head if older is not None else self._heads.get(link.device_id)
        if head is not None and not link.session.follows(head):
            self._counters["boots_used_again"] += 1
            log.warning(
                "a device's numbers go back within a boot: what it measured since may be dropped",
                device=link.device_id,
                boot=head.boot,
                was_at=head.seq,
                is_at=link.session.head.seq,
            )
        if older is not None and older is not link:
            older.perform(older.session.close(CLOSE_REPLACED, "a newer connection took over"))

    def _end_credentials(self) -> None:
        for link, code, reason in self._credentials.ended(self.revoked_serials(), now().utc_ms):
            self._counters["credentials_ended"] += 1
            log.info("a device's credentials ended", device=link.device_id, reason=reason)
            link.perform(link.session.close(code, reason))

    def _apply_registry(self) -> None:
        for link in list(self._links):
            device, site = link.session.device, link.session.site
            entry = self.registry.device(link.device_id)
            if entry is None:
                self._doorkeeper.failed.forget(link.device_id)
                self._heads.pop(link.device_id, None)
                actions = link.session.close(CLOSE_UNKNOWN_DEVICE, "no longer in the registry")
            elif entry[1].state == "planned":
                actions = link.session.close(CLOSE_UNKNOWN_DEVICE, "its site is only planned")
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
    be used, `InputError` where the port cannot be had or must not be used.
    """
    check_plain_text(settings)
    tls = tls_context(settings)
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    health = HealthReporter("gateway")
    async with AsyncExitStack() as stack:
        accepts = health.probes.need("devices may connect")
        stack.enter_context(sharing_port(settings))
        kafka = await stack.enter_async_context(connected_role(clients, health, finish_s=FINISH_S))
        gateway = Gateway(settings, slot, limits or Limits(), kafka.outlet, health)
        known = kafka.follower.following(
            assets_into(gateway.registry),
            revocations_into(gateway.revocations),
            Feed(topics.MARKET_PRICES, gateway.pusher.on_prices),
        )
        gateway.background.append(await stack.enter_async_context(known))
        check_demo_tokens(settings, gateway.registry)
        # A new topic knows nothing of our connections, and their epochs are offsets of the old one:
        # the gateway ends, and its devices come again.
        presence, names = KnownTopics(), [clients.full(topics.PRESENCE)]
        await presence.check(kafka.producer, names)
        works = [
            gateway.framer.run(),
            gateway.sweep_for_ever(),
            gateway.outbox.run(),
            presence.check_for_ever(kafka.producer, names),
            kafka.follower.follow(gateway.pusher.commands(slot)),
        ]
        if tls is not None:
            gateway.revoked_serials = lambda: tls.revoked
            works.append(tls.reload_for_ever())
        gateway.background += [run_beside(stack, work) for work in works]
        engine = ENGINES[settings.gateway_engine](gateway)
        await _listen(engine, settings, tls)
        stack.push_async_callback(gateway.drain, engine)
        gateway.port = engine.port
        gateway.warning = warn_of_plain_text(settings)
        accepts()
        yield gateway


async def _listen(engine: Engine, settings: Settings, tls: ReloadingContext | None) -> None:
    try:
        await engine.listen(settings, tls)
    except OSError as error:
        raise InputError(
            f"cannot listen on {settings.host} port {settings.gateway_port}"
            f" ({os.strerror(error.errno or 0)});"
            " stop what uses it, choose another with --port, or share it with other gateways"
            " of this world: all of them with --share-port"
        ) from None


def _slices(links: list[Link]) -> Iterator[list[Link]]:
    return (links[i : i + SLICE] for i in range(0, len(links), SLICE))
