"""The process that signs: enrolment and renewal over HTTPS, beside Kafka.

The certificate of its own port is signed by the authority that it holds, and is replaced while it
runs.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
import uvicorn
from starlette.applications import Starlette

from vpp_streams import clock
from vpp_streams.domain.identity.authority import Authority, pem_of
from vpp_streams.domain.identity.revocations import Revocations
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.domain.registry.registry import Registry
from vpp_streams.identity.app import create_app
from vpp_streams.identity.ca_files import read_authority, write_server_files
from vpp_streams.identity.code_log import CodeLog
from vpp_streams.identity.desk import Desk
from vpp_streams.identity.signer import Signer
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import Feed, assets_into, revocations_into
from vpp_streams.process.background import run_beside
from vpp_streams.process.connection import Connection, connected_role
from vpp_streams.process.health import HealthReporter
from vpp_streams.process.ports import bound
from vpp_streams.settings import Settings
from vpp_streams.web.connections import DoorConfig, open_files
from vpp_streams.web.places import BACKLOG, Places, limits_for

log = structlog.get_logger()

SERVER_LIFE_MS = 7 * DAY_MS
REPLACED_EVERY_S = 86_400.0
"""How often the certificate of the port is made again."""
FINISH_S = 2.0


@dataclass(slots=True)
class Running:
    """A server that answers."""

    port: int
    background: list[asyncio.Task[None]]
    """Run for as long as the server does; one that ends has failed."""


@asynccontextmanager
async def running_enrolment(settings: Settings, names: Sequence[str]) -> AsyncIterator[Running]:
    """A server on ``settings.enrol_port`` (0 = any free one) during the body.

    ``names`` are the host names or addresses under which devices reach it. Raises `BrokerError`
    where Kafka does not answer, `InputError` for an authority or a port that cannot be used.
    """
    authority = read_authority(settings.ca)
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    health = HealthReporter("enrolment")
    certificate = PortCertificate(authority, names)
    async with AsyncExitStack() as stack:
        kafka = await stack.enter_async_context(connected_role(clients, health, finish_s=FINISH_S))
        answers = health.probes.need("devices may enrol")
        desk, following = await _desk(stack, kafka, authority, health)
        background = [following, run_beside(stack, certificate.replace_for_ever())]
        app = create_app(desk, pem_of(authority.certificate))
        port = serve(stack, app, settings, certificate)
        answers()
        yield Running(port, background)


async def _desk(
    stack: AsyncExitStack, kafka: Connection, authority: Authority, health: HealthReporter
) -> tuple[Desk, asyncio.Task[None]]:
    """A desk that has read all there is, and the task that keeps it current."""
    outlet, registry, revocations = kafka.outlet, Registry(), Revocations()
    codes = CodeLog(lambda record: outlet.write(topics.IDENTITY_CODES, record))
    signer = Signer(
        authority,
        lambda record: outlet.write(topics.IDENTITY_CERTIFICATES, record),
        life_ms=round(kafka.clients.settings.device_cert_days * DAY_MS),
        now=clock.now,
        chance=secrets.token_bytes,
    )
    following = kafka.follower.following(
        assets_into(registry),
        Feed(topics.IDENTITY_CODES, codes.take),
        revocations_into(revocations),
    )
    task = await stack.enter_async_context(following)
    health.gauges["codes"] = lambda: len(codes.codes)
    return Desk(signer, codes, registry, revocations, health.counters), task


class PortCertificate:
    """The certificate of the port, made again each day; new connections use the newest one."""

    def __init__(self, authority: Authority, names: Sequence[str]) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority = authority
        self._names = list(names)
        self.replace()

    def replace(self) -> None:
        """Make a new one and use it for connections from here on; no file of it is left."""
        with TemporaryDirectory(prefix="vpp-enrolment-") as directory:
            cert, key = write_server_files(
                self._authority,
                self._names,
                Path(directory),
                now_ms=clock.now_ms(),
                life_ms=SERVER_LIFE_MS,
            )
            self.context.load_cert_chain(cert, key)

    async def replace_for_ever(self) -> None:
        """Do so each day."""
        while True:
            await asyncio.sleep(REPLACED_EVERY_S)
            self.replace()


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to the command that runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    stack: AsyncExitStack, app: Starlette, settings: Settings, certificate: PortCertificate
) -> int:
    """Serve until the stack unwinds; returns the port."""
    listener = bound(settings.host, settings.enrol_port)
    stack.callback(listener.close)
    places = Places(limits_for(open_files(), settings.web_per_client))
    config = DoorConfig(
        app,
        places,
        lambda _scope: False,  # there are no operators here
        lifespan="off",
        ssl_context_factory=lambda *_: certificate.context,
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    listener.listen(BACKLOG)
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    async def stop() -> None:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)

    stack.push_async_callback(stop)
    return int(listener.getsockname()[1])
