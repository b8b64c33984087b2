"""What `benchmarks.gateway` measures, in a process of its own.

``own`` and ``stock`` are a whole gateway on Kafka with that engine, ``lines`` is ``own`` without
compiled loops, so that it writes lines; ``bare`` is a server that only counts bytes and frames: the
most that sockets alone allow. Says its port on stdout, then a line of
figures for every line on stdin.
"""

import argparse
import asyncio
import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import uvloop

from benchmarks.gateway_load import allow_many_files
from vpp_streams.domain import kernels
from vpp_streams.gateway.actions import Limits
from vpp_streams.gateway.server import running_gateway
from vpp_streams.gateway.tls import tls_context
from vpp_streams.settings import load_settings

PROBE_S = 0.001


class Bare(asyncio.Protocol):
    """Accepts the upgrade and Hello, then counts."""

    frames = 0
    size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start without any state."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.chunks = 0

    def data_received(self, data: bytes) -> None:
        """Process a request, a Hello, then readings."""
        self.chunks += 1
        if self.chunks == 1:
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        elif self.chunks == 2:
            answer = b'[3,"h",{"epoch":1}]'
            self.transport.write(bytes((0x81, len(answer))) + answer)
        else:
            Bare.size += len(data)
            at = 0
            while at < len(data):
                length = data[at + 1] & 0x7F
                at += 8 + int.from_bytes(data[at + 2 : at + 4], "big") if length == 126 else 6
                Bare.frames += 1


class Probe:
    """The longest time that the loop was blocked, s."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            begin = time.monotonic()
            await asyncio.sleep(PROBE_S)
            self.longest_s = max(self.longest_s, time.monotonic() - begin - PROBE_S)


def rss_bytes() -> int:
    """Memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def answer_for_ever(port: int, stalls: bool) -> None:
    """Print the port, then figures on each request, until stdin ends."""
    probe = Probe()
    # A thousand timers a second cost 3 % of a core: a fifth of what the bare server needs.
    probing = asyncio.create_task(probe.run() if stalls else asyncio.Event().wait())
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(port, flush=True)
    while await lines.readline():
        figures = {"cpu_s": time.process_time(), "rss": rss_bytes(), "frames": Bare.frames}
        figures["stall_s"], probe.longest_s = probe.longest_s, 0.0
        print(json.dumps(figures), flush=True)
    probing.cancel()
    with suppress(asyncio.CancelledError):
        await probing


async def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("own", "stock", "lines", "bare"))
    parser.add_argument("--ack-ms", type=int, default=5000)
    parser.add_argument("--stalls", action="store_true", help="look for stalls of the loop")
    options = parser.parse_args()
    allow_many_files()
    settings = load_settings(gateway_port=0)
    if options.what == "bare":
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Bare, settings.host, 0, ssl=tls_context(settings))
        await answer_for_ever(server.sockets[0].getsockname()[1], options.stalls)
        return
    limits = Limits(ack_ms=options.ack_ms, live_per_s=1e6, live_burst=1e6, idle_s=600)
    if options.what == "lines":
        kernels.COMPILED = None
    engine = "stock" if options.what == "stock" else "own"
    settings = settings.model_copy(update={"gateway_engine": engine})
    async with running_gateway(settings, 0, limits) as gateway:
        await answer_for_ever(gateway.port, options.stalls)


if __name__ == "__main__":
    uvloop.run(main())
