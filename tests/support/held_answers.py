"""An answer of the API that a test keeps from a page until it lets it go."""

import asyncio
from contextlib import suppress

from playwright.async_api import APIResponse, Error, Page, Request, Route

from tests.support.web_records import NOW_MS

PATIENCE_S = 30


async def stop_clock(page: Page) -> None:
    """Stop the page's clock before it is opened: it then requests nothing by itself."""
    await page.clock.install(time=NOW_MS / 1000)
    await page.clock.pause_at(NOW_MS / 1000 + 1)


class HeldAnswer:
    """The answer to a page's next request of a path; those after it are answered as usual.

    The server answers at once, so that the held answer is older than what follows.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._kept: asyncio.Future[tuple[Route, APIResponse]] = asyncio.Future()
        self._over: set[Request] = set()
        self._is_over = asyncio.Event()

    @classmethod
    async def of(cls, page: Page, path: str) -> "HeldAnswer":
        """Hold the answer to the next request of ``path``, which may have wildcards."""
        held = cls(page)
        await page.route(f"**/api/v1/{path}", held._keep, times=1)
        page.on("requestfinished", held._note)
        page.on("requestfailed", held._note)
        return held

    async def _keep(self, route: Route) -> None:
        self._kept.set_result((route, await route.fetch()))

    def _note(self, request: Request) -> None:
        self._over.add(request)
        self._is_over.set()

    async def kept(self) -> None:
        """Wait until the server has answered."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(self._kept)

    async def let_go(self) -> None:
        """Give the page the answer, and wait until it has done with it what it does."""
        route, answer = await self._kept
        with suppress(Error):  # the page may have given the request up
            await route.fulfill(response=answer)
        async with asyncio.timeout(PATIENCE_S):
            while route.request not in self._over:
                self._is_over.clear()
                await self._is_over.wait()
        # The answer was there before this one, which the page reads after it.
        await self._page.evaluate("fetch('api/v1/me').then((answer) => answer.json())")
