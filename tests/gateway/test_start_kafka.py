"""How a gateway starts: its port, TLS and certificates, and what it refuses to start without."""

import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.exceptions import InvalidHandshake

from schemas.assets import Device, Site
from tests.support.certificates import make_certificate
from tests.support.gateway_kafka import (
    BOTH_ENGINES,
    connect_device,
    gateway_with,
    home,
    refusal,
    register,
    send_hello,
    send_reading,
    wait_for_ack,
)
from vpp_streams.domain.registry.demo_tokens import device_token, token_hash
from vpp_streams.errors import BrokerError, InputError, SettingsError
from vpp_streams.gateway.server import running_gateway
from vpp_streams.process.ports import free_port
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka


async def test_gateways_of_one_world_share_a_port_if_they_are_asked_to(settings: Settings) -> None:
    shared = settings.model_copy(update={"gateway_port": free_port(), "gateway_share_port": True})
    async with running_gateway(shared) as one, running_gateway(shared, slot=3) as other:
        assert one.port == other.port == shared.gateway_port
        elsewhere = shared.model_copy(update={"namespace": settings.namespace + "x"})
        with pytest.raises(InputError, match="another world"):
            async with running_gateway(elsewhere):
                pass
        not_asked = shared.model_copy(update={"gateway_share_port": False})
        with pytest.raises(InputError, match="--share-port"):
            async with running_gateway(not_asked, slot=4):
                pass


@BOTH_ENGINES
async def test_a_port_is_not_shared_unasked(settings: Settings, engine: str) -> None:
    async with gateway_with(settings, home(1), gateway_engine=engine) as one:
        again = settings.model_copy(
            update={"gateway_port": one.port, "gateway_engine": engine, "gateway_share_port": True}
        )
        with pytest.raises(InputError, match="cannot listen"):
            async with running_gateway(again, slot=3):
                pass


async def test_a_world_that_others_can_reach_needs_tls_and_tokens_of_its_own(
    settings: Settings,
) -> None:
    reachable = settings.model_copy(update={"host": "0.0.0.0", "gateway_port": 0})
    with pytest.raises(InputError, match=r"VPP_TLS_CERT.*VPP_GATEWAY_PLAIN=1"):
        async with running_gateway(reachable):
            pass
    demo = Device("demo", "solar", token_sha256=token_hash(device_token("demo")))
    await register(settings, Site("s-demo", "north", (demo,)))
    with pytest.raises(InputError, match="demo's tokens, which are public"):
        async with running_gateway(reachable.model_copy(update={"gateway_plain": True})):
            pass


def client_tls(directory: Path, own: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=directory / "ca.pem")
    if own:
        context.load_cert_chain(directory / f"{own}.pem")
    return context


async def test_certificates(settings: Settings, tmp_path: Path) -> None:
    ca = make_certificate("ca", None, tmp_path)
    for name in ("gateway", "pw-1", "pw-2"):
        make_certificate(name, ca, tmp_path)
    make_certificate("forged", make_certificate("other-ca", None, tmp_path), tmp_path)
    tls: dict[str, Any] = {
        "tls_cert": tmp_path / "gateway.pem",
        "tls_client_ca": tmp_path / "ca.pem",
    }
    no_token = home(1).devices[0]
    only_certificate = home(1, devices=(msgspec.structs.replace(no_token, token_sha256=""),))
    nothing: dict[str, str] = {}
    async with gateway_with(settings, only_certificate, home(2), **tls) as gateway:
        own, other, forged, none = (
            client_tls(tmp_path, name) for name in ("pw-1", "pw-2", "forged", None)
        )
        async with connect_device(gateway, "pw-1", additional_headers=nothing, ssl=own) as socket:
            await send_hello(socket)
            await send_reading(socket, 1)
            await wait_for_ack(socket, 1)
        async with connect_device(gateway, "pw-2", ssl=none) as socket:  # a token does as well
            await send_hello(socket)
        assert await refusal(connect_device(gateway, "pw-1", ssl=other)) == (
            403,
            "the certificate is not that of pw-1",
        )
        # A device without a token hash cannot be reached by any token, not even an empty one.
        for empty in ("Bearer ", "Bearer x"):
            headers = {"Authorization": empty}
            status, _ = await refusal(
                connect_device(gateway, "pw-1", additional_headers=headers, ssl=none)
            )
            assert status == 401
        with pytest.raises((ssl.SSLError, OSError, InvalidHandshake)):
            await connect_device(gateway, "pw-1", additional_headers=nothing, ssl=forged)


async def test_a_gateway_that_cannot_start_says_why(settings: Settings, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    with pytest.raises(SettingsError, match="VPP_TLS_CERT"):
        async with running_gateway(settings.model_copy(update={"tls_cert": nonsense})):
            pass
    with pytest.raises(BrokerError, match="vpp broker start"):
        async with running_gateway(settings.model_copy(update={"kafka": "127.0.0.1:1"})):
            pass
