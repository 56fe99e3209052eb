"""The neighbourhood of the demo: a map that can be drawn, and every site in its grid and on its feature."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from cloud.config import load_cloud_config
from cloud.registry.areas import grid_at, is_inside
from cloud.registry.registry_file import RegistryFile
from edge.contract.config_file import load_yaml
from edge.contract.profile import config_folder
from simulators.scenarios.heping import SPOTS, map_text
from simulators.scenarios.rainy_day import CAMERA, EAST, FLOODED_ROAD, SEATS, WEST
from simulators.scenarios.rainy_day_files import WORKER, Workspace

M_PER_DEGREE = 111_195.0
MOST_BYTES = 60_000
MAP: list[dict[str, Any]] = json.loads(map_text())["features"]

# What stands where, by the names of the map.
ON = {
    EAST: "和平新村一号楼",
    "road-r1": "和平路",
    "road-r2": "和平路",
    FLOODED_ROAD: "和平路",
    "river-1": "小清河",
    WEST: "安澜里二号楼",
    "road-r4": "安澜巷",
    "road-r5": "安澜巷",
    "underpass-u1": "安澜下穿通道",
    CAMERA: "安澜里垃圾房",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.create(tmp_path_factory.mktemp("heping"))


@pytest.fixture(scope="module")
def registry(workspace: Workspace) -> RegistryFile:
    return load_yaml(workspace.registry_file, RegistryFile)


def distance_m(longitude: float, latitude: float, line: list[list[float]]) -> float:
    """How far a position is from a line."""
    east = M_PER_DEGREE * math.cos(math.radians(latitude))
    corners = [((lon - longitude) * east, (lat - latitude) * M_PER_DEGREE) for lon, lat in line]
    return min(_from_here(a, b) for a, b in pairwise(corners))


def _from_here(a: tuple[float, float], b: tuple[float, float]) -> float:
    (ax, ay), (bx, by) = a, b
    along_x, along_y = bx - ax, by - ay
    share = -(ax * along_x + ay * along_y) / (along_x**2 + along_y**2)
    share = min(1.0, max(0.0, share))
    return math.hypot(ax + share * along_x, ay + share * along_y)


def is_on(feature: dict[str, Any], longitude: float, latitude: float) -> bool:
    """Whether a position is on a feature: within a polygon, or no farther from a line than half its width."""
    geometry = feature["geometry"]
    if geometry["type"] == "Polygon":
        return is_inside(geometry["coordinates"][0], longitude, latitude)
    half: float = feature["properties"]["width"] / 2
    return distance_m(longitude, latitude, geometry["coordinates"]) <= half


def areas_of(registry: RegistryFile) -> dict[str, list[list[float]]]:
    """The outlines of a registry's grids."""
    return {row["code"]: row["area"] for row in registry.rows()["grids"]}


def test_the_map_is_small_and_named() -> None:
    """Twelve streets and some fifty buildings, every feature with a kind and a Chinese name, in a small file."""
    assert len(map_text().encode()) < MOST_BYTES
    kinds = Counter(feature["properties"]["kind"] for feature in MAP)
    assert set(kinds) == {"road", "water", "building", "green", "rail"}
    assert 40 <= kinds["building"] <= 65
    names = {feature["properties"]["name"] for feature in MAP}
    assert len({name for name in names if name.endswith(("路", "街", "巷"))}) >= 12
    assert {"小清河", "安澜公园", "和平路小学教学楼", "和平路小学公交站", "和平路铁路桥", "安澜下穿通道"} <= names
    assert all("一" <= name[0] <= "龥" for name in names)


def test_the_map_is_sound() -> None:
    """Rings are closed and counter-clockwise, lines have a width, and all of it lies in one square kilometre."""
    for feature in MAP:
        geometry = feature["geometry"]
        (line,) = [geometry["coordinates"]] if geometry["type"] == "LineString" else geometry["coordinates"]
        assert all(120.163 < lon < 120.178 and 30.245 < lat < 30.256 for lon, lat in line)
        if geometry["type"] == "LineString":
            assert feature["properties"]["width"] > 0
        else:
            assert line[0] == line[-1]
            assert sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(line)) > 0


def test_houses_stand_beside_streets_and_each_other() -> None:
    """No building's corner lies in another building, in the river or on a street."""
    houses = [feature for feature in MAP if feature["properties"]["kind"] == "building"]
    others = houses + [each for each in MAP if each["properties"]["kind"] in ("road", "water")]
    for house in houses:
        for other in others:
            if other is not house:
                corners = house["geometry"]["coordinates"][0]
                assert not any(is_on(other, *corner) for corner in corners), (house, other)


def test_the_railway_bridge_is_over_the_flooded_road() -> None:
    """The low place of the demo lies under the bridge."""
    (bridge,) = [feature for feature in MAP if feature["properties"]["name"] == "和平路铁路桥"]
    (low,) = [spot for spot in SPOTS if spot.code == FLOODED_ROAD]
    assert is_on(bridge, low.longitude, low.latitude)


def test_every_site_lies_in_its_grid_and_on_its_feature(registry: RegistryFile) -> None:
    """Position, grid and what the map shows there agree, and each site has an address."""
    areas = areas_of(registry)
    assert {site.code for site in registry.sites} == set(ON)
    for site in registry.sites:
        assert site.latitude is not None
        assert site.longitude is not None
        assert site.address
        assert grid_at(areas, site.longitude, site.latitude) == site.grid
        there = {each["properties"]["name"] for each in MAP if is_on(each, site.longitude, site.latitude)}
        assert ON[site.code] in there


def test_every_device_on_the_street_has_its_own_site(registry: RegistryFile) -> None:
    """A worker is sent to the place itself; homes are where their gateway is."""
    own = {device.id: device.site for gateway in registry.gateways for device in gateway.devices}
    for seat in SEATS:
        assert own[seat.device] == (seat.device if seat.bus == "street" else None)
    assert own[CAMERA] == CAMERA


def test_the_flood_is_the_first_workers(registry: RegistryFile) -> None:
    """The flooded road lies in a grid of which 王芳 is the one worker."""
    (grid,) = [site.grid for site in registry.sites if site.code == FLOODED_ROAD]
    workers = [person for person in registry.people if grid in person.grids]
    assert [(person.login, person.name) for person in workers] == [("wang", "王芳")]
    assert WORKER.grid == grid


def test_the_example_registry_is_of_the_same_place() -> None:
    """Its sites lie in their grids as well, and on this map."""
    registry = load_yaml(config_folder() / "registries" / "heping.yaml", RegistryFile)
    areas = areas_of(registry)
    for site in registry.sites:
        assert site.latitude is not None
        assert site.longitude is not None
        assert grid_at(areas, site.longitude, site.latitude) == site.grid


def test_the_grids_cover_the_map_once(registry: RegistryFile) -> None:
    """Every house lies in one grid, and none in two."""
    areas = areas_of(registry)
    for feature in MAP:
        if feature["properties"]["kind"] == "building":
            corner = feature["geometry"]["coordinates"][0][0]
            assert sum(is_inside(area, *corner) for area in areas.values()) == 1, feature


def test_the_cloud_draws_the_map(workspace: Workspace) -> None:
    """The cloud takes the map's copy in the workspace, which is the whole map."""
    config = load_cloud_config(workspace.cloud_file)
    assert config.map.geojson == workspace.map_file
    assert workspace.map_file.read_text(encoding="utf-8") == map_text()
