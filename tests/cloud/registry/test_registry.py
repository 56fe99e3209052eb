"""The registry: loaded from one file as a whole, asked by id."""

from pathlib import Path

import pytest
import yaml
from sqlalchemy import insert

from cloud.database import Database
from cloud.registry.load import PERSON, load_registry
from cloud.registry.person import Person, Role
from cloud.registry.registry import Registry, find_person, find_place, workers_of
from cloud.registry.registry_file import RegistryFile
from cloud.registry.tables import sites
from cloud.registry.tokens import DAY_MS, UnknownPersonError, find_bearer, issue_token, revoke_tokens
from edge.contract.config_file import ConfigError, load_yaml
from edge.contract.profile import config_folder
from tests.cloud.databases import everything

NEIGHBOURHOOD = Path(__file__).parent / "neighbourhood.yaml"
NOW = 1_700_000_000_000


def changes(database: Database, text: str, path: Path) -> list[str]:
    path.write_text(text, encoding="utf-8")
    registry = load_yaml(path, RegistryFile)
    return [str(change) for change in database.write_now(lambda connection: load_registry(connection, registry))]


def test_the_example_fits_the_example_of_a_gateway() -> None:
    """The example registry loads, and has every device and camera of the example gateway.yaml."""
    registry = load_yaml(config_folder() / "registries" / "heping.yaml", RegistryFile)
    gateway = yaml.safe_load((config_folder() / "gateways" / "river_street.yaml").read_text(encoding="utf-8"))
    (ours,) = registry.gateways
    assert ours.id == gateway["gateway"]
    assert {each.id for each in ours.devices} == {each["id"] for each in [*gateway["devices"], *gateway["cameras"]]}


def test_loading_twice_changes_nothing(neighbourhood: Database, tmp_path: Path) -> None:
    """The same file again changes no row."""
    assert changes(neighbourhood, NEIGHBOURHOOD.read_text(), tmp_path / "r.yaml") == []


def test_what_a_person_added_stays(neighbourhood: Database, tmp_path: Path) -> None:
    """A file that does not name what a person added leaves it active; one that names it makes it the file's."""
    added = {"code": "yard", "name": "院子", "grid": "heping-01", "address": "", "active": True, "origin": PERSON}
    neighbourhood.write_now(lambda c: c.execute(insert(sites).values(added)))
    text, path = NEIGHBOURHOOD.read_text(), tmp_path / "r.yaml"
    assert changes(neighbourhood, text, path) == []
    named = text.replace("sites:\n", "sites:\n  - {code: yard, name: 院子, grid: heping-01}\n")
    assert changes(neighbourhood, named, path) == ["site yard changed"]
    assert changes(neighbourhood, text, path) == ["site yard removed"]


