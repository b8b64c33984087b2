"""Records topic ``telemetry`` into a `Recording` (``vpp record``)."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.assets import Site
from schemas.bounds import PARTITIONS
from schemas.encoding import BACKFILL, HEADER_LANE, encode_json
from vpp_streams.domain.files.recording_layout import ASSETS_FILE
from vpp_streams.errors import InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, consuming
from vpp_streams.kafka.decode import Read
from vpp_streams.kafka.follower import Feed
from vpp_streams.process.connection import onlooker
from vpp_streams.process.durable_files import write_durably
from vpp_streams.replay.recording import Recording, recording_in
from vpp_streams.settings import Settings

log = structlog.get_logger()

CHECKPOINT_S = 300.0
"""Interval of checkpoints: from one on, its readings are on disk and survive a kill."""


class SiteFile:
    """The sites next to the readings, so that a replay needs nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sites: dict[str, Site] = {}
        self._changed = False

    def note(self, read: Read[Site]) -> None:
        """Apply a record of topic ``assets``: a retired site keeps the record it had before."""
        site = read.record
        if site.state != "retired":
            self._sites[site.site_id] = _without_tokens(site)
            self._changed = True

    def write(self) -> None:
        """Write the file if there is something new."""
        if self._changed:
            lines = [encode_json(self._sites[site_id]) + b"\n" for site_id in sorted(self._sites)]
            write_durably(self._path, b"".join(lines))
            self._changed = False


def _without_tokens(site: Site) -> Site:
    """The site without its devices' credentials: recordings are passed on to others."""
    devices = tuple(msgspec.structs.replace(d, token_sha256="") for d in site.devices)
    return msgspec.structs.replace(site, devices=devices)


async def record_until_signal(
    settings: Settings,
    directory: Path,
    *,
    from_beginning: bool,
    until_end: bool,
    on_progress: Callable[[Recording, int], None],
) -> Counter[str]:
    """Record into a directory until SIGINT or SIGTERM; returns the recording's counters.

    See `record`; ``on_progress`` also receives the recording. Raises `VppError`.
    """
    await ensure_topics(KafkaClients(settings))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with recording_in(directory, topics.TELEMETRY.full(settings.namespace)) as recording:
        await record(
            settings,
            recording,
            stop,
            from_beginning=from_beginning,
            until_end=until_end,
            on_progress=partial(on_progress, recording),
        )
    return recording.counters


async def record(
    settings: Settings,
    recording: Recording,
    stop: asyncio.Event,
    *,
    from_beginning: bool,
    until_end: bool,
    on_progress: Callable[[int], None] = lambda _behind: None,
) -> None:
    """Record topic ``telemetry`` until ``stop`` is set (with ``until_end``, to its current end).

    A new recording begins at the log's end, or ``from_beginning``; an existing one continues where
    it stopped. ``on_progress`` receives the number of Kafka records still to be read.
    """
    sites = SiteFile(recording.directory / ASSETS_FILE)
    clients = KafkaClients(settings)
    async with (
        consuming(clients) as consumer,
        onlooker(clients).following(Feed(topics.ASSETS, sites.note)),
    ):
        ends = await _seek(consumer, recording, from_beginning)
        await _consume(
            consumer,
            recording,
            stop,
            ends=ends if until_end else None,
            sites=sites,
            on_progress=on_progress,
        )


async def _seek(
    consumer: AIOKafkaConsumer, recording: Recording, from_beginning: bool
) -> dict[TopicPartition, int]:
    """Seek to where the recording continues; returns the log's end offsets."""
    partitions = [TopicPartition(recording.topic, p) for p in range(PARTITIONS)]
    consumer.assign(partitions)
    first = await consumer.beginning_offsets(partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    for tp in partitions:
        start = first[tp] if from_beginning else ends[tp]
        at = recording.next_offsets.setdefault(tp.partition, start)
        if at > ends[tp]:
            raise InputError(
                f"{recording.directory} was recorded up to offset {at} of {tp.topic}"
                f" [{tp.partition}], which now ends at {ends[tp]}: the topic was created again;"
                " record into another directory"
            )
        if at < first[tp]:
            log.warning("the log no longer has these", partition=tp.partition, of=at, to=first[tp])
            recording.counters["lost_frames"] += first[tp] - at
        consumer.seek(tp, max(at, first[tp]))
    return ends


async def _consume(
    consumer: AIOKafkaConsumer,
    recording: Recording,
    stop: asyncio.Event,
    *,
    ends: dict[TopicPartition, int] | None,
    sites: SiteFile,
    on_progress: Callable[[int], None],
) -> None:
    sites.write()
    recording.checkpoint()  # from now on, a killed recording continues from here
    checkpoint_at = time.monotonic() + CHECKPOINT_S
    while not stop.is_set():
        targets = ends or {tp: consumer.highwater(tp) or 0 for tp in consumer.assignment()}
        behind = sum(
            max(end - recording.next_offsets[tp.partition], 0) for tp, end in targets.items()
        )
        on_progress(behind)
        if ends and not behind:
            break
        for tp, records in (await consumer.getmany(timeout_ms=200, max_records=500)).items():
            for record_ in records:
                recording.add(tp.partition, record_.offset, record_.value, _is_backfill(record_))
        if recording.full or time.monotonic() >= checkpoint_at:
            sites.write()
            recording.checkpoint()
            checkpoint_at = time.monotonic() + CHECKPOINT_S
    sites.write()
    recording.checkpoint()


def _is_backfill(record: ConsumerRecord) -> bool:
    return (HEADER_LANE, BACKFILL) in tuple(record.headers or ())
