"""Many cheap devices on one gateway: ``python -m benchmarks.gateway_load ws://host:port``.

A device here is a bare `asyncio.Protocol`: an upgrade request and frames made by hand, and of
what comes back only what is counted. One process holds up to 19,000 of them (local ports and
file descriptors end there): start more, each with a ``--source`` address of its own. The devices
must be in the registry: ``load-0``, ``load-1``, ... with the token ``secret``.
"""

import argparse
import asyncio
import hashlib
import resource
import ssl
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
import uvloop

from schemas.assets import Device, Site
from schemas.protocol import Hello
from schemas.wire import encode_call
from vpp_streams import clock

TOKEN = "secret"
BOOT = "b0"
AT_ONCE = 100
"""Handshakes under way at a time."""
REQUEST = (
    "GET /v1/{} HTTP/1.1\r\nHost: load\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: vpp.v1\r\nAuthorization: Bearer " + TOKEN + "\r\n\r\n"
)
READING = (
    '[6,"{0}","Telemetry",{{"b":"b0","s":{0},"t":{1},"p":1200.5,"g":-200.25,"pv":3000.0,'
    '"l":4000.25,"soc":0.5132,"hz":50.01,"v":231.4,"tc":24.5}}]'
)


def device_id(number: int) -> str:
    """Name of a device of the load."""
    return f"load-{number}"


def site_of(number: int) -> Site:
    """The home of a device of the load, for the registry."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    return Site(
        f"site-{number}", "north", (Device(device_id(number), "powerwall", token_sha256=digest),)
    )


def masked(text: bytes) -> bytes:
    """A client's text frame, with a mask of zeros, which is as valid as any other."""
    size = len(text)
    if size < 126:
        return bytes((0x81, 0x80 | size, 0, 0, 0, 0)) + text
    return b"\x81\xfe" + size.to_bytes(2, "big") + b"\0\0\0\0" + text


class LoadDevice(asyncio.Protocol):
    """One device: sends Hello, sends readings on request, counts acks."""

    __slots__ = ("_data", "_fleet", "_upgraded", "acked", "epoch", "name", "sent", "transport")

    def __init__(self, fleet: "LoadFleet", name: str) -> None:
        self._fleet = fleet
        self._data = b""
        self._upgraded = False
        self.name = name
        self.epoch = 0
        self.sent = self.acked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Request the upgrade."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(REQUEST.format(self.name).encode())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Count the end of a connection, which is not expected before the end of the run."""
        if not self._fleet.closing:
            self._fleet.counts["lost connections"] += 1

    def data_received(self, data: bytes) -> None:
        """Process the gateway's frames, or its answer to the request."""
        data = self._data + data
        if not self._upgraded:
            head, end, rest = data.partition(b"\r\n\r\n")
            self._data = data
            if not end:
                return
            if b" 101 " not in head[:20]:
                self._fleet.counts[f"refused: {rest.decode()[:60]}"] += 1
                return
            self._upgraded, data = True, rest
            hello = Hello(boot=BOOT, next_seq=1)
            self.transport.write(masked(encode_call("h", hello)))
        at = 0
        while len(data) - at >= 2:
            size, begin = data[at + 1], at + 2
            if size == 126:
                size, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if begin + size > len(data):
                break
            self._take(data[begin : begin + size])
            at = begin + size
        self._data = data[at:]

    def send_reading(self, time_ms: int) -> None:
        """Send one reading with the next number."""
        self.sent += 1
        self.transport.write(masked(READING.format(self.sent, time_ms).encode()))

    def _take(self, text: bytes) -> None:
        fleet = self._fleet
        if text.startswith(b'[6,"a'):
            ack = msgspec.json.decode(text)[3]
            if ack["from"] > self.acked + 1:
                fleet.counts["holes between acks"] += 1
            fleet.acked += max(0, ack["upto"] - self.acked)
            self.acked = max(self.acked, ack["upto"])
        elif text.startswith(b"[2,"):
            fleet.arrivals.append(time.monotonic())
            fleet.unanswered.append((self, text.split(b'"', 2)[1]))
        elif text.startswith(b'[3,"h"'):
            self.epoch = msgspec.json.decode(text)[2]["epoch"]
            fleet.live += 1
        else:
            fleet.counts[text.decode(errors="replace")[:60]] += 1


