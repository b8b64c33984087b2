"""Checks of a page's accessibility with axe-core, which is vendored beside this file."""

from functools import cache
from pathlib import Path

from playwright.async_api import Page

_AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"


@cache
def _source() -> str:
    return _AXE.read_text()


async def violations(page: Page) -> list[str]:
    """What axe-core finds on the page as it is shown now: a rule, and an element that breaks it.

    All rules apply that are not experimental, those of best practice too.
    """
    # Evaluated in the page, because its policy allows no script of another origin.
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_source())
    found: list[str] = await page.evaluate(
        """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
            .flatMap((rule) => rule.nodes.map((node) =>
                `${rule.id}: ${node.target.join(" ")}: ${node.html.slice(0, 160)}`))"""
    )
    return found
