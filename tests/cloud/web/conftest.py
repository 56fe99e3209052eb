"""What tests of the pages share: the pages over a small neighbourhood, asked as one person after another."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import Connection
from starlette.datastructures import State

from cloud.api.app import create_app
from cloud.api.services import Services
from cloud.config import MapConfig
from cloud.database import Database
from cloud.ingest import Counters
from cloud.registry import passwords
from cloud.registry.sign_in import open_session
from cloud.series.sqlite import SqliteStore
from cloud.web.site import add_pages
from edge.contract.clock import SteppedClock
from edge.contract.messages import EventState
from tests.cloud.api.callers import record
from tests.cloud.workorders.samples import NOW, flood

LOGINS = ("wang", "li", "chen", "zhao", "sun")
"""Of neighbourhood.yaml: wang and li work, chen operates, zhao administers, sun installs."""
HERE = Path(__file__).parent
CSRF = re.compile(r'name="csrf" (?:value|content)="([^"]+)"')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run each test of the pages on PostgreSQL with its first parameters alone.

    Parameters are who looks and what is typed, seldom which questions the database is asked.
    """
    seen = set()
    for item in list(items):
        if item.path.is_relative_to(HERE) and "[postgresql-" in item.name:
            name = (item.path, item.name.partition("[")[0])
            if name in seen:
                items.remove(item)
            seen.add(name)


class Site:
    """The pages, and who is signed in to them."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, services: Services, secrets: Mapping[str, str]) -> None:
        self.app, self.client, self.services, self.secrets = app, client, services, secrets
        self.database: Database = services.database
        self.clock: SteppedClock = services.clock  # type: ignore[assignment]  # what the fixture gave it

    async def visit(self, login: str | None, path: str, *, language: str = "en", **request: Any) -> httpx.Response:
        """Return what somebody, or with None nobody who is signed in, is shown; redirects are not followed."""
        return await self.client.get(path, headers=self._headers(login, language), **request)

    async def see(self, login: str | None, path: str, *, language: str = "en") -> str:
        """Return a page that must be there."""
        answer = await self.visit(login, path, language=language)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.headers.get('location')}"
        return answer.text

    async def post(
        self,
        login: str | None,
        path: str,
        form: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Send a form with the token of a page of that person, or with another one."""
        fields = {"csrf": await self.token(login) if token is None else token, **(form or {})}
        return await self.client.post(path, data=fields, headers=self._headers(login, "en"), **more)

    async def token(self, login: str | None) -> str:
        """Return the token that a page of this person has for its forms."""
        match = CSRF.search((await self.visit(login, "/account")).text)
        return match.group(1) if match else ""

    def write(self, work: Any) -> Any:
        """Change the database, as something else would."""
        return self.database.write_now(work)

    def browser(self, address: str = "127.0.0.1", base_url: str = "http://127.0.0.1") -> httpx.AsyncClient:
        """Return another browser, without cookies, on a machine with this address."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 1234))
        return httpx.AsyncClient(transport=transport, base_url=base_url)

    def _headers(self, login: str | None, language: str) -> dict[str, str]:
        cookies = [f"language={language}", *([f"anlan={self.secrets[login]}"] if login else [])]
        return {"Cookie": "; ".join(cookies)}


@pytest.fixture(scope="session")
def pages() -> FastAPI:
    """The application, without services: to make it takes longer than most tests."""
    app = create_app(cast("Services", SimpleNamespace(map=MapConfig())))
    add_pages(app)
    return app


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes as cheap as argon2id can make them: hundreds are made here, each of which costs a tenth of a second."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
async def site(pages: FastAPI, neighbourhood: Database, quick_passwords: None, tmp_path: Path) -> AsyncIterator[Site]:
    """The pages over an empty neighbourhood: registered, but nothing has arrived yet."""
    series = SqliteStore(tmp_path / "series.db")
    services = Services(
        database=neighbourhood,
        series=series,
        clock=SteppedClock(NOW),
        counters=Counters(),
        blobs_folder=tmp_path / "blobs",
    )
    pages.state = State()
    pages.state.services = services
    routes = list(pages.router.routes)
    secrets = neighbourhood.write_now(_open_sessions)
    transport = httpx.ASGITransport(pages, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield Site(pages, client, services, secrets)
    pages.router.routes[:] = routes
    await series.close()


def _open_sessions(connection: Connection) -> dict[str, str]:
    return {login: open_session(connection, login, agent="test", now_ms=NOW) for login in LOGINS}


@pytest.fixture
def flooded(site: Site) -> Site:
    """The pages with one order, dispatched to li."""
    [event] = flood(EventState.CONFIRMED)
    record(site.database, event)
    return site
