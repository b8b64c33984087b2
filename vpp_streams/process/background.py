"""Work that runs beside a block and ends with it."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack

from vpp_streams.errors import VppError


def run_beside(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Run ``work`` until the stack unwinds; the caller checks the task for errors."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
    return task


async def plainly(work: Coroutine[None, None, None]) -> None:
    """Run work; an error for people is raised as it is, without the group around it."""
    try:
        await work
    except* VppError as group:
        errors = group
        raise _first(errors) from None


def _first(group: BaseExceptionGroup[VppError]) -> VppError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, VppError)  # the group was split by this type
    return error


async def run_until_stopped(*work: Coroutine[None, None, None]) -> None:
    """Run all ``work`` until Ctrl-C or SIGTERM, or until one ends; an error of one is raised.

    What was given first is ended last.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        running = [run_beside(stack, plainly(coroutine)) for coroutine in work]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in running:
            if task.done():
                task.result()
