"""A worker that is told to stop ends, whatever its clients wait for."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from vpp_streams import app as worker


async def test_a_worker_that_does_not_stop_in_time_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kafka away: one told to stop was met 40 minutes later."""
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    monkeypatch.setattr(worker, "STOP_S", 0.01)
    monkeypatch.setattr("os._exit", end)
    told = []
    app = SimpleNamespace(
        on_before_shutdown=SimpleNamespace(connect=lambda begin, weak: told.append(begin))
    )
    worker._end_in_time(app)  # noqa: SLF001  # the process would end with it
    await told[0](app)
    assert await asyncio.to_thread(ended.wait, 60)
    assert codes == [1]
