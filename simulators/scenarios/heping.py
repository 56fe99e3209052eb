"""Where the rainy day takes place: two grids of a made-up community on a map of our own, and the sites in them.

The streets, grids and their areas are those of the example registry; the map is `heping.geojson` beside this file.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final, NamedTuple

import yaml

from simulators.scenarios.rainy_day import CAMERA, EAST, FLOODED_ROAD, WEST

GRIDS: Final = {EAST: "heping-01", WEST: "heping-02"}
"""A gateway's grid is also that of the sites around it."""

GATEWAY_NAMES: Final = {EAST: "和平新村网关", WEST: "安澜里网关"}


class Spot(NamedTuple):
    """A site as the registry has it; position in degrees, WGS 84."""

    code: str
    name: str
    grid: str
    address: str
    latitude: float
    longitude: float


def _east(code: str, name: str, address: str, position: tuple[float, float]) -> Spot:
    return Spot(code, name, GRIDS[EAST], address, *position)


def _west(code: str, name: str, address: str, position: tuple[float, float]) -> Spot:
    return Spot(code, name, GRIDS[WEST], address, *position)


SPOTS: Final = (
    _east(EAST, "和平新村一号楼配电间", "和平路 26 号和平新村一号楼", (30.249681, 120.17061)),
    _east("road-r1", "和平路北口", "和平路与清河北街路口南侧", (30.252849, 120.170389)),
    _east("road-r2", "和平路小学门前", "和平路 18 号门前", (30.25047, 120.170015)),
    _east(FLOODED_ROAD, "和平路铁路桥下", "和平路铁路桥下，铁北巷口以南 40 米", (30.248202, 120.169824)),
    _east("river-1", "小清河和平桥", "和平路和平桥东侧栏杆", (30.252256, 120.170326)),
    _west(WEST, "安澜里二号楼配电间", "安澜巷 12 号安澜里二号楼", (30.249968, 120.168762)),
    _west("road-r4", "安澜巷东口", "安澜巷与和平路路口西侧", (30.249621, 120.16964)),
    _west("road-r5", "安澜巷菜场", "安澜巷 20 号菜场门前", (30.249738, 120.168212)),
    _west("underpass-u1", "安澜下穿通道", "安澜路铁路桥下", (30.248515, 120.167091)),
    _west(CAMERA, "安澜里垃圾房", "安澜巷 15 号", (30.249582, 120.168716)),
)
"""Every site; its code is the device's that stands there, or the gateway's whose box it is."""


def map_text() -> str:
    """The map as GeoJSON: roads, water, buildings, green and rail."""
    return files("simulators.scenarios").joinpath("heping.geojson").read_text(encoding="utf-8")


def streets() -> list[dict[str, Any]]:
    """The street, its community and grids with their areas, as the registry file has them."""
    example = files("firmware_configs").joinpath("registries/heping.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(example)["streets"]
    return found