def test_loading_says_what_changed(neighbourhood: Database, tmp_path: Path) -> None:
    """Added, changed, removed and brought back are told apart; what is removed keeps row and place."""
    text, path = NEIGHBOURHOOD.read_text(), tmp_path / "r.yaml"
    without_river = text.replace("      - {id: river-1, name: 水位计, site: river}\n", "")
    moved = without_river.replace("name: 王芳, roles: [worker], grids: [heping-01]", "name: 王芳, roles: [worker]")
    assert changes(neighbourhood, moved.replace("name: 和平路网关", "name: 新网关"), path) == [
        "gateway gw-1 changed",
        "device gw-1 river-1 removed",
        "grid of person wang heping-01 removed",
    ]
    place = neighbourhood.read_now(lambda c: find_place(c, "gw-1", "river-1"))
    assert place is not None
    assert (place.site, place.grid, place.device_name) == ("river", "heping-02", "水位计")
    assert changes(neighbourhood, text, path) == [
        "gateway gw-1 changed",
        "device gw-1 river-1 added",
        "grid of person wang heping-01 added",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("site: river}", "site: rivr}", r"r\.yaml:19: gateways\.0\.devices\.1\.site: unknown site rivr \(did you mean"),
        ("name: 清水河水位站, grid: heping-02", "name: 站, grid: heping-09", r"sites\.1\.grid: unknown grid heping-09"),
        ("code: river,", "code: tunnel,", r"r\.yaml:12: sites\.1: site tunnel is there twice"),
        ("login: zhao", "login: rules", r"people\.3\.login: rules is the name of the rules"),
        ("roles: [admin]", "roles: [boss]", r"people\.3\.roles\.0: \"boss\" is not one of installer, worker"),
        ("phone:", "telephone:", r"people\.0\.telephone: unknown key"),
    ],
)
def test_errors_name_line_key_and_reason(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A file that refers to nothing, repeats itself or misspells is refused with the place."""
    path = tmp_path / "r.yaml"
    path.write_text(NEIGHBOURHOOD.read_text().replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_yaml(path, RegistryFile)


def test_a_device_is_at_its_own_site_or_its_gateways(neighbourhood: Database) -> None:
    """An own site wins; a device that nobody registered is where its gateway is; a foreign gateway is nowhere."""
    devices = ("road-1", "river-1", "new-one")
    found = neighbourhood.read_now(lambda c: [find_place(c, "gw-1", device) for device in devices])
    assert [(place.site, place.grid) for place in found if place] == [
        ("tunnel", "heping-01"),
        ("river", "heping-02"),
        ("tunnel", "heping-01"),
    ]
    assert neighbourhood.read_now(lambda c: find_place(c, "gw-9", "road-1")) is None


def test_people_and_their_grids(neighbourhood: Database) -> None:
    """Only workers of the grid are its workers."""
    assert [person.login for person in neighbourhood.read_now(lambda c: workers_of(c, "heping-01"))] == ["li", "wang"]
    li = neighbourhood.read_now(lambda c: find_person(c, "li"))
    assert li is not None
    assert li == Person(
        login="li", name="李强", roles=frozenset({Role.WORKER}), grids=frozenset({"heping-01", "heping-02"})
    )


async def test_a_gateway_registered_later_becomes_known(
    neighbourhood: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept in memory is asked again when it is no longer fresh."""
    registry = Registry(neighbourhood)
    assert await registry.is_known("gw-1")
    assert not await registry.is_known("gw-2")
    changes(neighbourhood, NEIGHBOURHOOD.read_text().replace("id: gw-1", "id: gw-2"), tmp_path / "r.yaml")
    monkeypatch.setattr("cloud.registry.registry.FRESH_FOR_S", 0.0)
    assert await registry.is_known("gw-2")
    assert not await registry.is_known("gw-1")


def test_tokens_expire_and_are_revoked(neighbourhood: Database) -> None:
    """A token works from its issue until it expires or is revoked, and is nowhere in the database."""

    def bearer(token: str, now_ms: int) -> str | None:
        person = neighbourhood.read_now(lambda c: find_bearer(c, token, now_ms=now_ms))
        return person.login if person else None

    token = neighbourhood.write_now(lambda c: issue_token(c, "wang", now_ms=NOW, days=1))
    assert bearer(token, NOW) == "wang"
    assert bearer(token, NOW + DAY_MS) is None
    assert bearer(token + "x", NOW) is None
    assert bearer("x" * 10_000, NOW) is None
    assert neighbourhood.write_now(lambda c: revoke_tokens(c, "wang", now_ms=NOW)) == 1
    assert bearer(token, NOW) is None
    assert token not in repr(everything(neighbourhood))


def test_a_token_needs_a_person(neighbourhood: Database, tmp_path: Path) -> None:
    """Nobody gets a token for an unknown login, and a person who is removed loses theirs."""
    with pytest.raises(UnknownPersonError, match="person nobody: not in the registry"):
        neighbourhood.write_now(lambda c: issue_token(c, "nobody", now_ms=NOW, days=1))
    token = neighbourhood.write_now(lambda c: issue_token(c, "sun", now_ms=NOW, days=1))
    text = NEIGHBOURHOOD.read_text().replace("  - {login: sun, name: 孙工, roles: [installer]}\n", "")
    assert changes(neighbourhood, text, tmp_path / "r.yaml") == ["person sun removed"]
    assert neighbourhood.read_now(lambda c: find_bearer(c, token, now_ms=NOW)) is None
