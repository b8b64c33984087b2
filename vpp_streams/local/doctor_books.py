"""Checks the ledger and the history: that they can be reached, and how far behind they are.

Neither is needed for the loop: nothing is lost while one of them is away, it continues later. Only
a database that is named in VPP_LEDGER and cannot be used is a fault of this machine.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from vpp_streams import clock
from vpp_streams.errors import BrokerError, InputError, LedgerError, SettingsError
from vpp_streams.history.directory import HistoryDirectory, zones_of
from vpp_streams.history.historian import sources
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.local.machine_check import Check
from vpp_streams.settings import Settings
from vpp_streams.settlement.checks import changed_entries, undivided_count
from vpp_streams.settlement.database import ledger_url, open_ledger, plain_errors, shown
from vpp_streams.settlement.offsets import applied_offsets
from vpp_streams.settlement.process import log_ends

LIMIT_S = 10
"""How long each statement may take: a person waits."""
BEHIND_S = 600.0
"""A history that read nothing for this long is behind: it reports at least each minute."""
ROOM_BYTES = 2 * 2**30
SHOWN = 3
"""Most faults of a ledger that are named."""


def books(settings: Settings, *, kafka_answers: bool) -> list[Check]:
    """The checks of ledger and history."""
    return [*_ledger(settings, kafka_answers), _history(settings, kafka_answers)]


def _ledger(settings: Settings, kafka_answers: bool) -> Iterator[Check]:
    named = settings.ledger is not None
    try:
        url = ledger_url(settings)
        if not named and not Path(str(url.database)).exists():
            found = f"there is none in {shown(url)} yet"
            yield Check("ledger", False, found, "vpp settlement run", needed=False)
            return
        engine = open_ledger(settings, reads_for_s=LIMIT_S)
    except (LedgerError, SettingsError) as error:
        yield Check("ledger", False, *_halves(error), needed=named)
        return
    try:
        yield Check("ledger", True, shown(engine.url))
        yield _behind(settings, engine, kafka_answers)
        yield _sound(engine)
    finally:
        engine.dispose()


def _behind(settings: Settings, engine: sa.Engine, kafka_answers: bool) -> Check:
    """How many records of the log are not booked."""
    name = "ledger's log"
    if not kafka_answers:
        found = "how far behind it is cannot be known: no Kafka"
        return Check(name, False, found, "vpp broker start", needed=False)
    try:
        with plain_errors(engine), engine.connect() as connection:
            applied = applied_offsets(connection)
        ends = asyncio.run(log_ends(KafkaClients(settings), applied))
    except LedgerError as error:
        return Check(name, False, *_halves(error))
    except BrokerError as error:
        return Check(name, False, *_halves(error), needed=False)
    booked = {
        tp: at.next_offset if (at := applied.get((tp.topic, tp.partition))) else 0 for tp in ends
    }
    other = [f"{tp.topic} [{tp.partition}]" for tp, end in ends.items() if booked[tp] > end]
    if other:
        found = f"it has booked records that are not in {', '.join(other)}: another log"
        return Check(name, False, found, "restore the topic, or `vpp ledger rebuild`")
    left = sum(end - booked[tp] for tp, end in ends.items())
    found = f"{left} of {sum(ends.values())} records are not booked" if left else "all is booked"
    way_out = "`vpp settlement run` books them; look again in a minute if it runs"
    return Check(name, not left, found, way_out, needed=False)


def _sound(engine: sa.Engine) -> Check:
    """Whether its entries are those that were booked, and every interval is divided."""
    try:
        with plain_errors(engine), engine.connect() as connection:
            changed = list(changed_entries(connection))
            undivided = undivided_count(connection)
    except LedgerError as error:
        return Check("ledger's sums", False, f"not checked: {error}", "vpp ledger check",
                     needed=False)  # fmt: skip
    faults = changed[:SHOWN]
    if len(changed) > SHOWN:
        faults.append(f"and {len(changed) - SHOWN} more")
    if undivided:
        faults.append(f"{undivided} intervals are not divided completely")
    found = "; ".join(faults) or "entries are as booked, intervals are divided"
    return Check("ledger's sums", not faults, found, "`vpp ledger check`, `vpp ledger rebuild`")


def _history(settings: Settings, kafka_answers: bool) -> Check:
    root, way_out = settings.history_dir, "vpp worker historian"
    try:
        if zones_of(root) is None:
            return Check("history", False, f"there is none in {root} yet", way_out, needed=False)
        if not os.access(root, os.W_OK | os.X_OK):
            remedy = "make it writable for the historian, or set VPP_HISTORY"
            return Check("history", False, f"{root} cannot be written", remedy, needed=False)
        directory = HistoryDirectory(root)
        caught_up_ms = [directory.caught_up_ms(t.name, t.partitions) for t in sources()]
    except InputError as error:
        return Check("history", False, *_halves(error), needed=False)
    free = shutil.disk_usage(root).free
    if free < ROOM_BYTES:
        found = f"{root} has {free / 2**30:.1f} GiB left"
        return Check("history", False, found, "make room there", needed=False)
    oldest_ms = min(caught_up_ms)
    if not oldest_ms:
        unread = [t.name for t, at in zip(sources(), caught_up_ms, strict=True) if not at]
        found = f"{root} is not complete yet: {', '.join(unread)} not read to the end"
        return Check("history", False, found, way_out, needed=False)
    behind_s = (clock.now_ms() - oldest_ms) / 1000
    found = f"{root} is complete until {_ago(behind_s)} ago"
    late = kafka_answers and behind_s > BEHIND_S
    return Check("history", not late, found, way_out, needed=False)


def _halves(error: Exception) -> tuple[str, str]:
    """What is wrong, and the way out: our errors are one line with both."""
    found, _, way_out = str(error).partition("; ")
    return found, way_out


def _ago(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours:.1f} h" if hours >= 2 else f"{minutes:.0f} min"
