"""Books a log in a process that is killed at random moments."""

import multiprocessing
import random
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from schemas.entry_frames import encode_entries
from tests.support.ledger_world import (
    INTERVAL_MS,
    OCTOBER_MS,
    batch,
    block_record,
    home_of,
    interval,
)
from vpp_streams.errors import LedgerError
from vpp_streams.settings import Settings
from vpp_streams.settlement.booking import Books
from vpp_streams.settlement.database import entries_topic, open_ledger
from vpp_streams.settlement.offsets import applied_offsets

Log = dict[int, list[bytes]]
"""Records of entries by partition."""
_FORK = multiprocessing.get_context("fork")


def made_log(intervals: int) -> Log:
    """Intervals of four homes, in the order in which they were settled."""
    log: Log = {}
    homes = [home_of(p, n) for p in (3, 6) for n in (0, 1)]
    for n in range(intervals):
        amounts = {home: 10 * n + k for k, home in enumerate(homes)}
        for partition, rows in interval(OCTOBER_MS + n * INTERVAL_MS, amounts).items():
            log.setdefault(partition, []).append(encode_entries(batch(rows)))
    return log


def book_rest(settings: Settings, log: Log) -> None:
    """Book what the database does not have, one record in a transaction."""
    engine = open_ledger(settings, create=True)
    topic = entries_topic(settings)
    books = Books(engine, topic)
    with engine.connect() as connection:
        applied = applied_offsets(connection)
    for n in range(max(map(len, log.values()))):
        for partition, values in log.items():
            found = applied.get((topic, partition))
            if n < len(values) and n >= (found.next_offset if found else 0):
                records = [block_record(partition, n, values[n])]
                books.book(partition, n or None, records)
    engine.dispose()


def _child(settings: Settings, log: Log) -> None:
    try:
        book_rest(settings, log)
    except LedgerError:
        raise SystemExit(1) from None  # the database was killed


def booking_killed(
    settings: Settings,
    log: Log,
    *,
    kills: int,
    seed: int,
    kill: Callable[[BaseProcess], None] = BaseProcess.kill,
) -> None:
    """Start a process that books ``kills`` times, and kill it or what it needs each time."""
    chance = random.Random(seed)
    for _ in range(kills):
        process = _FORK.Process(target=_child, args=(settings, log))
        process.start()
        process.join(chance.uniform(0.0, 0.12))
        kill(process)
        process.join(60)
        assert process.exitcode is not None
        process.close()
