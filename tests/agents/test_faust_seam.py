"""What a worker learns of its consumer group."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agents.faust_seam import CancelledWorkError, Membership, run_beside_agents
from tables.group import NoShareError, Share


class App:
    """The parts of Faust that a membership uses."""

    def __init__(self) -> None:
        self.conf = SimpleNamespace(id="test.fleet")
        self.consumer_generation_id = 1
        self.on_partitions_assigned = SimpleNamespace(connect=lambda *_, **__: None)
        self.on_partitions_revoked = SimpleNamespace(connect=lambda *_, **__: None)

    def agent(self, _topic: Any, **_options: Any) -> Any:
        return lambda function: function


async def test_a_second_revocation_is_not_taken_for_a_group_that_gives_no_place() -> None:
    app = App()
    membership = Membership(app, SimpleNamespace())
    waiting: asyncio.Task[Share] = asyncio.create_task(anext(membership.shares()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await membership._on_revoked()  # noqa: SLF001  # Faust calls it
    await asyncio.sleep(0)
    await membership._on_revoked()  # noqa: SLF001  # Faust calls it
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    app.consumer_generation_id = 2
    await membership._on_assigned(app, [SimpleNamespace(partition=3)])  # type: ignore[arg-type]  # noqa: SLF001  # Faust calls it
    assert await waiting == Share(2, frozenset({3}))


async def test_who_waits_in_vain_ends_with_the_reason() -> None:
    membership = Membership(App(), SimpleNamespace())
    with pytest.raises(NoShareError, match="no place in the consumer group"):
        await anext(membership.shares(patience_s=0.0))


def test_only_the_next_generation_follows() -> None:
    before = Share(4, frozenset({1}))
    assert Share(5, frozenset({1})).follows(before)
    assert not Share(6, frozenset({1})).follows(before)
    assert not Share(5, frozenset({1})).follows(None)


class EndingApp:
    """The parts of Faust that run a task, and the error with which it ends."""

    def __init__(self) -> None:
        self.should_stop = False
        self.tasks: list[Any] = []

    def task(self, function: Any) -> None:
        self.tasks.append(asyncio.create_task(function()))


async def test_work_that_is_cancelled_while_its_app_runs_is_an_error() -> None:
    app = EndingApp()

    async def work() -> None:
        raise asyncio.CancelledError  # as a client does that cancels what it waits for

    run_beside_agents(app, work)
    with pytest.raises(CancelledWorkError, match="work was cancelled"):
        await app.tasks[0]


async def test_work_is_cancelled_when_its_app_stops() -> None:
    app = EndingApp()
    run_beside_agents(app, asyncio.Event().wait)  # type: ignore[arg-type]  # it never returns
    await asyncio.sleep(0)
    app.should_stop = True
    app.tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await app.tasks[0]
