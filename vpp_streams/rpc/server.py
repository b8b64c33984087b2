"""The rpc process: follows topics into a read model and serves it as gRPC services."""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from vpp_streams import clock
from vpp_streams.accounts.accounts import Accounts, accounts_file
from vpp_streams.errors import InputError, SettingsError
from vpp_streams.kafka import topics
from vpp_streams.kafka.topic import Topic
from vpp_streams.process.background import run_beside
from vpp_streams.process.ports import is_loopback
from vpp_streams.rpc.dispatch_service import DispatchService
from vpp_streams.rpc.door import Door
from vpp_streams.rpc.fleet_service import FleetService
from vpp_streams.rpc.market_service import MarketService
from vpp_streams.rpc.methods import Methods
from vpp_streams.rpc.region_service import RegionService
from vpp_streams.rpc.watching import MOST_OPERATORS, MOST_ORDINARY, STALL_S, Watches
from vpp_streams.serving.desk import ANSWER_S, Desk, Kafka
from vpp_streams.serving.feeding import fed
from vpp_streams.serving.logins import Logins
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings, words_of

log = structlog.get_logger()
FOLLOWED: frozenset[Topic] = frozenset(
    {
        topics.ASSETS,
        topics.PREFERENCES,
        topics.SITE_WINDOWS,
        topics.REGION_LIVE,
        topics.REGION_WINDOWS,
        topics.DISPATCH_TARGETS,
        topics.DISPATCH_EVENTS,
        topics.MARKET_BIDS,
        topics.MARKET_AWARDS,
        topics.MARKET_DELIVERIES,
        topics.MARKET_PLANS,
    }
)
"""The topics behind the services; telemetry is not among them, so this process stays small."""
GRACE_S = 3.0
"""Time for calls to end when the server stops, s."""
_MOST_REQUEST = 64 * 1024
"""Largest request, bytes."""
_MOST_ANSWER = 4 * 1024 * 1024
_MOST_CALLS = MOST_ORDINARY + MOST_OPERATORS + 500
"""Calls at a time, with the watchers."""
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _MOST_REQUEST),
    ("grpc.max_send_message_length", _MOST_ANSWER),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 250),
    ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, and says so
    ("grpc.keepalive_time_ms", 30_000),  # a client that is gone is found out
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
)


class Rpc:
    """The services over a read model, and the server that has them."""

    def __init__(
        self,
        settings: Settings,
        model: ReadModel,
        now_ms: Callable[[], int],
        kafka: Kafka,
        *,
        logins: Logins,
        fleet: FleetWorker | None = None,
        answer_s: float = ANSWER_S,
        stall_s: float = STALL_S,
    ) -> None:
        """Orders are written to ``kafka``; ``logins`` knows who has a token.

        ``fleet`` provides twins (default: the worker at ``settings.fleet_url``). The region role
        has ``answer_s`` to answer an order, a watcher ``stall_s`` to read.
        """
        self._worker = fleet or FleetWorker(settings.fleet_url, token=settings.service_token)
        self.watches = Watches(
            *(logins, now_ms),
            per_token=settings.rpc_watchers_per_token,
            counters=model.counters,
            stall_s=stall_s,
        )
        self.desk = Desk(kafka, model, now_ms, answer_s)
        self.services: list[Methods] = [
            FleetService(model, self._worker, now_ms).methods(),
            RegionService(model, self.watches, now_ms).methods(),
            DispatchService(model, self.desk, self.watches, now_ms).methods(),
            MarketService(model, now_ms).methods(),
        ]
        door = Door(logins, model, words_of(settings.web_proxies), model.counters)
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
        handlers = [door.handlers(methods) for methods in self.services]
        self._health = health.aio.HealthServicer()
        self._server.add_generic_rpc_handlers(
            (*handlers, _health_check(self._health), _reflection(door, self._names()))
        )

    def listen(self, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
        """Listen on a port (0 = any free one), with TLS if there are credentials; returns the port.

        Raises `InputError` where the port cannot be used.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if credentials is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, credentials)
        except RuntimeError:
            raise InputError(
                f"cannot listen on {host} port {port};"
                " stop what uses it, or choose another with --port"
            ) from None

    async def start(self) -> None:
        """Serve, and answer to health checks that it does."""
        await self._server.start()
        for name in ("", *self._names()):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """End every stream, let other calls finish for `GRACE_S`, then end them."""
        await self._health.enter_graceful_shutdown()
        self.watches.stop()
        await self._server.stop(GRACE_S)
        await self._worker.close()

    def _names(self) -> list[str]:
        return [methods.service.full_name for methods in self.services]


def _health_check(servicer: health.aio.HealthServicer) -> grpc.GenericRpcHandler:
    """The check of grpc.health.v1, for everybody; not its stream, which would need a place."""
    check = grpc.unary_unary_rpc_method_handler(
        servicer.Check,
        health_pb2.HealthCheckRequest.FromString,
        health_pb2.HealthCheckResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})


def _reflection(door: Door, names: list[str]) -> grpc.GenericRpcHandler:
    """Server reflection, for those who have a token."""
    service = reflection.SERVICE_NAME
    servicer = reflection.aio.ReflectionServicer((*names, "grpc.health.v1.Health", service))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    behind = {"ServerReflectionInfo": door.behind(handler)}
    return grpc.method_handlers_generic_handler(service, behind)


def credentials_of(settings: Settings) -> grpc.ServerCredentials | None:
    """TLS credentials from the files of the settings; None = no TLS.

    Raises `SettingsError` for files that cannot be used, and for plain text where others could read
    tokens.
    """
    cert, key = settings.rpc_tls_cert, settings.rpc_tls_key
    if cert is None and key is None:
        if not is_loopback(settings.host) and not settings.rpc_plain:
            raise SettingsError(
                f"VPP_HOST={settings.host}: others can reach the gRPC services, and would read"
                " tokens; set VPP_RPC_TLS_CERT and VPP_RPC_TLS_KEY, or VPP_RPC_PLAIN=true where"
                " something in front speaks TLS"
            )
        return None
    if cert is None or key is None:
        raise SettingsError("VPP_RPC_TLS_CERT and VPP_RPC_TLS_KEY are set together")
    return grpc.ssl_server_credentials([(_read(key), _read(cert))])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"VPP_RPC_TLS_CERT, VPP_RPC_TLS_KEY: {path}: {error.strerror}"
        ) from None


async def serve_rpc(settings: Settings) -> None:
    """Serve on ``settings.rpc_port`` until SIGINT or SIGTERM.

    Raises `BrokerError` if Kafka does not answer, `InputError` if the port cannot be used,
    `SettingsError` for TLS files that cannot be used.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every twin
    credentials = credentials_of(settings)
    model = ReadModel(started_at_ms=clock.now_ms())
    accounts = Accounts(accounts_file(settings), counters=model.counters)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    with closing(accounts):
        async with (
            fed("rpc", settings, model, accounts, FOLLOWED) as (kafka, feeding),
            AsyncExitStack() as stack,
        ):
            logins = Logins(settings.operators, accounts, model.counters)
            rpc = Rpc(settings, model, clock.now_ms, kafka, logins=logins)
            port = rpc.listen(settings.host, settings.rpc_port, credentials)
            await rpc.start()
            stack.push_async_callback(rpc.stop)
            log.info("serving", address=f"{settings.host}:{port}", tls=credentials is not None)
            publishing = run_beside(stack, rpc.watches.run())
            waiting = asyncio.create_task(stopping.wait())
            tasks = {waiting, publishing, *feeding}
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            for task in done - {waiting}:
                await task  # it ends only with an error
