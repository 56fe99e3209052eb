"""What a hostile user of the API tries: numbers that no database holds, and looking for what errors give away."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cloud.api.app import create_app
from cloud.api.services import Services
from cloud.database import Database
from cloud.ingest import Counters
from cloud.registry.tokens import issue_token
from cloud.series.sqlite import SqliteStore
from cloud.workorders import orders as work_orders
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from edge.contract.clock import SteppedClock
from edge.contract.messages import EventState
from tests.cloud.workorders.samples import NOW, flood

TOO_LARGE = 2**63


@pytest.fixture
async def operator(neighbourhood: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API, asked by an operator, with one order."""
    series = SqliteStore(tmp_path / "series.db")
    [event] = flood(EventState.CONFIRMED)
    rule = rule_of(event.class_code)
    neighbourhood.write_now(lambda connection: record_event(connection, event, rule_of=lambda _: rule, now_ms=NOW))
    token = neighbourhood.write_now(lambda connection: issue_token(connection, "chen", now_ms=NOW, days=1))
    services = Services(
        database=neighbourhood,
        series=series,
        clock=SteppedClock(NOW),
        counters=Counters(),
        blobs_folder=tmp_path / "blobs",
    )
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1/", headers=headers) as client:
        yield client
    await series.close()


@pytest.mark.parametrize("path", ["alerts?before=", "events?before=", "readings?gateway=a&device=b&point=c&from="])
async def test_a_number_that_no_database_holds_is_refused(operator: httpx.AsyncClient, path: str) -> None:
    """It is the caller's mistake, not ours."""
    answer = await operator.get(f"{path}{TOO_LARGE}")
    assert answer.status_code == 422, answer.text


async def test_evidence_that_no_database_holds_is_refused(operator: httpx.AsyncClient) -> None:
    """Numbers in a body are bounded too."""
    body = {"to": "dispatched", "version": 3, "assignee": "li", "reason": "病假", "evidence": [TOO_LARGE]}
    answer = await operator.post("orders/WO-000001/transitions", json=body)
    assert answer.status_code == 422, answer.text


async def test_pictures_of_one_order_are_bounded(
    operator: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stolen token does not fill the disk."""
    monkeypatch.setattr(work_orders, "MAX_PICTURES", 2)
    statuses = []
    for number in range(3):
        picture = b"\xff\xd8\xff" + bytes([number])
        headers = {"Content-Type": "image/jpeg"}
        answer = await operator.post("orders/WO-000001/evidence", content=picture, headers=headers)
        statuses.append(answer.status_code)
    assert statuses == [201, 201, 409]
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 2


async def test_an_unanswered_request_does_not_say_where_we_keep_things(
    operator: httpx.AsyncClient, neighbourhood: Database
) -> None:
    """Anybody may ask for our health: the path of the database and its trouble are for the log."""
    neighbourhood.write_now(lambda connection: connection.exec_driver_sql("DROP TABLE tokens"))
    answer = await operator.get("me")
    assert answer.status_code == 503
    assert answer.json() == {"error": "the database does not answer: try again"}


@pytest.mark.parametrize("value", ["' OR '1'='1", "'; DROP TABLE orders; --", '" OR 1=1 --', "\\' OR 1=1 --"])
async def test_a_value_is_never_a_part_of_a_statement(operator: httpx.AsyncClient, value: str) -> None:
    """What would be SQL is a grid that there is not, or no id at all; the order is still there."""
    assert (await operator.get("orders", params={"grid": value})).json()["orders"] == []
    asked = {"gateway": value}
    for path, name in (("series", "gateway"), ("latest", "device"), ("readings", "point")):
        asked[name] = value
        assert (await operator.get(path, params=asked)).status_code == 422
    assert len((await operator.get("orders")).json()["orders"]) == 1


async def test_every_answer_is_described(operator: httpx.AsyncClient) -> None:
    """What a transition and a picture may be answered stands in the OpenAPI document, in the errors' shape."""
    paths = (await operator.get("openapi.json")).json()["paths"]
    wanted = {"transitions": {"400", "409", "413", "503"}, "evidence": {"409", "413", "415", "503"}}
    for path, statuses in wanted.items():
        responses = paths[f"/api/v1/orders/{{code}}/{path}"]["post"]["responses"]
        assert statuses <= responses.keys()
