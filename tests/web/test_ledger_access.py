"""A database that does not answer holds up nothing, and is given up in time."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts_world import Entrance
from vpp_streams.serving.problems import ApiError
from vpp_streams.settings import Settings
from vpp_streams.statements.reading import LedgerReader
from vpp_streams.web import ledger_access
from vpp_streams.web.callers import set_principal
from vpp_streams.web.ledger_access import LedgerAccess
from vpp_streams.web.senders import Senders


def scope_of(role: str) -> dict[str, Any]:
    entrance = Entrance()
    word = entrance.token(role)
    headers = [(b"authorization", f"Bearer {word}".encode())]
    scope: dict[str, Any] = {"type": "http", "client": ("192.0.2.1", 1), "headers": headers}
    scope["state"] = {}
    set_principal(scope, Senders(entrance.logins).sender(scope))
    return scope


def waits(free: threading.Event) -> Callable[[LedgerReader], bool]:
    return lambda _ledger: free.wait(60)


async def test_a_ledger_that_does_not_answer_is_given_up_and_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_access, "_ANSWER_S", 0.05)
    counters: Counter[str] = Counter()
    access, free = (
        LedgerAccess(LedgerReader(Settings(state_dir=tmp_path)), counters),
        threading.Event(),
    )
    try:
        with pytest.raises(ApiError, match="cannot be read at the moment") as refused:
            await access.read(scope_of("operator"), waits(free))
        assert refused.value.hint == "the ledger does not answer in time"
        assert counters["ledger_reads_failed"] == 1
    finally:
        free.set()
        access.close()


async def test_only_some_wait_and_the_next_one_is_told_so(tmp_path: Path) -> None:
    access, free = (
        LedgerAccess(LedgerReader(Settings(state_dir=tmp_path)), Counter()),
        threading.Event(),
    )
    scope = scope_of("viewer")
    reads = [asyncio.create_task(access.read(scope, waits(free))) for _ in range(6)]
    await asyncio.sleep(0)  # each takes its place
    try:
        with pytest.raises(ApiError, match="your address already has 6 statements being read"):
            await access.read(scope, waits(free))
    finally:
        free.set()
        assert await asyncio.gather(*reads) == [True] * 6
        access.close()
