"""People who are added on the command line."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from cloud.database import Database
from cloud.registry.load import load_registry
from cloud.registry.people import PersonError, add_person, remove_person
from cloud.registry.person import Role
from cloud.registry.registry import find_person
from cloud.registry.registry_file import RegistryFile
from cloud.registry.sign_in import find_password, find_session, make_link, open_session, set_password, whose_link
from cloud.registry.tables import people
from cloud.registry.tokens import find_bearer, issue_token
from edge.contract.config_file import load_yaml
from tests.cloud.databases import NEIGHBOURHOOD

NOW = 1_700_000_000_000
NEW: dict[str, Any] = {"login": "zhou", "name": "周杰", "roles": [Role.WORKER], "working_in": ["heping-01"]}


def add(database: Database, **changed: Any) -> None:
    database.write_now(lambda connection: add_person(connection, **{**NEW, **changed}))


def test_a_person_is_added_and_changed(neighbourhood: Database) -> None:
    """Adding again brings name, roles and grids to what is said now."""
    add(neighbourhood)
    person = neighbourhood.read_now(lambda c: find_person(c, "zhou"))
    assert person is not None
    assert (person.name, set(person.roles), set(person.grids)) == ("周杰", {Role.WORKER}, {"heping-01"})
    add(neighbourhood, working_in=["heping-02"], name="周洁")
    person = neighbourhood.read_now(lambda c: find_person(c, "zhou"))
    assert person is not None
    assert (person.name, set(person.grids)) == ("周洁", {"heping-02"})


def test_loading_the_registry_keeps_who_was_added(neighbourhood: Database) -> None:
    """A file that does not name them leaves them and their grids as they are."""
    add(neighbourhood)
    registry = load_yaml(NEIGHBOURHOOD, RegistryFile)
    assert neighbourhood.write_now(lambda c: load_registry(c, registry)) == []
    person = neighbourhood.read_now(lambda c: find_person(c, "zhou"))
    assert person is not None
    assert person.grids == {"heping-01"}


def test_who_gets_a_login_that_was_another_s_gets_nothing_else(neighbourhood: Database) -> None:
    """Of somebody who was removed no session, token, link or password opens anything when the login is there again."""
    add(neighbourhood)
    token = neighbourhood.write_now(lambda c: issue_token(c, "zhou", now_ms=0, days=1))
    secret = neighbourhood.write_now(lambda c: open_session(c, "zhou", agent="", now_ms=0))
    code = neighbourhood.write_now(lambda c: make_link(c, "zhou", now_ms=0))
    neighbourhood.write_now(lambda c: set_password(c, "zhou", "hash", now_ms=0))
    add(neighbourhood)
    assert neighbourhood.read_now(lambda c: find_session(c, secret, now_ms=1)) is not None
    neighbourhood.write_now(lambda c: c.execute(update(people).where(people.c.login == "zhou").values(active=False)))
    add(neighbourhood, name="周迅")
    assert neighbourhood.read_now(lambda c: find_bearer(c, token, now_ms=1)) is None
    assert neighbourhood.read_now(lambda c: find_session(c, secret, now_ms=1)) is None
    assert neighbourhood.read_now(lambda c: whose_link(c, code, now_ms=1)) is None
    assert neighbourhood.read_now(lambda c: find_password(c, "zhou")) is None


def test_a_person_is_removed(neighbourhood: Database) -> None:
    """They cannot come in any more by anything they had; people of the file are taken out there."""
    add(neighbourhood)
    token = neighbourhood.write_now(lambda c: issue_token(c, "zhou", now_ms=NOW, days=1))
    neighbourhood.write_now(lambda c: remove_person(c, "zhou"))
    assert neighbourhood.read_now(lambda c: find_person(c, "zhou")) is None
    add(neighbourhood)
    assert neighbourhood.read_now(lambda c: find_bearer(c, token, now_ms=NOW)) is None
    for login, reason in {"nobody": "not in the registry", "wang": "named by the registry file"}.items():
        with pytest.raises(PersonError, match=reason):
            neighbourhood.write_now(partial(remove_person, login=login))


def test_who_is_taken_out_of_the_file_comes_back_as_another(neighbourhood: Database, tmp_path: Path) -> None:
    """A login that the file gives to somebody again opens nothing with what was made for who had it before."""
    token = neighbourhood.write_now(lambda c: issue_token(c, "wang", now_ms=NOW, days=1))
    text = NEIGHBOURHOOD.read_text(encoding="utf-8")
    without = "".join(line for line in text.splitlines(keepends=True) if "login: wang" not in line)
    for each in (without, text):
        file = tmp_path / "registry.yaml"
        file.write_text(each, encoding="utf-8")
        registry = load_yaml(file, RegistryFile)
        neighbourhood.write_now(partial(load_registry, registry=registry))
    assert neighbourhood.read_now(lambda c: find_person(c, "wang")) is not None
    assert neighbourhood.read_now(lambda c: find_bearer(c, token, now_ms=NOW)) is None


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"login": "Zhou"}, "login Zhou: small letters"),
        ({"login": "rules"}, "login rules: "),
        ({"name": " "}, "name: "),
        ({"roles": []}, "role: give at least one of installer, "),
        ({"working_in": []}, "grid: a worker works in at least one"),
        ({"working_in": ["heping-1"]}, 'grid heping-1: not in the registry (did you mean "heping-01"?)'),
        ({"login": "wang"}, "person wang: named by the registry file"),
    ],
)
def test_what_cannot_be_is_said(neighbourhood: Database, wrong: dict[str, Any], reason: str) -> None:
    """Each fault in one sentence; nothing is written."""
    with pytest.raises(PersonError) as error:
        add(neighbourhood, **wrong)
    assert str(error.value).startswith(reason)
    assert neighbourhood.read_now(lambda c: find_person(c, "zhou")) is None
