"""The pages over a small neighbourhood, really served, for a browser to open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from playwright.async_api import BrowserContext
from sqlalchemy import Connection

from cloud.api.services import Services
from cloud.database import Database
from cloud.ingest import Counters
from cloud.registry.sign_in import make_link, open_session
from cloud.run import Server, server_settings
from cloud.series.sqlite import SqliteStore
from edge.contract import listening
from edge.contract.clock import SystemClock
from tests.cloud.databases import add_neighbourhood, new_sqlite, with_known_statements

T = TypeVar("T")


class Served:
    """Pages at `url`; people of neighbourhood.yaml: wang and li work, chen operates, zhao administers, sun installs."""

    def __init__(self, url: str, services: Services, series: SqliteStore) -> None:
        self.url, self.services, self.series = url, services, series
        self.database: Database = services.database

    def write(self, work: Callable[[Connection], T]) -> T:
        """Change the database, as something else would."""
        return self.database.write_now(work)

    def link(self, login: str) -> str:
        """Return a one-time link."""
        code = self.write(lambda connection: make_link(connection, login, now_ms=self.now_ms))
        return f"{self.url}/welcome#{code}"

    async def sign_in(self, context: BrowserContext, login: str, *, language: str = "en") -> None:
        """Give a browser somebody's session, quicker than by a link."""
        secret = self.write(lambda c: open_session(c, login, agent="test", now_ms=self.now_ms))
        cookies = {"anlan": secret, "language": language}
        await context.add_cookies([{"name": name, "value": value, "url": self.url} for name, value in cookies.items()])

    @property
    def now_ms(self) -> int:
        """The present time, ms UTC."""
        return self.services.clock.now_ms()


@asynccontextmanager
async def serve(folder: Path, database_file: Path, **settings: Any) -> AsyncIterator[Served]:
    """Serve the pages over a neighbourhood that is registered, and where nothing has arrived yet.

    `settings` are further fields of Services, such as a map.
    """
    with with_known_statements(new_sqlite(database_file)) as database:
        database.write_now(add_neighbourhood)
        series = SqliteStore(folder / "series.db")
        services = Services(
            database=database,
            series=series,
            clock=SystemClock(),
            counters=Counters(),
            blobs_folder=folder / "blobs",
            **settings,
        )
        listener = listening.listen("127.0.0.1", 0, backlog=100)
        server = Server(server_settings(services))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", services, series)
        finally:
            server.should_exit = True
            await serving
            await series.close()
