"""What axe-core finds in a page: places that people with a disability cannot read or use."""

from __future__ import annotations

from playwright.async_api import Page

from tests import layout

SOURCE = layout.ROOT / "cloud" / "web" / "node_modules" / "axe-core" / "axe.min.js"
BAD_IMPACTS = {"serious", "critical"}


async def axe(page: Page) -> list[str]:
    """Everything serious or critical in the page as it is now, one line each place: rule, impact, what to do, where."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(SOURCE.read_text())  # not a script element: the page forbids those of others
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {' '.join(map(str, node['target']))}"
        for violation in found["violations"]
        if violation["impact"] in BAD_IMPACTS
        for node in violation["nodes"]
    ]
