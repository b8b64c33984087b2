"""Settlement that freezes between Kafka's confirmation and its entries: the gap of ADR 33."""

import signal
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.entry_frames import decode_entries
from tests.support.kafka_world import read_all, until
from tests.support.settle_kafka import sold_and_delivered
from tests.support.settle_world import award
from tests.support.standbys import LOST_DUTY, standbys, until_ended
from vpp_streams import clock
from vpp_streams.kafka import topics
from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import faults
from vpp_streams.settlement.database import open_ledger

pytestmark = [pytest.mark.kafka, pytest.mark.nightly]


async def frames(settings: Settings) -> list[bytes]:
    """The records of entries in the topic, in order."""
    found = await read_all(settings, topics.SETTLEMENT_ENTRIES.full(settings.namespace))
    return [record.value for record in found]


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def blocks(settings: Settings) -> int:
    """Number of records that the ledger has booked."""
    engine = open_ledger(settings, create=True)
    with engine.connect() as ledger:
        found = ledger.scalar(sa.text("SELECT count(*) FROM blocks"))
    engine.dispose()
    return int(found or 0)


async def test_what_a_frozen_instance_still_sends_is_not_booked_again(
    topics_ready: Settings, tmp_path: Path
) -> None:
    start_ms = clock.now_ms() // 60_000 * 60_000 - 3_600_000
    await sold_and_delivered(topics_ready, award(start_ms))
    async with standbys("settlement", topics_ready, tmp_path) as world:
        first = world.start("tests.support.frozen_settlement")

        async def frozen() -> bool:
            assert first.poll() is None, f"it ended with {first.returncode}"
            return is_stopped(first.pid)

        await until(frozen, "settlement to freeze before its first entries")
        assert await frames(topics_ready) == []

        second = world.start()
        await world.until_on_duty(second)

        async def settled() -> bool:
            return bool(await frames(topics_ready))

        await until(settled, "the entries of the successor")
        once = await frames(topics_ready)
        first.send_signal(signal.SIGCONT)
        assert await until_ended(first) == LOST_DUTY
        sent = await frames(topics_ready)

        async def booked() -> bool:
            return blocks(topics_ready) >= len(once)

        await until(booked, "the ledger to have them")
    assert set(sent) == set(once), "it settles the same, to the byte"
    engine = open_ledger(topics_ready)
    with engine.connect() as ledger:
        assert list(faults(ledger)) == []
        entries = ledger.scalar(sa.text("SELECT count(*) FROM entries"))
    engine.dispose()
    assert entries == sum(decode_entries(frame).num_rows for frame in once)
