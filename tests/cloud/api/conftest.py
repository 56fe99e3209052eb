"""The API over a small neighbourhood, for its tests."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection
from starlette.datastructures import State

from cloud.api.app import create_app
from cloud.api.services import Services
from cloud.blobs import keep_picture
from cloud.database import Database
from cloud.gateway_states import take_status
from cloud.ingest import Counters
from cloud.registry.tokens import issue_token
from cloud.series.sqlite import SqliteStore
from edge.contract.clock import SteppedClock
from edge.contract.messages import EventState
from tests.cloud.api.callers import JPEG, Caller, make_batch, make_status, record
from tests.cloud.workorders.samples import NOW, flood, with_pictures


@pytest.fixture(scope="session")
def api() -> FastAPI:
    """The application, without services: to make it takes longer than most tests."""
    return create_app(cast("Services", None))


@pytest.fixture
async def caller(api: FastAPI, neighbourhood: Database, tmp_path: Path) -> AsyncIterator[Caller]:
    """The API over a neighbourhood with one dispatched order at heping-01, its picture, readings and a status."""
    series = SqliteStore(tmp_path / "series.db")
    folder = tmp_path / "blobs"
    await series.write([make_batch()])
    name = neighbourhood.write_now(lambda c: keep_picture(c, JPEG, "image/jpeg", folder, now_ms=NOW))
    [event] = flood(EventState.CONFIRMED)
    record(neighbourhood, with_pictures(event, name))
    neighbourhood.write_now(lambda c: take_status(c, make_status(), retained=False, now_ms=NOW))
    tokens = neighbourhood.write_now(_issue_tokens)
    services = Services(
        database=neighbourhood, series=series, clock=SteppedClock(NOW), counters=Counters(), blobs_folder=folder
    )
    api.state = State()
    api.state.services = services
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield Caller(client, {**tokens, "nobody": "x"})
    await series.close()


def _issue_tokens(connection: Connection) -> dict[str, str]:
    people = ("wang", "li", "chen", "zhao", "sun")
    return {login: issue_token(connection, login, now_ms=NOW, days=1) for login in people}