class LoadFleet:
    """Devices on one gateway, and the counts of their messages."""

    def __init__(self) -> None:
        self.devices: list[LoadDevice] = []
        self.live = 0
        self.acked = 0
        self.closing = False
        self.arrivals: list[float] = []
        """When each call (a command) was received, monotonic s."""
        self.unanswered: list[tuple[LoadDevice, bytes]] = []
        self.counts: Counter[str] = Counter()
        """Counts of unexpected messages."""

    @property
    def sent(self) -> int:
        """Number of sent readings."""
        return sum(device.sent for device in self.devices)

    async def connect(
        self,
        host: str,
        port: int,
        numbers: range,
        tls: Callable[[str], ssl.SSLContext] | None = None,
        source: str | None = None,
    ) -> None:
        """Connect these devices and wait until each is live."""
        loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            name = device_id(number)
            async with gate:
                _, device = await loop.create_connection(
                    lambda: LoadDevice(self, name),
                    host,
                    port,
                    ssl=tls(name) if tls else None,
                    local_addr=(source, 0) if source else None,
                )
            self.devices.append(device)

        await asyncio.gather(*map(one, numbers))
        await self.until(lambda: self.live == len(self.devices), "all devices to be live")

    async def rounds(self, count: int, every_s: float) -> None:
        """Let every device send one reading, ``count`` times, spread over each period."""
        begin = time.monotonic()
        for round_ in range(count):
            self.send_round()
            await asyncio.sleep(max(0.0, begin + (round_ + 1) * every_s - time.monotonic()))

    def send_round(self) -> None:
        """Let every device send one reading now."""
        time_ms = clock.now_ms()
        for device in self.devices:
            device.send_reading(time_ms)

    def answer(self) -> None:
        """Let every device accept the command that it received."""
        for device, id_ in self.unanswered:
            device.transport.write(masked(b'[3,"' + id_ + b'",{"status":"accepted"}]'))
        self.unanswered.clear()

    async def hold(self, seconds: float, tell: Callable[[str], None]) -> None:
        """Let every device send once a second, each at its own time within it."""
        slices = 50
        begin = time.monotonic()
        for step in range(int(seconds * slices)):
            time_ms = clock.now_ms()
            for device in self.devices[step % slices :: slices]:
                device.send_reading(time_ms)
            if step % (5 * slices) == 0:
                tell(f"{step // slices} s, {self.acked:,} acked")
            await asyncio.sleep(max(0.0, begin + (step + 1) / slices - time.monotonic()))

    async def until(self, condition: Callable[[], bool], what: str, patience_s: float = 60) -> None:
        """Wait until a count is reached."""
        give_up = time.monotonic() + patience_s
        while not condition():
            if self.counts or time.monotonic() > give_up:
                raise RuntimeError(f"waited {patience_s:.0f} s for {what}; {dict(self.counts)}")
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Close all connections."""
        self.closing = True
        for device in self.devices:
            device.transport.abort()


def allow_many_files() -> None:
    """Raise the limit of open sockets as far as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def main() -> None:
    """Hold devices on a gateway that runs elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="ws://host:port")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first device")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--source", help="local address to connect from, for example 127.0.0.2")
    options = parser.parse_args()
    allow_many_files()
    url, fleet = urlsplit(options.url), LoadFleet()
    numbers = range(options.first, options.first + options.devices)
    await fleet.connect(url.hostname or "", url.port or 8765, numbers, source=options.source)
    await fleet.hold(options.seconds, lambda text: print(text, flush=True))
    await fleet.until(lambda: fleet.acked == fleet.sent, "the last acks")
    print(f"{fleet.sent:,} sent, {fleet.acked:,} acked; {dict(fleet.counts) or 'nothing else'}")


if __name__ == "__main__":
    uvloop.run(main())
