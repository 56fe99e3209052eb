"""A real Chromium: a server like others, one for a whole run of tests, whose log is shown under a failed test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from tests.servers import Server, is_accepting

FLAGS = (
    "--headless",
    "--no-sandbox",  # as root it starts no other way; it sees none but our own pages
    "--disable-gpu",
    "--disable-dev-shm-usage",  # in a container that is too small
    "--no-first-run",
    "--log-level=3",
    # It asks nobody outside for anything.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
)


class Chromium(Server):
    """A Chromium without a window that keeps nothing; `connected` gives what drives it."""

    name = "chromium"
    package = "chromium"

    @classmethod
    def program(cls) -> str | None:
        """The path of chromium."""
        return shutil.which("chromium")

    @property
    def url(self) -> str:
        """Where its DevTools are."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Take a fresh profile in its folder."""
        profile = f"--user-data-dir={self.folder / 'profile'}"
        return [self.program() or "chromium", *FLAGS, profile, f"--remote-debugging-port={self.port}"]

    def is_ready(self) -> bool:
        """Whether its DevTools accept connections."""
        return is_accepting(self.port)


@asynccontextmanager
async def connected(chromium: Chromium) -> AsyncIterator[Browser]:
    """Connect to a running Chromium, which goes on when the connection ends; its pages do not."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(chromium.url)
        try:
            yield browser
        finally:
            await browser.close()
