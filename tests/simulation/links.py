"""Links between devices and gateways, in place of sockets: in order, late, and they break."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.http11 import Response

from tests.simulation.loop import PROCESS, Process
from vpp_streams.clock import now
from vpp_streams.gateway.admission import Admitted
from vpp_streams.gateway.seam import Door, Receiver

if TYPE_CHECKING:
    from tests.simulation.world import World

OPEN_TIMEOUT_S = 10.0
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 20.0
"""How long the library waits for a handshake, between pings, and for a pong: its defaults, which
the client leaves as they are."""
_END = object()
_PING = object()
_PONG = object()


class _Way:
    """One direction: what is sent arrives later, in order."""

    def __init__(self, world: "World", arrive: Callable[[Any], None]) -> None:
        self._world = world
        self._arrive = arrive
        self._last_s = 0.0

    def send(self, what: Any) -> None:
        loop = self._world.loop
        low, high = self._world.link_delay_s
        at_s = max(self._last_s, loop.now_s + low + (high - low) * self._world.rng.random())
        self._last_s = at_s
        loop.call_at(at_s, self._arrive, what, context=self._world.outside)


class DeviceSide:
    """What `websockets.connect` gives a device's client."""

    def __init__(self, world: "World") -> None:
        self.close_code: int | None = None
        self.over = False
        self.up: _Way | None = None
        """There once the gateway has let it in."""
        self.transport = self
        self.on_message: Callable[[bytes], None] = lambda data: None
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._pong = asyncio.Event()
        self._keepalive: asyncio.Task[None] | None = None

    # As `ClientConnection`

    async def send(self, data: bytes, text: bool = True) -> None:
        if self.over or self.up is None:
            raise ConnectionClosedError(None, None)
        self.up.send(data)

    async def close(self) -> None:
        self._end(1000)

    def abort(self) -> None:
        self._end(None)

    def __aiter__(self) -> "DeviceSide":
        return self

    async def __anext__(self) -> bytes:
        what = await self._inbox.get()
        if what is _END:
            if self.close_code in (1000, 1001):
                raise StopAsyncIteration
            raise ConnectionClosedError(None, None)
        self.on_message(what)
        return what

    # As the link

    def arrive(self, what: Any) -> None:
        """A message, or a close code, from the gateway."""
        if self.over:
            return
        if isinstance(what, bytes):
            self._inbox.put_nowait(what)
        elif what is _PONG:
            self._pong.set()
        else:
            self._over_with(what)

    def start_keepalive(self) -> None:
        """From here on the connection ends if the gateway answers no pings."""
        self._keepalive = asyncio.create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        while not self.over and self.up is not None:
            await asyncio.sleep(PING_INTERVAL_S)
            self._pong.clear()
            self.up.send(_PING)
            try:
                async with asyncio.timeout(PING_TIMEOUT_S):
                    await self._pong.wait()
            except TimeoutError:
                self._end(None)

    def _end(self, code: int | None) -> None:
        if not self.over:
            self._over_with(code)
            if self.up is not None:
                self.up.send(_END)

    def _over_with(self, code: int | None) -> None:
        self.over = True
        self.close_code = code
        self._inbox.put_nowait(_END)
        if self._keepalive is not None:
            self._keepalive.cancel()


class GatewaySide:
    """`vpp_streams.gateway.seam.Socket` of one connection."""

    def __init__(self, engine: "SimEngine", process: Process, device: DeviceSide) -> None:
        world = engine.world
        self.receiver: Receiver | None = None
        self.close_code_sent: int | None = None
        self._engine, self._process = engine, process
        self._down = _Way(world, device.arrive)
        device.up = _Way(world, self._arrive)
        self._inbox: list[Any] = []
        self._pump: asyncio.Task[None] | None = None
        self._over = False

    # As `Socket`

    def send_text(self, data: bytes) -> None:
        if not self._over and self.close_code_sent is None:
            self._down.send(data)

    def close(self, code: int, reason: str) -> None:
        if not self._over and self.close_code_sent is None:
            self.close_code_sent = code
            self._down.send(code)
            self._engine.world.loop.call_later(0.05, self.gone)

    def abort(self) -> None:
        self.broken()

    def unsent_bytes(self) -> int:
        return 0

    # As the link

    def broken(self) -> None:
        """The link is lost: the device learns of it too."""
        if not self._over:
            self._down.send(None)
            self.gone()

    def lost_its_process(self) -> None:
        """The gateway has no process any more: its kernel resets the connection."""
        if not self._over:
            self._over = True
            self._down.send(None)

    def _arrive(self, what: Any) -> None:
        if self._process.dead:
            return
        self._engine.world.loop.call_in(self._process, lambda: self._take(what))

    def _take(self, what: Any) -> None:
        if self._over:
            return
        if what is _END:
            self.gone()
            return
        self._inbox.append(what)
        if self._pump is None:
            if self._engine.door.room.is_set():
                self._hand_over()
            else:
                self._pump = asyncio.create_task(self._wait_for_room())

    def _hand_over(self) -> None:
        inbox, self._inbox = self._inbox, []
        for data in inbox:
            if self._over or self.close_code_sent is not None or self.receiver is None:
                return
            if data is _PING:
                self._down.send(_PONG)
            else:
                self.receiver.receive(data, now())

    async def _wait_for_room(self) -> None:
        while self._inbox and not self._over:
            await self._engine.door.room.wait()
            self._hand_over()
        self._pump = None

    def gone(self) -> None:
        """It is over: the gateway sees to its end."""
        if not self._over:
            self._over = True
            self._engine.went(self)


