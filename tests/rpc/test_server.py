"""The server itself: health, reflection, limits, TLS, the port, and the end."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.rpc_world import Refused, RpcWorld
from tests.support.waiting import PATIENCE_S, until
from tests.support.web_world import fed_read_model
from vpp.dispatch.v1 import dispatch_pb2
from vpp.region.v1 import region_pb2, region_pb2_grpc
from vpp_streams.errors import InputError, SettingsError
from vpp_streams.rpc.server import credentials_of
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[RpcWorld]:
    async with RpcWorld(fed_read_model()).running() as world:
        yield world


async def health_of(world: RpcWorld, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(world.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
    return int(answer.status)


async def test_health_is_told_to_everybody_by_service(world: RpcWorld) -> None:
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", *(methods.service.full_name for methods in world.rpc.services)):
        assert await health_of(world, service) == serving
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await health_of(world, "vpp.nothing.v1.Service")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services_to_those_with_a_token(world: RpcWorld) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(world.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([asked]), timeout=PATIENCE_S)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    by_symbol = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="vpp.dispatch.v1.DispatchService"
    )
    metadata = world.metadata("viewer", "region:north")
    call = stub.ServerReflectionInfo(
        iter([asked, by_symbol]), metadata=metadata, timeout=PATIENCE_S
    )
    listed, described = [answer async for answer in call]
    names = {service.name for service in listed.list_services_response.service}
    assert {methods.service.full_name for methods in world.rpc.services} < names
    [file] = described.file_descriptor_response.file_descriptor_proto
    assert b"RequestPower" in file


async def test_a_request_that_is_too_long_is_refused_before_it_is_read(world: RpcWorld) -> None:
    request = dispatch_pb2.HoldRequest(region="north", reason="x" * 70_000)
    refused = await world.refused("DispatchService.Hold", request)
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert world.kafka.written == []


@pytest.mark.parametrize("body", [b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe"])
async def test_bytes_that_are_no_message_are_refused(world: RpcWorld, body: bytes) -> None:
    stub: Any = world.channel.unary_unary("/vpp.region.v1.RegionService/GetRegion")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub(body, metadata=world.metadata(), timeout=PATIENCE_S)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await world.call("RegionService.GetRegion", region_pb2.GetRegionRequest(region="north"))


async def test_a_fault_of_ours_is_logged_and_told_without_its_inside() -> None:
    class Broken(ReadModel):
        def region_now(self, name: str, now_ms: int) -> Any:
            raise RuntimeError("secret inside")

    async with RpcWorld(Broken(0)).running() as broken:
        request = region_pb2.GetRegionRequest(region="north")
        refused = await broken.refused("RegionService.GetRegion", request)
    assert refused.code is grpc.StatusCode.INTERNAL
    assert "secret" not in (refused.error or "")


async def test_a_port_in_use_is_a_mistake_that_says_what_to_do(world: RpcWorld) -> None:
    other = RpcWorld(ReadModel(0))
    with pytest.raises(InputError, match=f"port {world.port}.*--port"):
        other.rpc.listen("127.0.0.1", world.port, None)
    await other.rpc.stop()


async def test_stopping_answers_calls_that_run_and_refuses_new_ones() -> None:
    async with RpcWorld(fed_read_model(), answer_s=0.2).running() as world:
        hold = asyncio.ensure_future(
            world.call("DispatchService.Hold", dispatch_pb2.HoldRequest(region="north"))
        )
        await until(lambda: world.waiting() == 1)
        await world.rpc.stop()
        answer = await hold
        assert answer.outcome.state == dispatch_pb2.REQUEST_STATE_WRITTEN
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.call("DispatchService.Hold", dispatch_pb2.HoldRequest(region="north"))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_with_tls_files_the_services_speak_tls_only(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    world = RpcWorld(fed_read_model())
    credentials = credentials_of(Settings(rpc_tls_cert=cert, rpc_tls_key=key))
    port = world.rpc.listen("127.0.0.1", 0, credentials)
    await world.rpc.start()
    try:
        trusted = grpc.ssl_channel_credentials(cert.read_bytes())
        request = region_pb2.GetRegionRequest(region="north")
        async with grpc.aio.secure_channel(f"localhost:{port}", trusted) as channel:
            stub: Any = region_pb2_grpc.RegionServiceStub(channel)
            answer = await stub.GetRegion(request, metadata=world.metadata(), timeout=PATIENCE_S)
            assert answer.region.region == "north"
        async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
            stub = region_pb2_grpc.RegionServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetRegion(request, metadata=world.metadata(), timeout=PATIENCE_S)
            assert Refused(refused.value).code is grpc.StatusCode.UNAVAILABLE
    finally:
        await world.rpc.stop()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"host": "0.0.0.0"}, "VPP_RPC_PLAIN"),
        ({"rpc_tls_cert": Path("/nonexistent")}, "set together"),
        ({"rpc_tls_cert": Path("/nonexistent"), "rpc_tls_key": Path("/no")}, "/no: No such file"),
    ],
)
async def test_tls_that_cannot_be_is_one_line(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(SettingsError, match=error):
        credentials_of(Settings(**changes))


async def test_plain_text_to_others_is_allowed_where_it_is_said() -> None:
    assert credentials_of(Settings(host="0.0.0.0", rpc_plain=True)) is None
