"""What the tests of the API share: someone who asks it, and what they find there."""

from typing import Any

import httpx

from cloud.database import Database
from cloud.registry.tokens import issue_token
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from edge.contract.messages import Batch, ClockState, Counts, EpochState, Event, Flag, LaneState, Reading, Status
from tests.cloud.workorders.samples import NOW

JPEG = b"\xff\xd8\xff\xe0 a picture"
BIG = 2**53 + 1  # a counter that a float would round


class Caller:
    """Asks the API as one person after another."""

    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, str]) -> None:
        self.client, self.tokens = client, tokens

    async def ask(self, login: str, path: str, *, method: str = "GET", **request: Any) -> httpx.Response:
        """Return the answer; a path without a leading slash is below /api/v1."""
        headers = {"Authorization": f"Bearer {self.tokens[login]}", **request.pop("headers", {})}
        url = path if path.startswith("/") else f"/api/v1/{path}"
        return await self.client.request(method, url, headers=headers, **request)

    async def get(self, login: str, path: str) -> Any:
        """Return the document of an answer that must be good."""
        answer = await self.ask(login, path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def move(self, login: str, to: str, version: int, **said: Any) -> httpx.Response:
        """Try to move the one order on."""
        body = {"to": to, "version": version, **said}
        return await self.ask(login, "orders/WO-000001/transitions", method="POST", json=body)


def record(database: Database, event: Event) -> None:
    """Take one revision of an event."""
    database.write_now(lambda connection: record_event(connection, event, rule_of=rule_of, now_ms=NOW))


def issue(database: Database, login: str) -> str:
    """Return a token of a person."""
    return database.write_now(lambda connection: issue_token(connection, login, now_ms=NOW, days=1))


def make_batch() -> Batch:
    """Return the readings that are in the store."""
    readings = [Reading("road-1", "depth", NOW + i * 1000, i / 10, Flag.PASS) for i in range(5)]
    readings += [Reading("river-1", "volume", NOW, BIG), Reading("river-1", "water_level", NOW, None, Flag.MISSING, 1)]
    kinds = {"road-1": "waterlogging_sensor", "river-1": "level_transmitter"}
    return Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)


def make_status() -> Status:
    """Return what gw-1 said of itself."""
    epoch = EpochState("0123456789abcdef", {"live": LaneState(1, 2)}, Counts(taken=7))
    return Status(
        gateway="gw-1",
        session="aa",
        online=True,
        sent_at=NOW,
        clock=ClockState.SYNCHRONISED,
        config_hash="ab",
        epochs=[epoch],
    )
