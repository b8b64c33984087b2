"""Topics to a file, and back into a Kafka that has lost them.

A file is Parquet with a row for each record: topic, partition, offset, key, value, headers and
time. A topic is restored only where it is empty, so that nothing is doubled; records keep their
partitions, order and content, and get new offsets.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError

from vpp_streams.errors import BrokerError, InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.ranges import RangeReader, reading
from vpp_streams.kafka.topic import Topic

SOURCES: tuple[Topic[Any], ...] = (
    topics.ASSETS,
    topics.PROGRAMS,
    topics.TARIFFS,
    topics.ENROLMENTS,
    topics.PREFERENCES,
    topics.OPT_OUTS,
    topics.IDENTITY_CODES,
    topics.IDENTITY_CERTIFICATES,
    topics.IDENTITY_REVOCATIONS,
    topics.DISPATCH_TARGETS,
    topics.GRID_ALERTS,
    topics.INCIDENTS,
    topics.AUDIT,
    topics.SETTLEMENT_ENTRIES,
    topics.LEDGER_DECISIONS,
)
"""What cannot be computed again: registry, terms, decisions, identities, the ledger's entries."""
_ROWS = 2_000
"""Records that are written, or awaited, together."""
_SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
    ]
)


async def back_up(clients: KafkaClients, path: Path) -> Counter[str]:
    """Write every record of `SOURCES` to a file; returns their number by topic.

    The file appears once it is complete. Raises `BrokerError`, and `InputError` for a file that
    cannot be written.
    """
    count: Counter[str] = Counter()
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with pq.ParquetWriter(unfinished, _SCHEMA, compression="zstd") as file:
            async with reading(clients, *SOURCES) as reader:
                for topic in SOURCES:
                    async for rows in _rows_of(reader, topic):
                        count[topic.name] += len(rows)
                        table = pa.Table.from_pylist(rows, _SCHEMA)
                        await asyncio.to_thread(file.write_table, table)
        unfinished.replace(path)
    except OSError as error:
        raise InputError(f"{path}: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return count


async def _rows_of(reader: RangeReader, topic: Topic[Any]) -> AsyncIterator[list[dict[str, Any]]]:
    for partition in range(topic.partitions):
        kept, _, end = await reader.bounds(topic, 0, partition)
        rows = []
        async for record in reader.raw(topic, kept, end, partition):
            rows.append(_row(topic, record))
            if len(rows) == _ROWS:
                yield rows
                rows = []
        if rows:
            yield rows


def _row(topic: Topic[Any], record: ConsumerRecord) -> dict[str, Any]:
    return {
        "topic": topic.name,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "key": record.key,
        "value": record.value,
        "headers": [{"name": name, "value": value} for name, value in record.headers],
    }


async def restore(clients: KafkaClients, path: Path) -> Counter[str]:
    """Write the records of a file into its topics; returns their number by topic.

    Topics that are missing are created. Raises `InputError` for another file, or where a topic has
    records already, before anything is written; `BrokerError` where Kafka does not take them.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: {error}") from None
    with file:
        if not file.schema_arrow.equals(_SCHEMA):
            raise InputError(f"{path} is not a file of `vpp kafka backup`")
        await ensure_topics(clients)
        await _check_empty(clients)
        count: Counter[str] = Counter()
        async with producing(clients) as producer:
            for batch in file.iter_batches(_ROWS):
                rows = batch.to_pylist()
                await _write(clients, producer, rows)
                count.update(row["topic"] for row in rows)
    return count


async def _check_empty(clients: KafkaClients) -> None:
    async with reading(clients, *SOURCES) as reader:
        for topic in SOURCES:
            for partition in range(topic.partitions):
                _, _, end = await reader.bounds(topic, 0, partition)
                if end:
                    raise InputError(
                        f"{clients.full(topic)} has records already: restore into another"
                        " namespace, or delete the topics and stop the roles first"
                    )


async def _write(
    clients: KafkaClients, producer: AIOKafkaProducer, rows: Sequence[dict[str, Any]]
) -> None:
    known = {topic.name: topic for topic in SOURCES}
    try:
        sent = []
        for row in rows:
            if row["topic"] not in known:
                raise InputError(f"topic {row['topic']} of the file is not one that is backed up")
            future = await producer.send(
                clients.full(known[row["topic"]]),
                row["value"],
                key=row["key"],
                partition=row["partition"],
                timestamp_ms=row["timestamp_ms"],
                headers=[(header["name"], header["value"]) for header in row["headers"]],
            )
            sent.append(future)
        await asyncio.gather(*sent)
    except KafkaError as error:
        raise BrokerError(f"Kafka did not take all records ({error!r})") from None
