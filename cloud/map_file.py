"""The ground of the map: a GeoJSON file of roads, water and buildings, checked and brought to what a browser draws.

Features have `kind` (one of KINDS) and `name`, roads also `width_m`, their width in metres. What cannot be drawn
(points, other kinds, other properties) is left out, so that an export with more in it can be used as it is.
"""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

KINDS = ("green", "water", "building", "road", "rail")
"""What is drawn, lowest first; railways cross roads on bridges."""
MAX_BYTES = 8 * 1024 * 1024
MAX_CORNERS = 300_000
MAX_NAME = 100
MAX_WIDTH_M = 100.0
DEPTHS: Mapping[str, int] = {"LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""In how many lists the corners of a geometry lie."""
DECIMALS = 6  # of a degree: 11 cm


class Ground(Struct, frozen=True):
    """What browsers are given: GeoJSON of what can be drawn, and a hash that names it."""

    content: bytes
    hash: str
    features: int


NOTHING = Ground(b'{"type":"FeatureCollection","features":[]}', "none", 0)


@cache
def load_ground(path: Path) -> Ground:
    """Read and check the file, once. Raises ValueError with one sentence."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MiB: cut out the neighbourhood")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    return _checked(path, data)


def _checked(path: Path, data: bytes) -> Ground:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    features = [drawn for feature in _features_of(document) if (drawn := _drawn(feature)) is not None]
    if not features:
        raise ValueError(
            f"{path} is no GeoJSON with something to draw: features need a kind ({', '.join(KINDS)}), lines or polygons"
        )
    features.sort(key=lambda feature: KINDS.index(feature["properties"]["kind"]))
    if sum(_corners(feature["geometry"]["coordinates"]) for feature in features) > MAX_CORNERS:
        raise ValueError(f"{path} has more than {MAX_CORNERS} corners: simplify its lines")
    content = msgspec.json.encode({"type": "FeatureCollection", "features": features})
    return Ground(content, sha256(content).hexdigest()[:16], len(features))


def _features_of(document: Any) -> list[Any]:
    match document:
        case {"features": list(features)}:
            return features
    return []


def _drawn(feature: Any) -> dict[str, Any] | None:
    match feature:
        case {"geometry": {"type": str(shape), "coordinates": coordinates}, "properties": {"kind": kind, **rest}}:
            if kind not in KINDS or shape not in DEPTHS:
                return None
            corners = _rounded(coordinates, DEPTHS[shape])
            if corners is None:
                return None
            geometry = {"type": shape, "coordinates": corners}
            return {"type": "Feature", "geometry": geometry, "properties": {"kind": kind, **dict(_kept(rest))}}
    return None


def _kept(properties: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    name, width = properties.get("name"), properties.get("width_m")
    if isinstance(name, str) and name.strip():
        yield "name", name.strip()[:MAX_NAME]
    if isinstance(width, int | float) and 0 < width <= MAX_WIDTH_M:
        yield "width_m", width


def _rounded(coordinates: Any, depth: int) -> list[Any] | None:
    """The corners as [longitude, latitude], without height; None when they are no such thing."""
    if depth:
        below = [_rounded(each, depth - 1) for each in coordinates] if isinstance(coordinates, list) else []
        return below if below and None not in below else None
    match coordinates:
        case [int() | float() as longitude, int() | float() as latitude, *_] if _is_position(longitude, latitude):
            return [round(longitude, DECIMALS), round(latitude, DECIMALS)]
    return None


def _is_position(longitude: float, latitude: float) -> bool:
    return math.isfinite(longitude) and math.isfinite(latitude) and abs(longitude) <= 180 and abs(latitude) <= 90


def _corners(coordinates: list[Any]) -> int:
    return sum(map(_corners, coordinates)) if isinstance(coordinates[0], list) else 1
