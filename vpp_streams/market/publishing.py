"""A file with a forecast that others publish, as records of topic ``market.published``."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from aiokafka.errors import KafkaError

from schemas.published import PublishedSeries, SeriesKind
from vpp_streams.domain.files.price_files.read import read_power_file, read_price_file
from vpp_streams.domain.files.price_files.report import PriceReading
from vpp_streams.domain.files.price_files.table_units import NO_CURRENCY
from vpp_streams.domain.files.series_records import Published, at_once, day_by_day
from vpp_streams.domain.files.spoken_time import duration_s, moment_ms
from vpp_streams.domain.market.forecast.publications import flaw
from vpp_streams.domain.market.rules import Prices
from vpp_streams.errors import BrokerError, InputError
from vpp_streams.kafka import topics
from vpp_streams.kafka.admin import ensure_topics
from vpp_streams.kafka.clients import KafkaClients, producing
from vpp_streams.kafka.outlet import Outlet
from vpp_streams.process.user_files import price_bytes
from vpp_streams.settings import Settings

Progress = Callable[[Sequence[PublishedSeries]], Iterable[PublishedSeries]]
"""Returns the records as they are, and shows how far they have been taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A file and what its user says about it; the same words as the options of `vpp publish`."""

    file: Path
    market: str
    kind: SeriesKind
    column: str | None
    zone: str | None
    time_zone: str | None
    currency: str | None
    unit: str | None
    decimal: Literal[".", ","] | None
    at: str | None
    """When it was published; None = now."""
    ahead: str | None
    """How long before it began each day was published; None = all at one time."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The values of a file, and the records that publish them."""

    intervals: int
    records: list[PublishedSeries]


def forecast_of(publication: Publication, now_ms: int, say: Callable[[str], None]) -> Forecast:
    """Read and check a file. Raises `InputError` where the optimizer would refuse a record.

    ``say`` is called with each finding about the file.
    """
    if publication.at is not None and publication.ahead is not None:
        raise InputError("--at and --ahead both say when it was published; give one of them")
    values = _values(publication, say)
    what = Published(publication.market, publication.kind, publication.file.name[:200])
    if publication.ahead is None:
        records = at_once(values, what, _at_ms(publication.at, now_ms))
    else:
        zone = ZoneInfo(publication.time_zone or "UTC")
        records = day_by_day(values, what, _ahead_ms(publication.ahead), zone)
    for record in records:
        if (reason := _refusal(record, now_ms)) is not None:
            raise InputError(
                f"{publication.file} cannot be published: {reason}; nothing was written"
            )
    return Forecast(len(values.start_ms), records)


def _values(publication: Publication, say: Callable[[str], None]) -> Prices:
    """The values of the file's one zone."""
    file, reading = publication.file, _read(publication)
    if reading.report.failure:
        raise InputError(f"{file}: {reading.report.failure}")
    if len(reading.prices) > 1:
        zones = ", ".join(sorted(reading.prices))
        raise InputError(f"{file} has several zones; choose one with --zone: {zones}")
    for finding in reading.report.findings:
        say(f"{file.name}: {finding.what} ({finding.count}): {finding.done}")
    (values,) = reading.prices.values()
    if publication.kind == "price" and values.currency == NO_CURRENCY:
        raise InputError(f"{file} names no currency; give it with --currency, such as EUR")
    return values


def _read(publication: Publication) -> PriceReading:
    if publication.kind == "price":
        return read_price_file(
            price_bytes(publication.file),
            name=publication.file.name,
            zone=publication.zone,
            time_zone=publication.time_zone,
            currency=publication.currency,
            unit=publication.unit,
            decimal=publication.decimal,
            columns={"energy": publication.column} if publication.column else None,
        )
    if publication.column is None:
        raise InputError(
            f"give the column of {publication.file} with the {publication.kind}: --column NAME"
        )
    return read_power_file(
        price_bytes(publication.file),
        name=publication.file.name,
        column=publication.column,
        zone=publication.zone,
        time_zone=publication.time_zone,
        unit=publication.unit,
        decimal=publication.decimal,
    )


def _at_ms(at: str | None, now_ms: int) -> int:
    if at is None:
        return now_ms
    try:
        return moment_ms(at, datetime.fromtimestamp(now_ms / 1000, UTC))
    except ValueError as error:
        raise InputError(f"--at: {error}") from None


def _ahead_ms(ahead: str) -> int:
    try:
        return round(duration_s(ahead) * 1000)
    except ValueError as error:
        raise InputError(f"--ahead: {error}") from None


def _refusal(record: PublishedSeries, now_ms: int) -> str | None:
    """Why the optimizer would refuse a record; None = it would not."""
    if (reason := flaw(record, now_ms)) is not None:
        return reason
    try:
        msgspec.json.decode(msgspec.json.encode(record), type=PublishedSeries)
    except msgspec.ValidationError as error:
        return str(error)
    return None


async def write(settings: Settings, records: Sequence[PublishedSeries], shown: Progress) -> None:
    """Write the records. Raises `BrokerError` where Kafka does not take all of them."""
    clients = KafkaClients(settings)
    await ensure_topics(clients)
    try:
        async with producing(clients) as producer:
            outlet = Outlet(producer, settings.namespace)
            sent = [await outlet.send(topics.MARKET_PUBLISHED, one) for one in shown(records)]
            await asyncio.gather(*sent)
    except KafkaError as error:
        raise BrokerError(
            f"Kafka did not take all of it ({error!r}); publish the same file again"
        ) from None
