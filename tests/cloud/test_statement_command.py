"""`cloud statement` as a person types it: what it says, and with which code it ends."""

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from cloud.database import Database
from cloud.ledger import ledger
from edge.contract.days import DAY_MS
from tests.cloud.statements import DAY, NOON, Books
from tests.cloud.test_cli import Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    """A cloud that has lived through a bad day, which is closed."""
    found = Cloud(tmp_path)
    found.init()
    with Database.at(tmp_path / "data" / "cloud.db") as database:
        books = Books(database)
        books.live_through_a_bad_day()
        books.close(at=NOON + DAY_MS)
    return found


async def test_a_statement_is_said_in_words_and_as_json(cloud: Cloud) -> None:
    """One gateway in full, a line for each without one; what is no gateway or no day is said."""
    code, said = await cloud.do("statement", "--gateway", "gw-1", "--day", DAY)
    assert (code, "17,280 taken" in said, "its disk was full" in said) == (0, True, True)
    code, said = await cloud.do("statement", "--day", DAY, "--json")
    assert (code, json.loads(said)["figures"]["stored"]) == (0, 13_900)
    assert await cloud.do("statement", "--gateway", "gw-7") == (1, "gateway gw-7: neither registered nor ever heard\n")
    code, said = await cloud.do("statement", "--day", "2026-11-31")
    assert (code, "2026-11-31 is not a day" in said) == (2, True)
    assert await cloud.do("statement", "--day", "2126-11-26") == (2, "2126-11-26 has not begun (UTC+8)\n")


async def test_a_change_is_found_and_ends_with_1(cloud: Cloud) -> None:
    """The chain verifies, and does not once a row was changed; kept heads are compared too."""
    code, said = await cloud.do("statement", "--heads")
    kept = cloud.folder / "heads.json"
    kept.write_text(said.replace(json.loads(said)[0]["hash"], "0" * 64), encoding="utf-8")
    code, said = await cloud.do("statement", "--verify")
    assert (code, said.startswith("1 closed day with 142 rows: nothing was changed")) == (0, True), said
    code, said = await cloud.do("statement", "--verify", "--against", str(kept))
    assert (code, "but the kept heads have 0000" in said) == (1, True), said
    with Database.at(cloud.folder / "data" / "cloud.db") as database:
        database.write_now(lambda c: c.execute(update(ledger).where(ledger.c.seq == 50).values(readings=1)))
    code, said = await cloud.do("statement", "--verify", "--since", DAY)
    assert (code, said.startswith("CHANGED: "), f"first {DAY}" in said) == (1, True, True)
    assert await cloud.do("statement", "--since", DAY) == (2, "--since and --against belong to --verify\n")
