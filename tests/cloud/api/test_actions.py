"""Queued steps over the API: sent twice, done once, and what belongs together is asked for together."""

from typing import Any
from uuid import uuid4

import pytest

from cloud.workorders.case_codes import read_case_code
from tests.cloud.api.callers import Caller
from tests.cloud.workorders.samples import MINUTE, NOW

ACTION = str(uuid4())


async def send(caller: Caller, login: str, **body: Any) -> Any:
    return await caller.ask(login, "orders/WO-000001/transitions", method="POST", json=body)


async def test_a_queued_step_is_taken_once_and_says_so(caller: Caller) -> None:
    """The second time the answer is the order as it is, marked as repeated; the step tells when it was pressed."""
    step = {"to": "acknowledged", "seen_state": "dispatched", "action": ACTION, "pressed_at": NOW - 30 * MINUTE}
    first, second = (await send(caller, "li", **step)).json(), (await send(caller, "li", **step)).json()
    assert (first["repeated"], second["repeated"]) == (False, True)
    assert (first["version"], second["version"]) == (4, 4)
    assert second["transitions"][-1]["pressed_at"] == NOW - 30 * MINUTE
    assert second["transitions"][0]["pressed_at"] is None
    assert (await send(caller, "wang", **step)).status_code == 409


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({}, "body: give either version or, for a queued step, seen_state"),
        ({"version": 3, "seen_state": "dispatched"}, "body: give either version or, for a queued step, seen_state"),
        ({"seen_state": "dispatched"}, "body: seen_state is for queued steps: give the step's action too"),
        ({"version": 3, "action": "mine"}, "action: Input should be a valid UUID"),
        ({"version": 3, "pressed_at": NOW // 1000}, "pressed_at: must be from"),
        ({"version": 3, "pressed_at": NOW + 11 * MINUTE}, "pressed_at: more than 7 days ago or 10 minutes ahead"),
    ],
)
async def test_what_a_queued_step_must_say(caller: Caller, said: dict[str, Any], sentence: str) -> None:
    """Either a version or what was seen, a name with it, and a time that can be."""
    answer = await send(caller, "li", to="acknowledged", **said)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(sentence)


async def test_a_stale_queued_step_is_told(caller: Caller) -> None:
    """The order is not where the phone thought: 409, and the person looks."""
    answer = await send(caller, "li", to="done", seen_state="on_site", action=ACTION)
    assert answer.status_code == 409
    assert "look again" in answer.json()["error"]


async def test_the_case_code_is_for_those_who_see_the_order(caller: Caller) -> None:
    """It stands in the order as people write it, and nowhere for somebody who may not see that."""
    order = await caller.get("li", "orders/WO-000001")
    assert len(order["case_code"]) == 14
    assert read_case_code(order["case_code"]) is not None
    assert "case_code" not in (await caller.ask("sun", "orders/WO-000001")).text
