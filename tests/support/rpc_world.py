"""The gRPC services on a free port of this machine, over a small world, with tokens by role."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from tests.support.accounts_world import Entrance
from tests.support.waiting import PATIENCE_S
from tests.support.web_records import NOW_MS
from tests.support.web_world import KafkaInMemory
from vpp_streams.rpc.methods import Method
from vpp_streams.rpc.refusals import DETAILS
from vpp_streams.rpc.server import Rpc
from vpp_streams.serving.readmodel import ReadModel
from vpp_streams.serving.twins import FleetWorker
from vpp_streams.settings import Settings


class RpcWorld:
    """A server with its services, and a channel to it."""

    def __init__(
        self,
        model: ReadModel,
        *,
        kafka: KafkaInMemory | None = None,
        fleet: FleetWorker | None = None,
        entrance: Entrance | None = None,
        answer_s: float = 0.0,
        **more: Any,
    ) -> None:
        self.model, self.kafka = model, kafka or KafkaInMemory()
        self.entrance = entrance or Entrance()
        settings = Settings(**more.pop("settings", {}))
        self.now_ms: Callable[[], int] = more.pop("now_ms", lambda: NOW_MS)
        self.rpc = Rpc(
            *(settings, model, self.now_ms, self.kafka),
            logins=self.entrance.logins,
            fleet=fleet,
            answer_s=answer_s,
            **more,
        )
        self.methods = {
            method.name: method
            for service in self.rpc.services
            for method in service.declared.values()
        }
        self.channel: grpc.aio.Channel
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RpcWorld"]:
        """The server and a channel to it during the body."""
        self.port = self.rpc.listen("127.0.0.1", 0, None)
        await self.rpc.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as self.channel:
            try:
                yield self
            finally:
                await self.rpc.stop()

    def metadata(self, role: str = "operator", scope: str = "*") -> tuple[tuple[str, str], ...]:
        """What a call of somebody with a role in a scope sends."""
        return (("authorization", self.entrance.headers(role, scope)["Authorization"]),)

    def waiting(self) -> int:
        """The number of orders that wait for the region role's answer."""
        return self.rpc.desk.waiting

    def call(self, name: str, request: Message, metadata: Any = None, **more: Any) -> Any:
        """A call of a method such as ``RegionService.GetRegion``; of a stream, its messages."""
        method = self.methods[name]
        path = f"/{method.descriptor.containing_service.full_name}/{method.descriptor.name}"
        kind = self.channel.unary_unary if method.watch is None else self.channel.unary_stream
        stub: Any = kind(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer_type(method).FromString,
        )
        metadata = self.metadata() if metadata is None else metadata
        return stub(request, metadata=metadata, timeout=more.pop("timeout", PATIENCE_S), **more)

    async def refused(self, name: str, request: Message, metadata: Any = None) -> "Refused":
        """The refusal of a call; it fails if there is none."""
        try:
            call = self.call(name, request, metadata)
            if self.methods[name].watch is None:
                answer = await call
            else:
                answer = await call.read()
        except grpc.aio.AioRpcError as error:
            return Refused(error)
        raise AssertionError(f"{name} was answered: {answer}")


def answer_type(method: Method) -> type[Message]:
    """The class of a method's answers."""
    return GetMessageClass(method.descriptor.output_type)


class Refused:
    """A refusal with its details."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.error = error.code(), error.details()
        found = dict(error.trailing_metadata() or ()).get(DETAILS, b"")
        self.status = status_pb2.Status.FromString(found)
        self.info, self.bad, self.retry = ErrorInfo(), BadRequest(), RetryInfo()
        for detail in self.status.details:
            for one in (self.info, self.bad, self.retry):
                detail.Unpack(one)
