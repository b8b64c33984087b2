"""What the role does with records that it cannot apply, on a real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition

from schemas.bounds import PARTITIONS
from schemas.entry_frames import encode_entries
from schemas.ledger import PayoutApproved, PeriodClosed
from tests.support.kafka_world import read_all, write, write_raw
from tests.support.ledger_world import OCTOBER_MS, batch, home_of, row
from tests.support.waiting import until
from vpp_streams.domain.moments import DAY_MS
from vpp_streams.errors import LedgerError
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients, administering
from vpp_streams.kafka.decode import decode
from vpp_streams.process.connection import connected
from vpp_streams.process.health import HealthReporter
from vpp_streams.settings import Settings
from vpp_streams.settlement.database import open_ledger
from vpp_streams.settlement.process import log_ends, rebuild
from vpp_streams.settlement.queries import closed_periods
from vpp_streams.settlement.role import LedgerRole

pytestmark = pytest.mark.kafka
CLOSED_MS = OCTOBER_MS + 60 * DAY_MS


def closing(period: str, *, through: int = 0) -> PeriodClosed:
    offsets = (0, 0, 0, through) + (0,) * (PARTITIONS - 4)
    return PeriodClosed(period=period, by="ada", at_ms=CLOSED_MS, through=offsets)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[LedgerRole, HealthReporter]]:
    engine = open_ledger(settings, create=True)
    health = HealthReporter("settlement")
    async with connected(KafkaClients(settings), health) as kafka:
        role = LedgerRole(engine, kafka, health)
        work = asyncio.create_task(role.run())
        try:
            yield role, health
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            engine.dispose()


async def details(settings: Settings) -> list[str]:
    records = await read_all(settings, topics.RECORDS_REJECTED.full(settings.namespace))
    return [decode(topics.RECORDS_REJECTED, record.value).detail for record in records]


def periods(settings: Settings) -> list[str]:
    engine = open_ledger(settings)
    with engine.connect() as ledger:
        found = [row.period for row in closed_periods(ledger)]
    engine.dispose()
    return found


async def test_a_closing_waits_for_the_entries_that_it_includes(topics_ready: Settings) -> None:
    await write(topics_ready, topics.LEDGER_DECISIONS, closing("2024-10", through=1))
    async with running(topics_ready) as (_role, health):
        await until(lambda: health.gauges["decisions_waiting"]() == 1)
        assert periods(topics_ready) == []
        entry = encode_entries(batch([row(site_id=home_of(3))]))
        await write_raw(topics_ready, (topics.SETTLEMENT_ENTRIES, "north", entry, 3))
        await until(lambda: health.gauges["decisions_waiting"]() == 0)
        assert periods(topics_ready) == ["2024-10"]
        await until(lambda: health.gauges["lag"]() == 0)


async def test_a_closing_of_entries_that_do_not_exist_does_not_wait_for_ever(
    topics_ready: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vpp_streams.settlement.role.WAITING_S", 0.5)
    await write(topics_ready, topics.LEDGER_DECISIONS, closing("2024-09", through=5))
    await write(topics_ready, topics.LEDGER_DECISIONS, closing("2024-10"))
    async with running(topics_ready) as (_role, health):
        await until(lambda: health.counters["decisions"] == 1)
        await until(lambda: health.counters["dead_letters"] == 1)
    assert periods(topics_ready) == ["2024-10"]
    assert await details(topics_ready) == ["it includes entries that the log does not have"]


async def test_a_decision_that_cannot_be_is_a_dead_letter_and_the_next_is_applied(
    topics_ready: Settings,
) -> None:
    unknown = PayoutApproved(payout_id="nobodys", by="eve", at_ms=CLOSED_MS)
    for decision in (unknown, closing("2024-10"), closing("2024-10")):
        await write(topics_ready, topics.LEDGER_DECISIONS, decision)
    async with running(topics_ready) as (_role, health):
        await until(lambda: health.counters["dead_letters"] == 2)
    assert periods(topics_ready) == ["2024-10"]
    found = await details(topics_ready)
    assert found[0] == "there is no payout nobodys"
    assert "closed already" in found[1]


async def test_a_log_without_its_beginning_is_no_base_for_a_ledger(
    topics_ready: Settings, tmp_path: Path
) -> None:
    entry = encode_entries(batch([row(site_id=home_of(3))]))
    record = (topics.SETTLEMENT_ENTRIES, "north", entry, 3)
    await write_raw(topics_ready, record, record)
    clients = KafkaClients(topics_ready)
    tp = TopicPartition(clients.full(topics.SETTLEMENT_ENTRIES), 3)
    async with administering(clients) as admin:
        await admin.delete_records({tp: RecordsToDelete(before_offset=1)})
    with pytest.raises(LedgerError, match=r"begins at offset 1.*backup"):
        await log_ends(clients, {})
    ledger = open_ledger(topics_ready, create=True)
    with pytest.raises(LedgerError, match="begins at offset 1"):
        await rebuild(topics_ready, lambda _left: None)
    with ledger.connect():  # it was not removed
        open_ledger(topics_ready).dispose()
    ledger.dispose()
