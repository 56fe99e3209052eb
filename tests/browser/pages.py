"""Pages in a browser, and what goes wrong in them: errors in the console, in scripts and of requests."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Self

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebError, expect
from playwright.async_api import Error as PlaywrightError

TIMEOUT_MS = 10_000
LEFT = "net::ERR_ABORTED"
"""What Chromium says of a request whose page was left: of each live stream, and nothing that is wrong."""

expect.set_options(timeout=TIMEOUT_MS)


class Pages:
    """Opens pages, each as somebody of its own with cookies of its own, and notes what goes wrong in them.

    ``async with Pages(browser) as pages``: leaving closes them all.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._noted: list[str] = []
        self._allowed: list[re.Pattern[str]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for context in self._contexts:
            await context.close()

    async def __call__(
        self,
        *,
        width: int = 1280,
        height: int = 800,
        language: str = "zh-CN",
        dark: bool = False,
        phone: bool = False,
        scripts: bool = True,
        base_url: str | None = None,
    ) -> Page:
        """Open an empty page as somebody who has not been here before.

        `width` and `height` are of the window, in CSS pixels. A `phone` is touched and heeds the viewport of the page.
        Without `scripts` no JavaScript runs. `page.goto` takes addresses that begin with `base_url` without it.
        """
        context = await self._browser.new_context(
            viewport={"width": width, "height": height},
            locale=language,
            timezone_id="Asia/Shanghai",
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",  # so that a picture does not depend on its moment
            has_touch=phone,
            is_mobile=phone,
            java_script_enabled=scripts,
            base_url=base_url,
        )
        context.set_default_timeout(TIMEOUT_MS)
        context.on("console", self._note_message)
        context.on("weberror", self._note_error)
        context.on("requestfailed", self._note_request)
        self._contexts.append(context)
        return await context.new_page()

    def allow(self, pattern: str) -> None:
        """Take a trouble in whose text this regular expression is found for right, also an earlier one."""
        self._allowed.append(re.compile(pattern))

    async def troubles(self) -> list[str]:
        """What has gone wrong up to now and is not allowed, one text each, in the order it came."""
        for page in self._open():
            with contextlib.suppress(PlaywrightError):  # it is being left or has crashed: there is nothing to wait for
                await page.evaluate("0")  # what happened before its answer has been told before it
        return [each for each in self._noted if not any(pattern.search(each) for pattern in self._allowed)]

    async def take_pictures(self, folder: Path) -> list[Path]:
        """Take a picture of each open page, as long as it is, into a folder; leave out what cannot be taken."""
        taken = []
        for number, page in enumerate(self._open(), start=1):
            path = folder / f"page-{number}.png"
            with contextlib.suppress(PlaywrightError):
                await page.screenshot(path=path, full_page=True)
                taken.append(path)
        return taken

    def _open(self) -> list[Page]:
        return [page for context in self._contexts for page in context.pages if not page.is_closed()]

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._noted.append(f"console: {message.text} ({message.location['url']})")

    def _note_error(self, error: WebError) -> None:
        self._noted.append(f"script: {error.error.stack or error.error.message}")

    def _note_request(self, request: Request) -> None:
        if request.failure != LEFT:
            self._noted.append(f"request: {request.failure} ({request.method} {request.url})")
