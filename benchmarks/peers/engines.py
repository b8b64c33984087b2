"""The engines that are compared, each started on a recorded topic and measured until it is done."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.homes import Homes
from benchmarks.peers import java_app
from benchmarks.peers.measured import Cost, Meter, measure
from benchmarks.peers.recording import Recording, Reference, Windows
from benchmarks.peers.results import differences_of
from benchmarks.watch import watching
from benchmarks.workers import end, workers
from benchmarks.world import make_topics
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings

OURS = "ours"
FLOW = "flow"
ENGINES = {
    OURS: "ours, ingest + fleet",
    FLOW: "ours, one worker for both",
    "heap": "Kafka Streams, objects on the heap",
    "rocks": "Kafka Streams, RocksDB",
    "dsl": "Kafka Streams, DSL, a reading a record",
}


@dataclass(frozen=True, slots=True)
class Job:
    """A recorded topic, and what has to come of it."""

    settings: Settings
    homes: Homes
    topic: str
    lines: int
    """Readings in it, with repeats and lines that are cut off."""
    cut: int
    expected: Windows

    @classmethod
    def of(
        cls, settings: Settings, recording: Recording, reference: Reference, topic: str
    ) -> "Job":
        """What is in a topic after all frames of a recording."""
        expected = reference.closed(recording.closed_ms)
        return cls(settings, recording.homes, topic, recording.readings, recording.cut, expected)


@dataclass(frozen=True, slots=True)
class Result:
    """An engine's cost, and what is wrong with its windows."""

    cost: Cost
    wrong: list[str]


async def run(engine: str, job: Job) -> Result:
    """Start an engine of `ENGINES` on a job; ends its processes."""
    match engine:
        case "ours":
            return await _ours(job, {"ingest": "canonical", "fleet": "readings"}, engine)
        case "flow":
            return await _ours(job, {"flow": "readings"}, engine)
        case _:
            return await _streams(engine, job)


async def _ours(job: Job, counters: Mapping[str, str], engine: str) -> Result:
    """A worker of each role, which is done once its counter has every sound reading."""
    good = job.lines - job.cut
    async with AsyncExitStack() as stack:
        watch = await stack.enter_async_context(watching(job.settings))
        children = stack.enter_context(workers(job.settings, dict.fromkeys(counters, 1)))
        meters = [
            Meter(child, partial(watch.counter, role, counter))
            for child, (role, counter) in zip(children, counters.items(), strict=True)
        ]
        cost = await measure(meters, good, ENGINES[engine])
        windows = topics.SITE_WINDOWS.full(job.settings.namespace)
        return Result(cost, await differences_of(job.settings, windows, job.expected))


async def _streams(style: str, job: Job) -> Result:
    """The Java application in one of its styles."""
    app = f"{job.settings.namespace}.{style}"
    windows, rejected = f"{app}.windows", f"{app}.rejected"
    # The broker undoes the application's lz4, which our reader of its windows has no library for.
    await make_topics(job.settings, windows, rejected, config={"compression.type": "uncompressed"})
    with TemporaryDirectory() as directory:
        registry = Path(directory) / "registry"
        registry.write_text(_registry(job.homes))
        options = {
            "kafka": job.settings.kafka,
            "input": job.topic,
            "output": windows,
            "rejected": rejected,
            "app": app,
            "registry": str(registry),
            "state": str(Path(directory) / "state"),
            "style": style,
        }
        child = java_app.start(style, options, Path(directory))
        try:
            meter = Meter(child, lambda: java_app.counter(child, "readings"))
            cost = await measure([meter], job.lines, ENGINES[style])
            return Result(cost, await differences_of(job.settings, windows, job.expected))
        finally:
            end([child])


def _registry(homes: Homes) -> str:
    return "".join(
        f"{device.device_id} {site.site_id} {site.region}\n"
        for site in homes.sites()
        for device in site.devices
    )
