"""The registry's YAML file: one neighbourhood, written by hand or by another system, checked as a whole.

streets:
  - code: chengxi
    name: 城西街道
    communities:
      - code: heping
        name: 和平社区
        grids:
          - {code: heping-01, name: 和平社区第一网格}
sites:
  - {code: heping-tunnel, name: 和平路下穿通道, grid: heping-01, address: 和平路 18 号}
gateways:
  - id: gw-1
    name: 和平路网关
    site: heping-tunnel
    devices:
      - {id: road-1, name: 路面积水传感器}
people:
  - {login: wang, name: 王芳, roles: [worker], grids: [heping-01]}
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from cloud.registry.person import RULES, Role
from edge.contract.config_file import ConfigModel, Key, Misfit, nearest
from edge.contract.forms import PHONE, Id
from edge.contract.household import DeviceId

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), Field(description="As people call it.")]
Position = tuple[Annotated[float, Field(ge=-180, le=180)], Annotated[float, Field(ge=-90, le=90)]]
"""Longitude, latitude in degrees, WGS 84, in this order as in GeoJSON."""
Area = Annotated[tuple[Position, ...], Field(min_length=3, max_length=500)]
"""Corners of one outline, which closes by itself."""
Row = dict[str, Any]


class GridEntry(ConfigModel):
    """A responsibility area 网格."""

    code: Id = Field(description="Unique among grids.")
    name: Name
    area: Area | None = Field(default=None, description="Its outline on the map; what lies in it is found by position.")


class CommunityEntry(ConfigModel):
    """A community 社区 and its grids."""

    code: Id = Field(description="Unique among communities.")
    name: Name
    grids: tuple[GridEntry, ...] = Field(default=(), description="Responsibility areas 网格.")


class StreetEntry(ConfigModel):
    """A street office 街道 and its communities."""

    code: Id = Field(description="Unique among streets.")
    name: Name
    communities: tuple[CommunityEntry, ...] = Field(default=(), description="Communities 社区.")


class SiteEntry(ConfigModel):
    """A place that a worker can be sent to."""

    code: Id = Field(description="Unique among sites.")
    name: Name
    grid: Id = Field(description="Whose workers are sent there.")
    address: str = Field(default="", max_length=200, description="How to find it.")
    latitude: float | None = Field(default=None, ge=-90, le=90, description="Degrees.")
    longitude: float | None = Field(default=None, ge=-180, le=180, description="Degrees.")

    @model_validator(mode="after")
    def _whole_position(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise Misfit([((), "latitude and longitude belong together: give both or none")])
        return self


class DeviceEntry(ConfigModel):
    """A device behind a gateway; without a site of its own it is where its gateway is."""

    id: DeviceId = Field(description="As in gateway.yaml: the id of a device or camera.")
    name: Name
    site: Id | None = Field(default=None, description="Where it is; default: where its gateway is.")


class GatewayEntry(ConfigModel):
    """Our box on site and the devices that it reads."""

    id: Id = Field(description="As in gateway.yaml.")
    name: Name
    site: Id = Field(description="Where it is.")
    devices: tuple[DeviceEntry, ...] = Field(default=(), description="What it reads and its cameras.")


class PersonEntry(ConfigModel):
    """Someone who signs in; `grids` are those a worker is responsible for."""

    login: Id = Field(description="Unique among people; tokens are made for it.")
    name: Name
    roles: tuple[Role, ...] = Field(min_length=1, description="What the person may do.")
    grids: tuple[Id, ...] = Field(default=(), description="Grids that a worker is responsible for.")
    phone: Annotated[str, PHONE] | None = Field(default=None, description="In quotes.")


class RegistryFile(ConfigModel):
    """Everything that is registered; what is not here becomes inactive."""

    streets: tuple[StreetEntry, ...] = Field(description="Street offices 街道.")
    sites: tuple[SiteEntry, ...] = Field(description="Places that a worker can be sent to.")
    gateways: tuple[GatewayEntry, ...] = Field(default=(), description="Gateways and what is behind them.")
    people: tuple[PersonEntry, ...] = Field(default=(), description="Who signs in.")

    @model_validator(mode="after")
    def _refer_to_what_is_there(self) -> Self:
        grids = {grid.code for _, _, grid in self._grids()}
        sites = {site.code for site in self.sites}
        problems = [
            *_repeated(((("streets", i), street.code) for i, street in enumerate(self.streets)), "street"),
            *_repeated(((key[:4], community.code) for key, community in self._communities()), "community"),
            *_repeated(((key, grid.code) for key, _, grid in self._grids()), "grid"),
            *_repeated(((("sites", i), site.code) for i, site in enumerate(self.sites)), "site"),
            *_repeated(((("gateways", i), gateway.id) for i, gateway in enumerate(self.gateways)), "gateway"),
            *_repeated(((("people", i), person.login) for i, person in enumerate(self.people)), "person"),
            *_unknown(((("sites", i, "grid"), site.grid) for i, site in enumerate(self.sites)), grids, "grid"),
            *_unknown(self._sites_named(), sites, "site"),
            *_unknown(self._grids_named(), grids, "grid"),
        ]
        for i, gateway in enumerate(self.gateways):
            ids = ((("gateways", i, "devices", j), device.id) for j, device in enumerate(gateway.devices))
            problems += _repeated(ids, "device")
        problems += [
            (("people", i, "login"), f"{RULES.login} is the name of the rules: choose another")
            for i, person in enumerate(self.people)
            if person.login == RULES.login
        ]
        if problems:
            raise Misfit(problems)
        return self

    def rows(self) -> dict[str, list[Row]]:
        """Return the rows of every registry table, tables that others refer to first."""
        return {
            "streets": [{"code": street.code, "name": street.name} for street in self.streets],
            "communities": [
                {"code": community.code, "name": community.name, "street": street.code}
                for street in self.streets
                for community in street.communities
            ],
            "grids": [
                {"code": grid.code, "name": grid.name, "community": community.code, "area": _corners(grid.area)}
                for _, community, grid in self._grids()
            ],
            "sites": [site.model_dump() for site in self.sites],
            "gateways": [gateway.model_dump(exclude={"devices"}) for gateway in self.gateways],
            "devices": [
                {"gateway": gateway.id, **device.model_dump()}
                for gateway in self.gateways
                for device in gateway.devices
            ],
            "people": [
                {"login": p.login, "name": p.name, "roles": sorted(set(p.roles)), "phone": p.phone} for p in self.people
            ],
            "people_grids": [
                {"login": person.login, "grid": grid} for person in self.people for grid in sorted(set(person.grids))
            ],
        }

    def _communities(self) -> Iterator[tuple[Key, CommunityEntry]]:
        for i, street in enumerate(self.streets):
            for j, community in enumerate(street.communities):
                yield ("streets", i, "communities", j), community

    def _grids(self) -> Iterator[tuple[Key, CommunityEntry, GridEntry]]:
        for key, community in self._communities():
            for k, grid in enumerate(community.grids):
                yield (*key, "grids", k), community, grid

    def _sites_named(self) -> Iterator[tuple[Key, str]]:
        for i, gateway in enumerate(self.gateways):
            yield ("gateways", i, "site"), gateway.site
            for j, device in enumerate(gateway.devices):
                if device.site is not None:
                    yield ("gateways", i, "devices", j, "site"), device.site

    def _grids_named(self) -> Iterator[tuple[Key, str]]:
        for i, person in enumerate(self.people):
            for j, grid in enumerate(person.grids):
                yield ("people", i, "grids", j), grid


def _corners(area: Area | None) -> list[list[float]] | None:
    return [list(corner) for corner in area] if area is not None else None


def _repeated(codes: Iterable[tuple[Key, str]], what: str) -> list[tuple[Key, str]]:
    seen: set[str] = set()
    problems = []
    for key, code in codes:
        if code in seen:
            problems.append((key, f"{what} {code} is there twice"))
        seen.add(code)
    return problems


def _unknown(named: Iterable[tuple[Key, str]], known: set[str], what: str) -> list[tuple[Key, str]]:
    return [(key, f"unknown {what} {code}{nearest(code, known)}") for key, code in named if code not in known]
