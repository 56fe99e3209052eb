"""The API: who may see and do what, and that every error is one sentence."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cloud.blobs import keep_picture
from cloud.database import Database
from cloud.gateway_states import gateway_states, take_status
from cloud.registry.tables import people_grids
from cloud.status import status_lines
from edge.contract.days import DAY_MS, day_of
from edge.contract.messages import EventState
from tests.cloud.api.callers import BIG, JPEG, Caller, make_status, record
from tests.cloud.workorders.samples import MINUTE, NOW, flood

# What an installer, a worker, an operator and an admin are answered.
MATRIX = {
    "me": {"sun": 200, "li": 200, "chen": 200, "zhao": 200},
    "sites": {"sun": 200, "li": 200, "chen": 200, "zhao": 200},
    "devices": {"sun": 200, "li": 200, "chen": 200, "zhao": 200},
    "series": {"sun": 200, "li": 200, "chen": 200, "zhao": 200},
    "readings?gateway=gw-1&device=road-1&point=depth": {"sun": 200, "li": 200, "chen": 200, "zhao": 200},
    f"chart?gateway=gw-1&device=road-1&point=depth&from={NOW}&to={NOW + MINUTE}": {
        "sun": 200,
        "li": 200,
        "chen": 200,
        "zhao": 200,
    },
    "limits?gateway=gw-1&device=road-1": {"sun": 200, "li": 200, "chen": 200, "zhao": 200},
    "flag-reviews?gateway=gw-1&device=road-1&point=depth": {"sun": 200, "li": 200, "chen": 200, "zhao": 200},
    "gateways": {"sun": 200, "li": 403, "chen": 200, "zhao": 200},
    "gateways/gw-1": {"sun": 200, "li": 403, "chen": 200, "zhao": 200},
    "dead-letters": {"sun": 200, "li": 403, "chen": 200, "zhao": 200},
    "latest?gateway=gw-1&device=road-1": {"sun": 200, "li": 200, "chen": 200, "zhao": 200},
    "overview": {"sun": 403, "li": 200, "chen": 200, "zhao": 200},
    "alerts": {"sun": 403, "li": 200, "chen": 200, "zhao": 200},
    "events": {"sun": 403, "li": 200, "chen": 200, "zhao": 200},
    f"events/gw-1/{'a' * 32}": {"sun": 403, "li": 200, "chen": 200, "zhao": 200},
    "orders": {"sun": 403, "li": 200, "chen": 200, "zhao": 200},
    "orders/WO-000001": {"sun": 403, "li": 200, "chen": 200, "zhao": 200},
}


@pytest.mark.parametrize("path", MATRIX)
async def test_each_role_reaches_what_is_its_own(caller: Caller, path: str) -> None:
    """401 without a valid token, 403 for the wrong role, each with one sentence."""
    for login, status in {"nobody": 401, **MATRIX[path]}.items():
        answer = await caller.ask(login, path)
        assert answer.status_code == status, f"{login}: {answer.text}"
        if status != 200:
            assert list(answer.json()) == ["error"]
    assert (await caller.client.get(f"/api/v1/{path}")).status_code == 401


async def test_a_worker_sees_only_their_grids(caller: Caller, neighbourhood: Database) -> None:
    """What is in another grid is not there for a worker: neither in lists nor by its name."""
    of_wang = people_grids.c.login == "wang"
    neighbourhood.write_now(lambda c: c.execute(people_grids.update().where(of_wang).values(grid="heping-02")))
    assert (await caller.get("wang", "orders"))["orders"] == []
    assert await caller.get("wang", "alerts") == []
    assert await caller.get("wang", "events") == []
    assert [site["code"] for site in await caller.get("wang", "sites")] == ["river"]
    assert [device["id"] for device in await caller.get("wang", "devices")] == ["river-1"]
    assert {one["device"] for one in await caller.get("wang", "series")} == {"river-1"}
    overview = await caller.get("wang", "overview")
    assert (overview["orders"], overview["firing"]) == ({}, {})
    assert overview["gateways"] == {"online": 1, "offline": 0, "unknown": 0, "never_heard": 0}
    assert "dead_letters" not in overview
    neighbourhood.write_now(lambda c: c.execute(people_grids.delete().where(of_wang)))
    assert (await caller.get("wang", "overview"))["gateways"]["online"] == 0
    hidden = ("orders/WO-000001", "readings?gateway=gw-1&device=road-1&point=depth", f"events/gw-1/{'a' * 32}")
    for path in hidden:
        assert (await caller.ask("wang", path)).status_code == 404
    assert (await caller.move("wang", "acknowledged", 3)).status_code == 404


async def test_an_order_is_worked_to_its_end(caller: Caller) -> None:
    """Acknowledge, arrive, picture, done, verified by another, closed by an operator with a closing standard."""
    assert (await caller.move("li", "acknowledged", 3)).json()["next_states"] == ["on_site", "returned"]
    assert (await caller.move("li", "on_site", 4, latitude=30.1, longitude=120.2)).status_code == 200
    added = await caller.ask(
        "li",
        "orders/WO-000001/evidence?kind=after&note=水已退",
        method="POST",
        content=JPEG + b"2",
        headers={"Content-Type": "image/jpeg"},
    )
    assert added.status_code == 201
    assert (await caller.move("li", "done", 5, evidence=[added.json()["id"]])).status_code == 200
    forbidden = await caller.move("li", "verified", 6)
    assert forbidden.status_code == 403
    assert forbidden.json()["error"].startswith("li may not move this order from done to verified")
    assert (await caller.move("wang", "verified", 6)).status_code == 200
    assert (await caller.move("chen", "closed", 7)).json() == {
        "error": "from verified to closed needs: closing_standard"
    }
    order = await caller.get("chen", "orders/WO-000001")
    [standard] = order["closing_standards"]
    closed = (await caller.move("chen", "closed", 7, closing_standard=standard)).json()
    assert (closed["state"], closed["recovered"], closed["next_states"]) == ("closed", False, [])
    assert [step["target"] for step in closed["transitions"]][-3:] == ["done", "verified", "closed"]
    assert closed["events"][0]["readings"][0]["value"] == 182.5
    picture = await caller.ask("wang", f"blobs/{closed['evidence'][0]['sha256']}")
    assert (picture.content, picture.headers["content-type"]) == (JPEG + b"2", "image/jpeg")
    assert (await caller.ask("wang", f"blobs/{closed['pictures'][0]}")).content == JPEG
    assert (await caller.get("chen", "overview"))["orders"] == {"closed": 1}


@pytest.mark.parametrize(
    ("login", "to", "said", "status"),
    [
        ("li", "acknowledged", {"version": 2}, 409),
        ("li", "done", {"version": 3}, 409),
        ("wang", "acknowledged", {"version": 3}, 403),
        ("li", "returned", {"version": 3}, 422),
        ("li", "nowhere", {"version": 3}, 422),
        ("li", "acknowledged", {"version": 3, "extra": 1}, 422),
        ("li", "acknowledged", {"version": 3, "note": "x" * 1001}, 422),
        ("li", "acknowledged", {"version": 3, "note": "x" * 70_000}, 413),
    ],
)
async def test_a_step_that_cannot_be_taken(
    caller: Caller, login: str, to: str, said: dict[str, Any], status: int
) -> None:
    """Too old, not from here, not you, something missing, too much: each has its status and a sentence."""
    answer = await caller.ask(login, "orders/WO-000001/transitions", method="POST", json={"to": to, **said})
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert (await caller.get("chen", "orders/WO-000001"))["state"] == "dispatched"


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (JPEG, "image/png", 415),
        (b"GIF89a", "image/gif", 415),
        (b"", "image/jpeg", 415),
        (bytes(12 * 1024 * 1024 + 1), "image/jpeg", 413),
    ],
)
async def test_a_picture_that_is_none(caller: Caller, content: bytes, media_type: str, status: int) -> None:
    """What is no JPEG or PNG, or is too large, is refused and kept nowhere."""
    answer = await caller.ask(
        "li", "orders/WO-000001/evidence", method="POST", content=content, headers={"Content-Type": media_type}
    )
    assert answer.status_code == status, answer.text
    assert (await caller.get("li", "orders/WO-000001"))["evidence"] == []


async def test_a_picture_of_nobodys_order_is_not_shown(caller: Caller, neighbourhood: Database, tmp_path: Path) -> None:
    """A picture is seen with the order it belongs to, and not by its name alone."""
    other = neighbourhood.write_now(
        lambda c: keep_picture(c, JPEG + b"other", "image/jpeg", tmp_path / "blobs", now_ms=NOW)
    )
    assert (await caller.ask("zhao", f"blobs/{other}")).status_code == 404


async def test_readings_come_in_pages_with_their_types(caller: Caller) -> None:
    """Oldest first, every digit of an integer, missing as null with its flag."""
    base = "readings?gateway=gw-1&device=road-1&point=depth"
    first = await caller.get("chen", f"{base}&limit=3")
    assert [one["value"] for one in first["readings"]] == [0.0, 0.1, 0.2]
    rest = await caller.get("chen", f"{base}&limit=3&from={first['next_from']}")
    assert ([one["value"] for one in rest["readings"]], rest["next_from"]) == ([0.3, 0.4], None)
    volume = await caller.get("chen", "readings?gateway=gw-1&device=river-1&point=volume")
    assert volume["readings"][0]["value"] == BIG
    level = await caller.get("chen", "readings?gateway=gw-1&device=river-1&point=water_level")
    assert level["readings"] == [{"taken_at": NOW, "value": None, "flag": 9, "tests": 1, "review": None}]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "point: Field required"),
        ("&point=depth&limit=10001", "limit: Input should be less than"),
        ("&point=Depth%22", "point: String should match"),
        ("&point=depth&from=1700000000", "from: must be from .* to .*: this looks like seconds"),
        ("&point=depth&to=4102444800001", "to: must be from .* the years 2000 to 2100$"),
        ("&point=depth&limt=1", r'limt: no such parameter \(did you mean "limit"\?\)'),
    ],
)
async def test_bad_queries_are_refused(caller: Caller, query: str, sentence: str) -> None:
    """Bounds, names and parameters are checked before the store is asked."""
    answer = await caller.ask("chen", f"readings?gateway=gw-1&device=road-1{query}")
    assert answer.status_code == 422
    assert re.match(sentence, answer.json()["error"])


async def test_a_point_never_heard_is_not_an_empty_page(caller: Caller) -> None:
    """A time without readings is an empty page; a point without any is not there."""
    base = "readings?gateway=gw-1&device=road-1&point="
    assert (await caller.get("chen", f"{base}depth&to={NOW}"))["readings"] == []
    answer = await caller.ask("chen", f"{base}dept")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": 'point gw-1/road-1/dept: never heard (did you mean "depth"?)'},
    )


async def test_the_latest_readings_of_a_device(caller: Caller) -> None:
    """One reading a point, the newest, to those who may see the device."""
    latest = await caller.get("li", "latest?gateway=gw-1&device=road-1")
    assert latest == [{"point": "depth", "taken_at": NOW + 4000, "value": 0.4, "flag": 1, "tests": 0}]
    assert (await caller.ask("li", "latest?gateway=gw-9&device=road-1")).status_code == 404


async def test_what_is_nearly_right_is_told_what_it_lacks(caller: Caller) -> None:
    """A body that is no JSON, and a token without Bearer before it."""
    path, headers = "orders/WO-000001/transitions", {"Content-Type": "application/json"}
    answer = await caller.ask("li", path, method="POST", content=b'{"to": }', headers=headers)
    assert (answer.status_code, answer.json()["error"][:18]) == (422, "body is not JSON: ")
    answer = await caller.ask("li", "me", headers={"Authorization": caller.tokens["li"]})
    assert (answer.status_code, answer.json()["error"]) == (
        401,
        "Authorization must be: Bearer, a blank, and the token",
    )


async def test_a_gateway_shows_its_accounts(caller: Caller) -> None:
    """Status and ledger together say where the readings are."""
    gateway = await caller.get("sun", "gateways/gw-1")
    assert (gateway["online"], gateway["registered"], gateway["status"]["session"]) == (True, True, "aa")
    [account] = gateway["accounts"]
    assert (account["taken"], account["stored"], account["pending"]) == (7, 0, 7)
    assert (await caller.ask("sun", "gateways/gw-9")).status_code == 404


async def test_a_statement_is_of_a_day_that_has_begun(caller: Caller) -> None:
    """Of one that has not there is nothing to say yet, and that is said."""
    assert (await caller.get("sun", f"statements/gw-1/{day_of(NOW)}"))["gateway"] == "gw-1"
    answer = await caller.ask("sun", f"statements/gw-1/{day_of(NOW + DAY_MS)}")
    assert (answer.status_code, "has not begun" in answer.text) == (422, True)


async def test_silence_is_not_taken_for_life(caller: Caller, neighbourhood: Database) -> None:
    """An online gateway that said nothing for three intervals of its statuses is neither online nor offline."""
    earlier = NOW - 181_000
    neighbourhood.write_now(lambda c: c.execute(gateway_states.delete()))
    status = replace(make_status(), sent_at=earlier)
    neighbourhood.write_now(lambda c: take_status(c, status, retained=False, now_ms=earlier))
    assert (await caller.get("sun", "gateways/gw-1"))["online"] is None
    assert (await caller.get("chen", "overview"))["gateways"]["unknown"] == 1
    lines = neighbourhood.read_now(lambda c: status_lines(c, now_ms=NOW))
    assert lines[0].startswith("gw-1: unknown, last heard 0:03:01 ago, 2023-")
    slow = replace(status, interval_s=600.0)
    neighbourhood.write_now(lambda c: take_status(c, slow, retained=False, now_ms=earlier))
    assert (await caller.get("sun", "gateways/gw-1"))["online"] is True


async def test_lists_are_filtered_and_paged(caller: Caller, neighbourhood: Database) -> None:
    """By state, grid, mine and page; the newest order is first."""
    for number, letter in enumerate("bcd", 2):
        [event] = flood(EventState.CONFIRMED, event_id=letter * 32, began_at=NOW + number * MINUTE)
        record(neighbourhood, replace(event, device=f"road-{number}"))

    async def codes(login: str, query: str) -> list[str]:
        return [order["code"] for order in (await caller.get(login, f"orders?{query}"))["orders"]]

    assert await codes("chen", "") == ["WO-000004", "WO-000003", "WO-000002", "WO-000001"]
    page = await caller.get("chen", "orders?limit=3")
    assert page["next"] == "WO-000002"
    assert await codes("chen", f"before={page['next']}") == ["WO-000001"]
    assert await codes("chen", "state=closed") == []
    assert len(await codes("chen", "state=closed&state=dispatched&unfinished=true")) == 4
    assert await codes("chen", "grid=heping-02") == []
    mine = await codes("li", "mine=true")
    assert mine == ["WO-000003", "WO-000001"]
    assert len(await caller.get("chen", "alerts?state=firing&limit=2")) == 2
    assert await caller.get("chen", "alerts?state=resolved") == []
    assert len(await caller.get("chen", f"events?before={NOW + 3 * MINUTE}")) == 2
    assert (await caller.ask("chen", "orders?before=3")).status_code == 404


async def test_health_needs_no_token(caller: Caller) -> None:
    """The probe answers anyone."""
    assert (await caller.client.get("/healthz")).json() == {"status": "ok"}


async def test_every_path_is_described(caller: Caller) -> None:
    """The OpenAPI document has a summary for every operation and says how to sign in."""
    document = (await caller.client.get("/api/v1/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation["summary"] and operation["description"] for operation in operations)
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    statuses: dict[str, set[str]] = {
        path: {status for one in methods.values() for status in one["responses"]}
        for path, methods in document["paths"].items()
    }
    assert statuses["/healthz"] == {"200", "503"}
    assert statuses["/api/v1/me"] == {"200", "401", "422", "503"}
    assert statuses["/api/v1/events/{gateway}/{event_id}"] == {"200", "401", "403", "404", "422", "503"}
    assert {"409", "413", "415"} < statuses["/api/v1/orders/{code}/evidence"]


async def test_an_unknown_path_is_one_sentence_too(caller: Caller) -> None:
    """Errors of the framework have the same shape as ours."""
    for method, path, status in (("GET", "nothing", 404), ("DELETE", "orders", 405)):
        answer = await caller.ask("chen", path, method=method)
        assert (answer.status_code, list(answer.json())) == (status, ["error"])
