"""Programs, tariffs and enrolments: what is known, and what a file adds."""

from pathlib import Path
from typing import Any

from schemas.programs import Enrolment, Program, Tariff
from vpp_streams.domain.files.program_files import Record, records_in
from vpp_streams.domain.settle.agreements import Agreements
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.follower import Feed
from vpp_streams.kafka.outlet import write_many
from vpp_streams.local.site_import import read_registry
from vpp_streams.process.connection import onlooker
from vpp_streams.process.user_files import text_of
from vpp_streams.settings import Settings


async def read_records(settings: Settings) -> list[Record]:
    """Every program, tariff and enrolment that is in Kafka. Raises `BrokerError`."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    found: list[Record] = []
    of_topics = (topics.PROGRAMS, topics.TARIFFS, topics.ENROLMENTS)
    feeds: list[Feed[Any]] = [
        Feed(topic, lambda read: found.append(read.record)) for topic in of_topics
    ]
    async with onlooker(clients).following(*feeds):
        return list(found)


async def records_of_file(settings: Settings, file: Path) -> list[Record]:
    """The records of a file, checked against the registry and what is known.

    Raises `InputError` with every problem, and `BrokerError`.
    """
    text = text_of(file)
    known = Agreements()
    for record in await read_records(settings):
        known.apply(record)
    registry = await read_registry(settings)
    return records_in(text, str(file), registry.sites(), known)


async def write_records(settings: Settings, records: list[Record]) -> None:
    """Write records; programs and tariffs come before who takes part in them."""
    clients = KafkaClients(settings)
    programs = [one for one in records if isinstance(one, Program)]
    tariffs = [one for one in records if isinstance(one, Tariff)]
    enrolments = [one for one in records if isinstance(one, Enrolment)]
    await write_many(clients, topics.PROGRAMS, programs)
    await write_many(clients, topics.TARIFFS, tariffs)
    await write_many(clients, topics.ENROLMENTS, enrolments)
