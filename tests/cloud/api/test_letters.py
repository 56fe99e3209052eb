"""Dead letters over the API: operators take them after all or discard them, and nobody else."""

import pytest

from cloud.database import Database
from cloud.dead_letters import DeadLetter, keep, newest
from edge.contract.messages import topic
from tests.cloud.api.callers import Caller
from tests.cloud.batches import readings_of, sealed
from tests.cloud.workorders.samples import NOW


@pytest.fixture
def letters(neighbourhood: Database) -> Database:
    """A batch that could be stored now, and one that never can."""
    readings = [reading for reading in readings_of(1) if reading.point == "depth"]
    found = [
        DeadLetter(topic=topic("gw-1", "batch"), gateway="gw-1", reason="full", payload=payload)
        for payload in (sealed(1, readings), b"junk")
    ]
    neighbourhood.write_now(lambda c: keep(c, found, now_ms=NOW))
    return neighbourhood


async def test_an_operator_takes_a_letter_after_all(
    caller: Caller, letters: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered as it was and is gone; one that cannot be taken is answered with the reason and stays."""
    monkeypatch.setattr("cloud.arrivals.MAX_AHEAD_MS", 2**62)
    taken = await caller.ask("chen", "dead-letters/1/replay", method="POST")
    assert (taken.status_code, taken.json()["id"], taken.json()["is_whole"]) == (200, 1, True)
    refused = await caller.ask("zhao", "dead-letters/2/replay", method="POST")
    assert refused.status_code == 409
    assert "header" in refused.json()["error"]
    left = await caller.get("chen", "dead-letters")
    assert [(letter["id"], letter["reason"]) for letter in left] == [(2, refused.json()["error"])]
    assert (await caller.ask("chen", "dead-letters/1/replay", method="POST")).status_code == 404


async def test_an_operator_discards_a_letter(caller: Caller, letters: Database) -> None:
    """It is gone, and a second time it is not found."""
    answers = [await caller.ask("chen", "dead-letters/2", method="DELETE") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 404]
    assert [letter.id for letter in letters.read_now(lambda c: newest(c, limit=9))] == [1]


@pytest.mark.parametrize("login", ["sun", "li"])
@pytest.mark.parametrize(("method", "path"), [("POST", "dead-letters/2/replay"), ("DELETE", "dead-letters/2")])
async def test_nobody_else_does(caller: Caller, letters: Database, login: str, method: str, path: str) -> None:
    """An installer looks at letters, a worker does not; neither takes nor discards them."""
    assert (await caller.ask(login, path, method=method)).status_code == 403
    assert (await caller.ask("chen", f"{path.replace('2', str(2**63))}", method=method)).status_code == 422
    assert len(letters.read_now(lambda c: newest(c, limit=9))) == 2
