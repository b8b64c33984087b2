"""The dispatcher ends when it is cancelled, also in the moment in which a request arrives."""

import asyncio
from types import SimpleNamespace

from agents.dispatcher import Dispatcher


class NoSlots:
    """Partitions of an instance that holds none."""

    def slot(self, _partition: int) -> None:
        return None


async def test_it_ends_although_a_request_arrives_with_the_cancellation() -> None:
    known, wake = asyncio.Event(), asyncio.Event()
    known.set()
    dispatcher = Dispatcher.__new__(Dispatcher)  # only what its loop needs
    vars(dispatcher).update(
        _context=SimpleNamespace(registry_ready=known),
        _caught_up=known,
        _wake=wake,
        _partitions=NoSlots(),
    )
    ruling = asyncio.create_task(dispatcher.rule_for_ever())
    for _ in range(5):
        await asyncio.sleep(0)  # it waits now
    wake.set()
    await asyncio.sleep(0)  # what it waits for is done, and it has not run since
    ruling.cancel()
    done, _ = await asyncio.wait({ruling}, timeout=10)
    assert done
    assert ruling.cancelled()
