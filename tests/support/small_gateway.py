"""A small gateway of plain ``websockets``: no Kafka, real sockets."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from websockets import Request, Response
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from edge.session import Patience
from schemas.protocol import (
    REFUSED_REVOKED,
    SUBPROTOCOL,
    Ack,
    Backfill,
    BackfillPace,
    Call,
    CommandStatus,
    Hello,
    HelloResult,
    Result,
    Setpoint,
    SetpointResult,
    Telemetry,
    VendorTelemetry,
)
from schemas.wire import decode, decode_result, encode_call, encode_result, encode_send
from vpp_streams import clock

QUICK = Patience(reconnect_first_ms=50, reconnect_most_ms=200)
HANGS_S = 60
EPOCH = 1


@dataclass
class SmallGateway:
    """Takes every device, acks every reading at once and remembers what came."""

    url: str = ""
    refuse: bool = False
    revoked: bool = False
    """Whether it refuses every device as revoked, as the gateway does."""
    interval_ms: int = 1000
    acks: bool = True
    """False = it keeps its acks to itself."""
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    hellos: list[Hello] = field(default_factory=list)
    times_ms: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    """Times of measurement that came under each (boot, number)."""
    powers_w: dict[tuple[str, int], list[float | None]] = field(default_factory=dict)
    """Battery powers that came under each (boot, number), once for each time that it came."""
    requests: list[Request] = field(default_factory=list)
    sockets: dict[str, ServerConnection] = field(default_factory=dict)
    live: set[tuple[str, int]] = field(default_factory=set)
    vendors: set[str] = field(default_factory=set)
    backfilled: set[tuple[str, int]] = field(default_factory=set)
    answers: dict[str, list[str]] = field(default_factory=dict)
    reports: dict[str, list[CommandStatus]] = field(default_factory=dict)

    async def command(self, device_id: str, rank: int, p: float, lasts_ms: int = 60_000) -> None:
        now_ms = clock.now_ms()
        lease = Setpoint(
            epoch=EPOCH, rank=rank, p=p, not_before=now_ms, valid_until=now_ms + lasts_ms,
            ramp_w_s=50_000,
        )  # fmt: skip
        await self.sockets[device_id].send(encode_call(f"c{rank}", lease), text=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; checked whenever something came or a link ended."""
        while not condition():
            self.happened.clear()
            await self.happened.wait()

    def seqs(self) -> set[int]:
        """The numbers of all readings that came."""
        return {seq for _, seq in self.live | self.backfilled}

    def _note(self, boot: str, seq: int, t_ms: int | None, power_w: float | None) -> None:
        if t_ms is not None:
            self.times_ms.setdefault((boot, seq), set()).add(t_ms)
            self.powers_w.setdefault((boot, seq), []).append(power_w)

    def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        self.happened.set()
        if self.revoked:
            return socket.respond(403, json.dumps({"error": "revoked", "code": REFUSED_REVOKED}))
        return socket.respond(401, "wrong token\n") if self.refuse else None

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        device_id = socket.request.path.removeprefix("/v1/")
        self.sockets[device_id] = socket
        self.happened.set()
        with suppress(ConnectionClosed):
            async for data in socket:
                for reply in self.replies(device_id, decode(data)):
                    await socket.send(reply, text=True)
                self.happened.set()
        self.happened.set()

    def replies(self, device_id: str, message: object) -> list[bytes]:
        match message:
            case Call(id_, Hello() as hello):
                self.hellos.append(hello)
                pace = BackfillPace((0, 0), 1000)
                now_ms = clock.now_ms()
                result = HelloResult(EPOCH, now_ms, self.interval_ms, 1000, 30, pace)
                return [encode_result(id_, result)]
            case Result() as result:
                status = decode_result(result, SetpointResult).status
                self.answers.setdefault(device_id, []).append(status)
                return []
            case Call(id_, CommandStatus() as report):
                self.reports.setdefault(device_id, []).append(report)
                return [encode_result(id_, {})]
            case Call(_, (Telemetry() | VendorTelemetry()) as reading):
                self.live.add((device_id, reading.s))
                power_w = reading.p if isinstance(reading, Telemetry) else None
                self._note(reading.b, reading.s, reading.t, power_w)
                if isinstance(reading, VendorTelemetry):
                    self.vendors.add(reading.vendor)
                first = last = reading.s
            case Call(_, Backfill() as reading):
                first, last = reading.from_, reading.from_ + len(reading.rows) - 1
                self.backfilled |= {(device_id, seq) for seq in range(first, last + 1)}
                for seq, row in enumerate(reading.rows, first):
                    values = dict(zip(reading.cols, row or (), strict=False))
                    self._note(reading.b, seq, values.get("t"), values.get("p"))
            case _:
                return []
        if not self.acks:
            return []
        return [encode_send("a", Ack(b=reading.b, from_=first, upto=last, t=clock.now_ms()))]


@asynccontextmanager
async def small_gateway(tls: ssl.SSLContext | None = None) -> AsyncIterator[SmallGateway]:
    """A gateway on a free port of loopback, with TLS if a context is given."""
    gateway = SmallGateway()
    async with (
        asyncio.timeout(HANGS_S),
        serve(
            gateway.serve,
            "127.0.0.1",
            0,
            process_request=gateway.answer,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            ssl=tls,
        ) as server,
    ):
        scheme = "ws" if tls is None else "wss"
        gateway.url = f"{scheme}://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield gateway
