"""The door of every call: who sends it, whether it may, what is refused, what is noted."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc.aio import ServicerContext

from schemas.audit import AuditResult
from vpp_streams.domain.access.rights import Principal
from vpp_streams.rpc.methods import Call, Method, Methods
from vpp_streams.rpc.refusals import DETAILS, status_of
from vpp_streams.serving.logins import Logins, unknown
from vpp_streams.serving.problems import ApiError
from vpp_streams.serving.readmodel import ReadModel

log = structlog.get_logger()
Context = ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class _About(NamedTuple):
    """An order that somebody sends."""

    method: Method
    request: Message
    context: Context
    who: Principal


class Door:
    """Turns declared methods into handlers; a method that is not declared is not there."""

    def __init__(
        self,
        logins: Logins,
        model: ReadModel,
        proxies: Collection[str] = (),
        counters: Counter[str] | None = None,
    ) -> None:
        """Refused calls are counted in ``counters``; ``proxies`` may say whose call it is."""
        self._logins, self._model = logins, model
        self._proxies = frozenset(proxies)
        self._counters = Counter() if counters is None else counters

    def handlers(self, methods: Methods) -> grpc.GenericRpcHandler:
        """The handlers of a service's methods."""
        found = {name: self._handler(method) for name, method in methods.declared.items()}
        return grpc.method_handlers_generic_handler(methods.service.full_name, found)

    def behind(self, handler: Any) -> Handler:
        """A handler of another library's stream, for those who have a token."""

        async def guarded(requests: Any, context: Context) -> None:
            async def run() -> None:
                self.sender(context)
                async for response in handler.stream_stream(requests, context):
                    await context.write(response)

            await self._guarded("reflection", context, run)

        return grpc.stream_stream_rpc_method_handler(
            guarded, handler.request_deserializer, handler.response_serializer
        )

    def _handler(self, method: Method) -> Handler:
        reads = _reading(method.request_type)
        if method.watch is not None:
            watch = method.watch

            async def stream(request: Message | None, context: Context) -> None:
                async def run() -> None:
                    call, asked = self._enter(method, request, context)
                    await watch(asked, call, context.write)

                await self._guarded(method.name, context, run)

            # States are encoded once for all watchers: the handler sends bytes.
            return grpc.unary_stream_rpc_method_handler(stream, reads, None)
        answer = method.answer
        assert answer is not None  # a method has one of the two

        async def unary(request: Message | None, context: Context) -> Message:
            async def run() -> Message:
                call, asked = self._enter(method, request, context)
                if not method.order:
                    return await answer(asked, call)
                about = _About(method, asked, context, call.who)
                return await self._noted(about, call, answer(asked, call))

            found: Message = await self._guarded(method.name, context, run)
            return found

        return grpc.unary_unary_rpc_method_handler(unary, reads, _encoded)

    def sender(self, context: Context) -> tuple[Principal, str]:
        """Who sends a call, and the token. Raises `ApiError` (401, 403, 429)."""
        word = _metadata(context).get("authorization", "")
        kind, _, token = word.partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise unknown("a token is missing", "send the metadata `authorization: Bearer <token>`")
        return self._logins.holder(self._address(context), token.strip()), token.strip()

    def _enter(
        self, method: Method, request: Message | None, context: Context
    ) -> tuple[Call, Message]:
        """Who calls, and what is asked. Raises `ApiError` if it is not to be answered."""
        who, token = self.sender(context)
        if request is None:
            raise ApiError(HTTPStatus.BAD_REQUEST, "the request is no message of this method", "")
        if not who.grants:
            raise ApiError(
                HTTPStatus.FORBIDDEN,
                f"{who.name} has no role yet",
                "whoever runs this system gives one: vpp accounts role NAME ROLE SCOPE",
            )
        try:
            method.need.check(who, self._model, method.places(request))
        except ApiError as refusal:
            if method.order:
                about = _About(method, request, context, who)
                self._note(about, "refused", refusal.error)
            raise
        call = Call(who=who, token=token, remaining_s=context.time_remaining, outcome=[])
        return call, request

    async def _guarded(self, name: str, context: Context, run: Callable[[], Awaitable[Any]]) -> Any:
        """Run a handler; whatever it raises becomes a status, and nothing else leaves it."""
        self._counters["calls"] += 1
        try:
            return await run()
        except ApiError as refusal:
            self._counters["calls_refused"] += 1
            code, status = status_of(refusal)
            trailer = ((DETAILS, status.SerializeToString()),)
            await context.abort(code, refusal.error, trailer)
        except asyncio.CancelledError:
            self._counters["calls_cancelled"] += 1
            raise
        except Exception as error:  # one call, not the process
            self._counters["calls_failed"] += 1
            log.error("a call failed", method=name, exc_info=error)
            await context.abort(
                grpc.StatusCode.INTERNAL, "the server failed to answer: see its log"
            )

    async def _noted(self, about: _About, call: Call, answer: Awaitable[Message]) -> Message:
        """Await an order's answer, and note it in the audit trail however it ends."""
        result: AuditResult = "failed"
        said = "the caller left before the answer: it is not known whether it was written"
        try:
            found = await answer
            result, said = "done", ""
            return found
        except ApiError as refusal:
            result = "refused" if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
            said = refusal.error
            raise
        except Exception:
            said = "the server failed"
            raise
        finally:
            self._note(about, result, " ".join(filter(None, ("".join(call.outcome), said))))

    def _note(self, about: _About, result: AuditResult, detail: str) -> None:
        places = about.method.places(about.request)
        self._logins.note(
            who=about.who.name,
            how="token",
            action=about.method.name,
            target=" ".join(f"{name}={value}" for name, value in places.items()),
            address=self._address(about.context),
            result=result,
            detail=detail,
        )

    def _address(self, context: Context) -> str:
        """The client's address; from a trusted proxy, the one that it reports."""
        address = address_of(context.peer())
        if address not in self._proxies:
            return address
        reported = _metadata(context).get("x-forwarded-for", "").split(",")
        others = [one.strip() for one in reported if one.strip() not in self._proxies]
        return others[-1] or address if others else address


def _reading(type_: type[Message]) -> Callable[[bytes], Message | None]:
    """A reader of requests; None stands for bytes that are no message, so that we refuse them."""

    def read(body: bytes) -> Message | None:
        try:
            return type_.FromString(body)
        except DecodeError:
            return None

    return read


def _encoded(message: Message) -> bytes:
    return message.SerializeToString()


def address_of(peer: str) -> str:
    """The address in gRPC's name of a peer, such as ``ipv4:127.0.0.1:50000``."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    return rest.rpartition(":")[0].strip("[]")


def _metadata(context: Context) -> dict[str, str]:
    found = context.invocation_metadata() or ()
    return {key: value for key, value in found if isinstance(value, str)}
