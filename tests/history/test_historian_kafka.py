"""A historian on a real Kafka: each record is there once, whatever is killed; loud if it cannot."""

import asyncio
import errno
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.commands import CommandEvent, CommandEvents
from schemas.dispatch import RequestEvent
from schemas.market import Award, Delivery
from schemas.windows import SiteWindow
from tests.support.history_world import BERLIN, quarter, region_quarter
from tests.support.kafka_world import make_again, read_all, until, workers, write_raw
from tests.support.market_feed import bid
from tests.support.web_records import NOW_MS, dispatch_status, region_forecast, site_window
from vpp_streams.domain.history.kinds import BY_NAME
from vpp_streams.domain.history.periods import WINDOW_MS
from vpp_streams.errors import InputError, SettingsError
from vpp_streams.history.directory import HistoryDirectory
from vpp_streams.history.historian import HistoryError, run_historian, sources
from vpp_streams.history.reports import History, NoHistoryError, open_history
from vpp_streams.kafka import topics
from vpp_streams.kafka.clients import KafkaClients
from vpp_streams.kafka.outlet import write_many
from vpp_streams.kafka.topic import Topic
from vpp_streams.settings import Settings

pytestmark = pytest.mark.kafka

START_MS = NOW_MS - NOW_MS % WINDOW_MS
FLUSH_S = 0.05


def with_history(settings: Settings, directory: Path, **more: Any) -> Settings:
    given = {"history": directory, "history_flush_s": FLUSH_S, "session_timeout_s": 6.0}
    return settings.model_copy(update={**given, **more})


def windows(first: int, count: int, sites: int = 16) -> list[SiteWindow]:
    """Windows numbered from ``first`` on, of sites in all partitions."""
    return [
        quarter(f"home-{n % sites:02}", START_MS - n // sites * WINDOW_MS, float(n))
        for n in range(first, first + count)
    ]


def rows(directory: Path, name: str) -> list[dict[str, Any]]:
    """What readers see of a kind; nothing where there is no history yet."""
    try:
        history: History = open_history(directory, 0)
    except NoHistoryError:
        return []
    kind = BY_NAME[name]
    found = [
        history.rows(kind, day, 0, 2**52, plain=False).to_pylist()
        for day in history.days(kind, 0, 2**47)
    ]
    return [row for day in found for row in day]


def energies(directory: Path) -> list[float]:
    return sorted(row["battery_energy_wh"] for row in rows(directory, "site_windows"))


def there(directory: Path, count: int, name: str = "site_windows") -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return len(await asyncio.to_thread(rows, directory, name)) >= count

    return check


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """A historian in this process; its error ends the body's wait."""
    task = asyncio.create_task(run_historian(settings))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_kind_is_kept_and_a_refused_record_is_a_dead_letter(
    topics_ready: Settings, tmp_path: Path
) -> None:
    keep = {"history_keep_days": "site_minutes=36525,dispatches=36525"}
    settings = with_history(topics_ready, tmp_path / "h", history_zone="Europe/Berlin", **keep)
    clients = KafkaClients(settings)
    award = Award(
        bid_id="b", market="sim", region="north", start_ms=START_MS, interval_ms=WINDOW_MS,
        cleared_at_ms=START_MS, energy_w=1.0, prices={"energy": 1.0}, currency="EUR",
    )  # fmt: skip
    delivery = Delivery(
        bid_id="b", market="sim", region="north", start_ms=START_MS, interval_ms=WINDOW_MS,
        awarded_w=1.0, measured_w=1.0, coverage=1.0, money=1.0, currency="EUR",
    )  # fmt: skip
    event = RequestEvent(request_id="r", region="north", state="accepted", at_ms=START_MS)
    end = CommandEvent(device_id="d", command_id="c0-1", state="completed", at_ms=START_MS)
    absurd = quarter("home-1", 4_000_000_000_000)
    written: list[tuple[Topic, list[Any]]] = [
        (
            topics.SITE_WINDOWS,
            [quarter("home-1", START_MS), site_window("home-1", START_MS), absurd],
        ),
        (topics.REGION_WINDOWS, [region_quarter("north", START_MS)]),
        (topics.REGION_FORECASTS, [region_forecast("north", START_MS)]),
        (topics.MARKET_BIDS, [bid(START_MS)]),
        (topics.MARKET_AWARDS, [award]),
        (topics.MARKET_DELIVERIES, [delivery]),
        (topics.DISPATCH_EVENTS, [event, dispatch_status("north", START_MS)]),
        (topics.COMMAND_EVENTS, [CommandEvents(source="g", partition=3, events=(end,))]),
    ]
    for topic, records in written:
        await write_many(clients, topic, records)
    await write_raw(settings, (topics.SITE_WINDOWS, "home-1", b"{", 0))
    names = (
        "site_windows", "site_minutes", "region_windows", "forecasts", "bids", "awards",
        "deliveries", "requests", "dispatches", "command_ends",
    )  # fmt: skip
    directory = tmp_path / "h"
    async with running(settings) as task:

        async def all_kinds() -> bool:
            assert not task.done(), task.result()
            return all(len(rows(directory, name)) == 1 for name in names)

        async def letters() -> bool:
            name = topics.RECORDS_REJECTED.full(settings.namespace)
            return len(await read_all(settings, name)) == 2

        await until(all_kinds, "a row of each kind")
        await until(letters, "dead letters of the two that were refused")
    history = open_history(directory, 0)
    assert history.zones.default == BERLIN
    assert rows(directory, "bids")[0]["bid_id"] == bid(START_MS).bid_id


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.nightly)])
async def test_each_record_is_there_once_whatever_is_killed(
    topics_ready: Settings, tmp_path: Path, kills: int
) -> None:
    directory, rng, sent = tmp_path / "h", random.Random(kills), 0
    clients = KafkaClients(topics_ready)
    environment = {"VPP_HISTORY": str(directory), "VPP_HISTORY_FLUSH_S": str(FLUSH_S)}

    async def send(count: int) -> None:
        nonlocal sent
        await write_many(clients, topics.SITE_WINDOWS, windows(sent, count))
        sent += count

    with workers(topics_ready, tmp_path / "logs") as start:
        for _ in range(kills):
            historian = start("historian", **environment)
            await send(300)
            await until(there(directory, sent - 200), "some rows")
            writing = asyncio.create_task(send(900))
            await asyncio.sleep(rng.uniform(0.0, 0.3))  # the random moment of the kill
            historian.kill()
            await writing
        historian = start("historian", **environment)
        await until(there(directory, sent), f"all rows; {historian.why()}")
        historian.stop()
    assert historian.process.returncode == 0
    assert energies(directory) == [float(n) for n in range(sent)]


