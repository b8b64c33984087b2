"""What traces cost: CPU time of sending and of receiving one frame, without and with them.

    python -m benchmarks.tracing

The baseline sends by the producer and the codec alone, as the outlet did before it knew of traces.
The producer only keeps what it is given, so that nothing hides the difference; a frame through a
real Kafka costs some 20 to 60 us more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.report import Table, parser, publish
from vpp_streams.kafka import topics, tracing
from vpp_streams.kafka.outlet import Outlet, encode, existing_partition

LINES = b"\n".join(
    [b'{"device_id":"home-0001","received_at_ms":1,"boot":"b","seq":1,"body":{}}'] * 20
)
HEADERS = {"schema": b"telemetry.raw.v1", "ce_id": b"1"}


class Producer:
    """Takes everything at once."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done.set_result(None)
        self.headers: list[tuple[str, bytes]] = []

    async def send(self, _topic: str, _value: bytes, **options: Any) -> asyncio.Future[None]:
        """Keep the headers."""
        self.headers = options["headers"] or []
        return self.done


async def plainly(producer: Producer) -> None:
    """Send a frame without an outlet that knows of traces."""
    topic = topics.RAW_POWERWALL
    await producer.send(
        topic.full("demo"),
        encode(topic, LINES),
        key=None,
        partition=existing_partition(topic, LINES, 3),
        headers=list(HEADERS.items()),
    )
    _ = producer.headers  # what receives it looks at no header for traces


async def round_trip(producer: Producer, outlet: Outlet) -> None:
    """Send a frame, and handle it as ingest does."""
    await outlet.send(topics.RAW_POWERWALL, LINES, partition=3, headers=HEADERS)
    with tracing.handling("ingest", producer.headers):
        pass


async def cost_us(step: Callable[[], Awaitable[None]], times: int) -> float:
    """CPU time of a step, us."""
    began_s = time.process_time()
    for _ in range(times):
        await step()
    return (time.process_time() - began_s) / times * 1e6


async def measure(rounds: int, frames: int) -> dict[str, list[float]]:
    """Costs of every way, a round of each in turn."""
    producer, exporter = Producer(), InMemorySpanExporter()
    outlet = Outlet(producer, "demo")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    costs: dict[str, list[float]] = {}
    for _ in range(rounds):
        costs.setdefault("without", []).append(await cost_us(lambda: plainly(producer), frames))
        for name, share in (("off", None), ("1 in 1000", 0.001), ("1 in 100", 0.01), ("all", 1.0)):
            if share is not None:
                tracing.begin(provider.get_tracer("benchmark"), share)
            costs.setdefault(name, []).append(
                await cost_us(lambda: round_trip(producer, outlet), frames)
            )
            tracing.end()
            exporter.clear()
    return costs


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    options = parser(__doc__, repeat=7)
    options.add_argument("--frames", type=int, default=20_000, help="frames of a round (20000)")
    args = options.parse_args(argv)
    measured = asyncio.run(measure(args.repeat, args.frames))
    costs = {name: median(found) for name, found in measured.items()}
    plain_us = costs["without"]
    table = Table("a frame sent and received", ["traces", "x without", "us", "us more"])
    for name, us in costs.items():
        table.add(name, us / plain_us, us, us - plain_us)
    table.notes.append("`off` is what every process pays; the median of rounds in turn.")
    publish(args, [table])


if __name__ == "__main__":
    main()
