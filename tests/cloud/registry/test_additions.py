"""What people add on a page: held to the rules of the file, told at the fields, kept when a file is loaded."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from cloud.database import Database
from cloud.dead_letters import DeadLetter, keep, newest, unregistered
from cloud.registry.additions import add_gateway, add_site, change_gateway, free_gateway_id
from cloud.registry.forms import Form, FormError
from cloud.registry.load import PERSON, load_registry
from cloud.registry.registry import find_place, known_gateways
from cloud.registry.registry_file import RegistryFile
from cloud.registry.tables import devices, gateways, grids, sites
from edge.contract.config_file import load_yaml
from edge.contract.forms import ID

NEIGHBOURHOOD = Path(__file__).parent / "neighbourhood.yaml"
SQUARE = [[120.0, 30.0], [120.1, 30.0], [120.1, 30.1], [120.0, 30.1]]
TAKEN = "gateway: there is already a gateway gw-1"
YARD = {"name": "院子", "address": "和平路 20 号", "grid": "heping-02"}
GATEWAY = {
    "gateway": "gw-2",
    "name": "院子网关",
    "site": "tunnel",
    "devices.0.id": "road-7",
    "devices.0.name": "院门积水传感器",
    "devices.0.profile": "moxa_e1242_depth",  # gateway.yaml's, not the registry's
    "devices.3.id": "river-2",
    "devices.3.name": "水位计",
    "devices.3.site": "river",
    "cameras.0.id": "cam-1",
    "cameras.0.name": "垃圾房摄像机",
}


def faults(database: Database, add: object, form: Form) -> list[str]:
    """What an addition is refused for, as `field: sentence`; nothing may have been written."""
    assert callable(add)
    with pytest.raises(FormError) as caught:
        database.write_now(lambda connection: add(connection, form))
    assert all(fault.zh != fault.en for fault in caught.value.faults)
    return str(caught.value).splitlines()


def gateway_form(connection: Connection, gateway: str) -> dict[str, str]:
    """Return the form of an active gateway as it is registered now; empty for an unknown one."""
    row = connection.execute(select(gateways).where(gateways.c.id == gateway, gateways.c.active)).one_or_none()
    if row is None:
        return {}
    form = {"gateway": row.id, "name": row.name, "site": row.site}
    own = select(devices).where(devices.c.gateway == gateway, devices.c.active, devices.c.id != "gateway")
    for index, device in enumerate(connection.execute(own.order_by(devices.c.id))):
        given = {"id": device.id, "name": device.name, "site": device.site or ""}
        form |= {f"devices.{index}.{part}": text for part, text in given.items()}
    return form


@pytest.fixture
def drawn(neighbourhood: Database) -> Database:
    """The neighbourhood with an area for its second grid."""
    second = update(grids).where(grids.c.code == "heping-02").values(area=SQUARE)
    neighbourhood.write_now(lambda connection: connection.execute(second))
    return neighbourhood


def test_a_site_is_found_its_grid_by_position(drawn: Database) -> None:
    """A position in a grid's area is enough; codes are made of the grid's, one after the other."""
    form = {"name": " 院子 ", "latitude": "30.05", "longitude": "120.05"}
    assert [drawn.write_now(lambda c: add_site(c, form)) for _ in range(2)] == ["heping-02-1", "heping-02-2"]
    row = drawn.read_now(lambda c: c.execute(select(sites).where(sites.c.code == "heping-02-2")).one())
    assert row[:8] == ("heping-02-2", "院子", "heping-02", "", 30.05, 120.05, True, PERSON)


def test_a_chosen_grid_needs_no_position(drawn: Database) -> None:
    """What a person chooses holds, also where the position lies in another grid's area."""
    inside = {"latitude": "30.05", "longitude": "120.05"}
    assert drawn.write_now(lambda c: add_site(c, YARD)) == "heping-02-1"
    assert drawn.write_now(lambda c: add_site(c, {**YARD, **inside, "grid": "heping-01"})) == "heping-01-1"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"name": "院子"}, ["grid: choose a grid, or a position that lies in the area of one"]),
        (
            {"latitude": "31", "longitude": "120.05"},
            ["grid: choose a grid, or a position that lies in the area of one", "name: missing"],
        ),
        ({**YARD, "grid": "heping-3"}, ['grid: unknown grid heping-3 (did you mean "heping-02"?)']),
        ({**YARD, "latitude": "30"}, [": latitude and longitude belong together: give both or none"]),
        (
            {**YARD, "latitude": "91", "longitude": "hier"},
            [
                "latitude: should be less than or equal to 90, found 91",
                'longitude: expected a number, found "hier"',
            ],
        ),
        ({**YARD, "address": "x" * 201}, [f'address: should have at most 200 characters, found "{"x" * 201}"']),
    ],
)
def test_a_site_is_refused_at_its_fields(drawn: Database, form: Form, expected: list[str]) -> None:
    """Every fault at once, each with its field and its sentence; nothing is added."""
    before = drawn.read_now(lambda c: c.scalars(select(sites.c.code)).all())
    assert faults(drawn, add_site, form) == expected
    assert drawn.read_now(lambda c: c.scalars(select(sites.c.code)).all()) == before