async def test_two_historians_share_the_partitions(topics_ready: Settings, tmp_path: Path) -> None:
    directory = tmp_path / "h"
    settings = with_history(topics_ready, directory)
    clients = KafkaClients(settings)
    async with running(settings):
        await write_many(clients, topics.SITE_WINDOWS, windows(0, 64))
        await until(there(directory, 64), "the rows of one alone")
        async with running(settings):
            await write_many(clients, topics.SITE_WINDOWS, windows(64, 64))
            await until(there(directory, 128), "the rows of both")
        await write_many(clients, topics.SITE_WINDOWS, windows(128, 64))
        await until(there(directory, 192), "the rows of the one that is left")
    assert energies(directory) == [float(n) for n in range(192)]


async def test_a_full_disk_is_loud_and_nothing_is_lost(
    topics_ready: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "h"
    settings = with_history(topics_ready, directory)
    await write_many(KafkaClients(settings), topics.SITE_WINDOWS, windows(0, 64))
    write, left = HistoryDirectory.write, [2]

    def write_until_full(self: HistoryDirectory, *given: Any) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        write(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(HistoryDirectory, "write", write_until_full)
        with pytest.raises(HistoryError, match=r"No space left.*free space there") as error:
            async with asyncio.timeout(60):
                await run_historian(settings)
    assert "\n" not in str(error.value)
    saved = [HistoryDirectory(directory).progress("site.windows", p) for p in range(8)]
    assert all(one is None or one.next_offset == 0 for one in saved)
    async with running(settings):
        await until(there(directory, 64), "all rows, once there is space")
    assert energies(directory) == [float(n) for n in range(64)]


async def test_a_topic_that_was_created_again_is_read_from_its_beginning(
    topics_ready: Settings, tmp_path: Path
) -> None:
    directory = tmp_path / "h"
    settings = with_history(topics_ready, directory)
    clients = KafkaClients(settings)
    await write_many(clients, topics.SITE_WINDOWS, windows(0, 64))
    async with running(settings):
        await until(there(directory, 64), "the rows of the first topic")
    await make_again(settings, topics.SITE_WINDOWS)
    await write_many(clients, topics.SITE_WINDOWS, windows(64, 64))
    async with running(settings):
        await until(there(directory, 128), "the rows of both, though offsets are the same")
    assert energies(directory) == [float(n) for n in range(128)]


async def test_a_directory_that_cannot_be_used_is_one_line(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="set VPP_HISTORY to another directory"):
        await run_historian(with_history(settings, tmp_path / "file" / "h"))
    with pytest.raises(SettingsError, match="no time zone 'Mars'"):
        await run_historian(with_history(settings, tmp_path, history_zone="Mars"))
    with pytest.raises(SettingsError, match="no kind 'site'"):
        await run_historian(with_history(settings, tmp_path, history_keep_days="site=1"))


def test_the_topics_of_history_are_all_known() -> None:
    assert {topic.name for topic in sources()} == {kind.topic for kind in BY_NAME.values()}
