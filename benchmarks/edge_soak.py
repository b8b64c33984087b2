"""The agent of a home for a long time: its CPU and its memory, at the begin and at the end.

    python -m benchmarks.edge_soak --minutes 60

An agent with the simulated inverter runs as a process of its own, as in a home: a reading a second
to the file and to a gateway in this process, which acks each one and commands the battery every
15 s. A row is a tenth of the run, or a minute.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from benchmarks.processes import Usage, usage
from benchmarks.report import Table, parser, progress, publish
from edge.clock import utc_ms
from schemas.protocol import (
    SUBPROTOCOL,
    Ack,
    Backfill,
    BackfillPace,
    Call,
    Hello,
    HelloResult,
    Setpoint,
    Telemetry,
)
from schemas.wire import decode, encode_call, encode_result, encode_send

ROOT = Path(__file__).parents[1]
COMMAND_S, LEASE_MS = 15.0, 30_000
CONFIG = """
[gateway]
url = "{url}"
device_id = "home-1"
token_file = "token"
[home]
backup_reserve = 0.2
[driver]
name = "simulated"
[storage]
path = "readings.db"
[health]
port = 0
"""


@dataclass
class Counts:
    """What the gateway has received."""

    readings: int = 0
    answers: int = 0


def replies(counts: Counts, message: object) -> list[bytes]:
    """The gateway's replies to a message of the agent."""
    match message:
        case Call(id_, Hello()):
            result = HelloResult(1, utc_ms(), 1000, 1000, 30, BackfillPace((0, 0), 1000))
            return [encode_result(id_, result)]
        case Call(_, Telemetry() as reading):
            counts.readings += 1
            first = last = reading.s
        case Call(_, Backfill() as reading):
            counts.readings += len(reading.rows)
            first, last = reading.from_, reading.from_ + len(reading.rows) - 1
        case Call(id_, _):
            return [encode_result(id_, {})]
        case _:
            counts.answers += 1
            return []
    return [encode_send("a", Ack(b=reading.b, from_=first, upto=last, t=utc_ms()))]


async def command(socket: ServerConnection) -> None:
    """Command the battery again and again, with a power that changes."""
    for rank in itertools.count(1):
        now_ms = utc_ms()
        lease = Setpoint(
            epoch=1,
            rank=rank,
            p=500.0 if rank % 2 else -500.0,
            not_before=now_ms,
            valid_until=now_ms + LEASE_MS,
            ramp_w_s=1000.0,
        )
        await socket.send(encode_call(f"c{rank}", lease), text=True)
        await asyncio.sleep(COMMAND_S)


async def samples(pid: int, every_s: float, count: int) -> list[Usage]:
    """The usage of a process at the begin, and ``count`` times every ``every_s``."""
    found = []
    for number in range(count + 1):
        now = usage(pid)
        if now is None:
            raise RuntimeError("the agent has ended")
        found.append(now)
        progress(f"{number * every_s / 60:.1f} min: {now.cpu_s:.1f} s CPU, {now.rss_mb:.1f} MB")
        if number < count:
            await asyncio.sleep(every_s)
    return found


async def soak(seconds: float, every_s: float, begin_s: float) -> tuple[list[Usage], Counts]:
    """Run the agent this long after its first ``begin_s``; its usage, and what was received."""
    counts = Counts()

    async def converse(socket: ServerConnection) -> None:
        commands = asyncio.create_task(command(socket))
        with suppress(ConnectionClosed):
            async for data in socket:
                for reply in replies(counts, decode(data)):
                    await socket.send(reply, text=True)
        commands.cancel()

    with TemporaryDirectory() as name:
        protocols = [Subprotocol(SUBPROTOCOL)]
        async with serve(converse, "127.0.0.1", 0, subprotocols=protocols) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            folder = Path(name)
            (folder / "token").write_text("secret\n")
            (folder / "edge.toml").write_text(CONFIG.format(url=f"ws://127.0.0.1:{port}"))
            start = [sys.executable, "-m", "edge", "run", str(folder / "edge.toml")]
            agent = await asyncio.create_subprocess_exec(*start, cwd=ROOT)
            try:
                await asyncio.sleep(begin_s)
                found = await samples(agent.pid, every_s, max(round(seconds / every_s), 1))
            finally:
                agent.terminate()
                await agent.wait()
    return found, counts


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--begin", type=float, default=30.0, help="seconds that do not count (30)")
    args = options.parse_args(argv)
    seconds = args.minutes * 60
    every_s = min(max(seconds / 10, 60.0), seconds)
    began = time.monotonic()
    found, counts = asyncio.run(soak(seconds, every_s, args.begin))
    elapsed_s = time.monotonic() - began
    table = Table("An agent at 1 Hz", ("until", "memory x", "CPU %", "memory MB", "peak MB"))
    for number, (before, now) in enumerate(itertools.pairwise(found), 1):
        share = 100 * (now.cpu_s - before.cpu_s) / every_s
        ratio = now.rss_mb / found[0].rss_mb
        table.add(f"{number * every_s:.0f} s", ratio, share, now.rss_mb, now.peak_rss_mb)
    table.notes.append(
        f"Memory x: against {found[0].rss_mb:.1f} MB after the first {args.begin:g} s. "
        f"{counts.readings:,} readings arrived in {elapsed_s:.0f} s, and {counts.answers} answers."
    )
    publish(args, [table])


if __name__ == "__main__":
    main()