def test_a_gateway_comes_with_its_devices(neighbourhood: Database) -> None:
    """Devices, cameras and the gateway itself are registered at their sites, and what waited for it is forgotten."""
    letter = DeadLetter(topic="anlan/v1/gw-2/batch", gateway="gw-2", reason=unregistered("gw-2"), payload=b"x")
    neighbourhood.write_now(lambda c: keep(c, [letter], now_ms=1))
    neighbourhood.write_now(lambda c: add_gateway(c, GATEWAY))
    own = select(devices.c.id, devices.c.name, devices.c.site).where(devices.c.gateway == "gw-2").order_by(devices.c.id)
    assert neighbourhood.read_now(lambda c: [tuple(row) for row in c.execute(own)]) == [
        ("cam-1", "垃圾房摄像机", None),
        ("gateway", "网关本机", None),
        ("river-2", "水位计", "river"),
        ("road-7", "院门积水传感器", None),
    ]
    place = neighbourhood.read_now(lambda c: find_place(c, "gw-2", "road-7"))
    assert place is not None
    assert (place.site, place.device_name) == ("tunnel", "院门积水传感器")
    assert "gw-2" in neighbourhood.read_now(known_gateways)
    assert neighbourhood.read_now(lambda c: newest(c, limit=9)) == []


def test_what_was_added_survives_the_file(neighbourhood: Database) -> None:
    """Loading the registry file again leaves added sites, gateways and devices as they are."""
    code = neighbourhood.write_now(lambda c: add_site(c, YARD))
    neighbourhood.write_now(lambda c: add_gateway(c, {**GATEWAY, "site": code}))
    registry = load_yaml(NEIGHBOURHOOD, RegistryFile)
    assert neighbourhood.write_now(lambda c: load_registry(c, registry)) == []
    assert neighbourhood.read_now(lambda c: gateway_form(c, "gw-2"))["site"] == code


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"gateway": "gw-1"}, [TAKEN]),
        ({"site": "yard", "gateway": "gw-1"}, [TAKEN, "site: unknown site yard"]),
        ({"devices.3.site": "rivr"}, ['devices.3.site: unknown site rivr (did you mean "river"?)']),
        (
            {"devices.3.id": "road-7", "cameras.0.id": "road-7"},
            ["cameras.0.id: device road-7 is there twice", "devices.3.id: device road-7 is there twice"],
        ),
        (
            {"gateway": "GW 2", "name": "", "devices.3.name": " "},
            ["devices.3.name: missing", f'gateway: expected {ID.words}, found "GW 2"', "name: missing"],
        ),
    ],
)
def test_a_gateway_is_refused_at_its_fields(
    neighbourhood: Database, changed: dict[str, str], expected: list[str]
) -> None:
    """Faults are told at the form's own rows, which may have gaps; nothing is added."""
    assert faults(neighbourhood, add_gateway, {**GATEWAY, **changed}) == expected
    assert neighbourhood.read_now(lambda c: c.scalars(select(gateways.c.id)).all()) == ["gw-1"]


def test_a_gateway_that_was_removed_is_not_taken_over(neighbourhood: Database) -> None:
    """An id with a history of its own cannot be given to another gateway on a page."""
    neighbourhood.write_now(lambda c: c.execute(update(gateways).values(active=False)))
    assert faults(neighbourhood, add_gateway, {**GATEWAY, "gateway": "gw-1"}) == [
        "gateway: gateway gw-1 was registered before and its history is kept: choose another id, or name it in the file"
    ]
    assert neighbourhood.read_now(free_gateway_id) == "gw-2"


def test_an_added_gateway_can_be_changed(neighbourhood: Database) -> None:
    """Its form comes back as registered; devices that are taken out become inactive and can be brought back."""
    neighbourhood.write_now(lambda c: add_gateway(c, GATEWAY))
    form = neighbourhood.read_now(lambda c: gateway_form(c, "gw-2"))
    assert form["devices.0.id"] == "cam-1"
    assert "网关本机" not in form.values()
    moved = {"gateway": "gw-2", "name": "河边网关", "site": "river", "devices.0.id": "road-7", "devices.0.name": "路"}
    neighbourhood.write_now(lambda c: change_gateway(c, moved))
    assert neighbourhood.read_now(lambda c: gateway_form(c, "gw-2")) == {**moved, "devices.0.site": ""}
    place = neighbourhood.read_now(lambda c: find_place(c, "gw-2", "river-2"))
    assert place is not None  # its history keeps its place
    neighbourhood.write_now(lambda c: change_gateway(c, form))
    assert neighbourhood.read_now(lambda c: gateway_form(c, "gw-2")) == form


def test_a_gateway_of_the_file_is_changed_there(neighbourhood: Database) -> None:
    """A page changes only what a page has added."""
    form = neighbourhood.read_now(lambda c: gateway_form(c, "gw-1"))
    said = ["gateway: gw-1 was not added on a page: change the registry file"]
    assert faults(neighbourhood, change_gateway, {**form, "name": "x"}) == said
    assert neighbourhood.read_now(lambda c: gateway_form(c, "gw-1")) == form
    assert neighbourhood.read_now(lambda c: gateway_form(c, "gw-9")) == {}
