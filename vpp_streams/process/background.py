"""Work that runs beside a block and ends with it."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack


def run_beside(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Run ``work`` until the stack unwinds; the caller checks the task for errors."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
    return task


async def until_told_to_stop(*work: Coroutine[None, None, None]) -> None:
    """Run all ``work`` until Ctrl-C or SIGTERM, or until one ends; an error of one is raised."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        running = [run_beside(stack, coroutine) for coroutine in work]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in running:
            if task.done():
                task.result()
