"""An enrolment server with real certificates on a real socket; its topics are in memory."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.identity_world import IdentityWorld, new_authority
from vpp_streams import clock
from vpp_streams.domain.identity.authority import fingerprint
from vpp_streams.identity.app import create_app
from vpp_streams.identity.enrolment_server import PortCertificate, serve
from vpp_streams.settings import Settings


@dataclass
class Served:
    world: IdentityWorld
    url: str
    port: int
    certificate: PortCertificate

    @property
    def ca_sha256(self) -> str:
        return fingerprint(self.world.authority.certificate)

    def client(self) -> httpx.AsyncClient:
        tls = ssl.create_default_context(cadata=self.world.ca_pem)
        return httpx.AsyncClient(verify=tls, base_url=self.url)


@asynccontextmanager
async def enrolment_server(folder: Path) -> AsyncIterator[Served]:
    """A server on a free port of loopback; its world begins now, and its time is settable."""
    world = IdentityWorld()
    world.now_ms = clock.now_ms()
    world.authority = new_authority(world.now_ms)
    settings = Settings(state_dir=folder, enrol_port=0)
    certificate = PortCertificate(world.authority, ["localhost", "127.0.0.1"])
    async with AsyncExitStack() as stack:
        app = create_app(world.desk(), world.ca_pem)
        port = serve(stack, app, settings, certificate)
        yield Served(world, f"https://127.0.0.1:{port}", port, certificate)
