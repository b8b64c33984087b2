"""Work that runs beside a block and ends with it."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack


def run_beside(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Run ``work`` until the stack unwinds; what it raises is the caller's to look at."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
    return task