class SimEngine:
    """`vpp_streams.gateway.seam.Engine` on simulated links."""

    world: "World"
    """Set on a subclass."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.port = 1
        self.process = PROCESS.get()
        self.listening = False
        self.sides: dict[int, GatewaySide] = {}
        self._dialling: dict[DeviceSide, asyncio.Future[int]] = {}
        """Connections that the kernel holds until the process takes them."""
        self._ends: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def listen(self, settings: Any, tls: Any) -> None:
        self.listening = True
        self.world.engines[self.process.name] = self

    def stop_listening(self) -> None:
        # It stays known to the world: the connections that it has are the process's to the end.
        self.listening = False
        self._reset_dialling()

    async def wait_closed(self) -> None:
        await self._quiet.wait()

    def lost_its_process(self) -> None:
        """The process is dead: its kernel resets all that it has, whether it listens or not."""
        self.listening = False
        self._reset_dialling()
        for side in list(self.sides.values()):
            side.lost_its_process()

    def dial(self, device_id: str, device: DeviceSide) -> asyncio.Future[int]:
        """A device asks for a connection; the status it is answered with once the process acts.

        A device that has given up by then is let in all the same, and its end is seen after that,
        as its request and its end wait in the socket, one after the other.
        """
        answer = self._dialling[device] = self.world.loop.create_future()
        self.world.loop.call_in(self.process, lambda: self._answer(device_id, device))
        return answer

    def _answer(self, device_id: str, device: DeviceSide) -> None:
        answer = self._dialling.pop(device, None)
        if answer is None:
            return  # the kernel was faster
        entry = self.door.registry.device(device_id)  # type: ignore[attr-defined]
        if entry is not None:
            self._accept(Admitted(*entry), device)
        if not answer.done():
            answer.set_result(403 if entry is None else 101)

    def _reset_dialling(self) -> None:
        dialling, self._dialling = self._dialling, {}
        for answer in dialling.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("connection reset by peer"))

    def _accept(self, admitted: Admitted, device: DeviceSide) -> None:
        side = GatewaySide(self, self.process, device)
        self.sides[id(side)] = side
        self._quiet.clear()
        side.receiver = self.door.opened(admitted, side)
        if device.over:
            side.gone()

    def went(self, side: GatewaySide) -> None:
        self.sides.pop(id(side), None)
        if side.receiver is not None:
            end = asyncio.create_task(side.receiver.closed(side.close_code_sent))
            self._ends.add(end)
            end.add_done_callback(self._ended)
        self._check()

    def _ended(self, end: asyncio.Task[None]) -> None:
        self._ends.discard(end)
        self._check()

    def _check(self) -> None:
        if not self.sides and not self._ends:
            self._quiet.set()


class Connecting:
    """``async with connect(uri, ...) as socket`` of a device's client."""

    world: "World"
    """Set on a subclass."""

    def __init__(self, uri: str, **_options: Any) -> None:
        self._device_id = uri.rsplit("/", 1)[1]
        self._side: DeviceSide | None = None

    async def __aenter__(self) -> DeviceSide:
        world = self.world
        await asyncio.sleep(world.link_delay_s[1] * (0.5 + world.rng.random()))
        engine = world.engine_for(self._device_id)
        if engine is None:
            raise OSError("connection refused")
        side = DeviceSide(world)
        side.on_message = lambda data: world.on_message(self._device_id, data)
        try:
            status = await asyncio.wait_for(engine.dial(self._device_id, side), OPEN_TIMEOUT_S)
        except (TimeoutError, asyncio.CancelledError):
            side.abort()  # as the library does, so that the gateway learns that nobody is there
            raise
        if status != 101:
            raise InvalidStatus(Response(status, "Forbidden", Headers(), b"not in the registry"))
        self._side = side
        side.start_keepalive()
        return side

    async def __aexit__(self, *_error: object) -> None:
        if self._side is not None:
            await self._side.close()
