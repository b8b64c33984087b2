"""Notifications: a real webhook by Apprise, and the record of every attempt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from schemas.incidents import Notification
from tests.support.incidents import OPENED_MS, incident
from vpp_streams.domain.incidents.channels import RETRY_MS, Channel
from vpp_streams.incidents import notifier as notifier_module
from vpp_streams.incidents.notifier import Notifier, deliver_by_apprise

NOBODY: frozenset[str] = frozenset()


@asynccontextmanager
async def webhook(status: str = "200 OK") -> AsyncIterator[tuple[int, list[dict[str, Any]]]]:
    """Receives JSON; yields its port, and the bodies."""
    bodies: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        bodies.append(msgspec.json.decode(await reader.readexactly(length)))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], bodies


def channel_at(port: int) -> Channel:
    return Channel(id="hook", url=f"json://127.0.0.1:{port}/vpp?cto=5&rto=5")


class Log:
    def __init__(self) -> None:
        self.records: list[Notification] = []

    async def write(self, record: Notification) -> None:
        self.records.append(record)


async def test_a_webhook_is_called_once_an_incident() -> None:
    log = Log()
    async with webhook() as (port, bodies):
        first = Notifier((channel_at(port),), log.write, deliver_by_apprise)
        for second in range(3):
            await first.notify([incident()], NOBODY, OPENED_MS + 1000 * second)
        again = Notifier((channel_at(port),), log.write, deliver_by_apprise)
        for record in log.records:
            again.restore(record)  # the process was started again
        await again.notify([incident()], NOBODY, OPENED_MS + 60_000)
        await again.notify([incident(closed_at_ms=OPENED_MS + 9)], NOBODY, OPENED_MS + 60_000)
    assert [body["title"] for body in bodies] == [
        "critical: region-silent of coast opened",
        "critical: region-silent of coast closed",
    ]
    assert "no telemetry of the region" in bodies[0]["message"]
    assert [(one.state, one.delivered) for one in log.records] == [
        ("opened", True), ("closed", True),
    ]  # fmt: skip


async def test_what_is_refused_is_recorded_with_a_reason_and_given_up_at_last() -> None:
    log, now_ms = Log(), OPENED_MS
    async with webhook("500 Internal Server Error") as (port, bodies):
        notifier = Notifier((channel_at(port),), log.write, deliver_by_apprise)
        for wait_ms in (*RETRY_MS, 10**8, 10**8):
            now_ms += wait_ms
            await notifier.notify([incident()], NOBODY, now_ms)
    assert len(bodies) == len(RETRY_MS) == len(log.records)
    assert {(one.delivered, one.reason) for one in log.records} == {
        (False, "channel hook did not accept it")
    }


async def test_a_channel_that_never_answers_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifier_module, "SEND_S", 0.05)
    never, done = asyncio.Event(), asyncio.Event()

    async def stuck(_self: object, **_message: str) -> bool:
        await never.wait()
        return True

    async def deliver(channel: Channel, title: str, text: str) -> str | None:
        if channel.id == "good":
            done.set()
            return None
        monkeypatch.setattr("apprise.Apprise.async_notify", stuck)
        return await deliver_by_apprise(channel, title, text)

    log = Log()
    channels = (Channel(id="stuck", url="json://localhost"), Channel(id="good", url="json://x"))
    await Notifier(channels, log.write, deliver).notify([incident()], NOBODY, OPENED_MS)
    assert done.is_set()
    assert {(one.channel, one.delivered) for one in log.records} == {
        ("stuck", False), ("good", True),
    }  # fmt: skip


async def test_a_failure_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_self: object, **_message: str) -> bool:
        raise ValueError("json://user:s3cret@localhost")

    monkeypatch.setattr("apprise.Apprise.async_notify", broken)
    channel = Channel(id="hook", url="json://user:s3cret@localhost")
    assert await deliver_by_apprise(channel, "t", "x") == "channel hook failed: ValueError"
