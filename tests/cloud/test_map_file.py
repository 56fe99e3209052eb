"""The ground of the map: what can be drawn is kept, what cannot is left out or refused with a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from cloud.config import load_cloud_config
from cloud.map_file import MAX_BYTES, MAX_CORNERS, load_ground
from edge.contract.config_file import ConfigError

LINE = [[120.1234567, 30.7654321], [120.2, 30.3]]
SQUARE = [[[120.0, 30.0], [120.1, 30.0], [120.1, 30.1], [120.0, 30.0]]]


def feature(kind: Any, shape: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": shape, "coordinates": coordinates},
        "properties": {"kind": kind, **properties},
    }


def write(folder: Path, document: Any) -> Path:
    path = folder / "map.geojson"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def test_what_can_be_drawn_is_kept_lowest_first(tmp_path: Path) -> None:
    """Kind, name and width stay, corners are rounded and lose their height; other properties and kinds are left out."""
    road = feature("road", "LineString", [[*LINE[0], 12.5], LINE[1]], name=" 和平路 ", width_m=18, lanes=2)
    others = [
        feature("shop", "Point", LINE[0]),
        feature("road", "Point", LINE[0]),
        feature("road", "LineString", [["east", "north"]]),
        feature("road", "LineString", [[200, 30], [120, 30]]),
        feature("road", "LineString", []),
        feature(["road"], "LineString", LINE),
        {"type": "Feature", "geometry": None, "properties": None},
        "not a feature",
    ]
    water = feature("water", "Polygon", SQUARE, name="", width_m=-1)
    ground = load_ground(write(tmp_path, collection(road, *others, water)))
    assert ground.features == 2
    drawn = json.loads(ground.content)["features"]
    assert [each["properties"] for each in drawn] == [
        {"kind": "water"},
        {"kind": "road", "name": "和平路", "width_m": 18},
    ]
    assert drawn[1]["geometry"]["coordinates"] == [[120.123457, 30.765432], [120.2, 30.3]]


def test_a_railway_lies_over_the_roads_that_it_crosses(tmp_path: Path) -> None:
    """It crosses them on bridges; everything else lies below."""
    features = [feature(kind, "LineString", LINE) for kind in ("rail", "road", "water")]
    drawn = json.loads(load_ground(write(tmp_path, collection(*features))).content)["features"]
    assert [each["properties"]["kind"] for each in drawn] == ["water", "road", "rail"]


def test_another_ground_has_another_hash(tmp_path: Path) -> None:
    """The hash names the content, so that a browser knows whether it has it."""
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    kinds = ("road", "road", "rail")
    hashes = [
        load_ground(write(f, collection(feature(k, "LineString", LINE)))).hash
        for f, k in zip(folders, kinds, strict=True)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([], "is no GeoJSON with something to draw"),
        ({"features": "none"}, "is no GeoJSON with something to draw"),
        (collection(feature("shop", "Point", [1, 2])), "is no GeoJSON with something to draw"),
        (collection(feature("road", "LineString", [[1, 2]] * (MAX_CORNERS + 1))), "has more than 300000 corners"),
        (" " * (MAX_BYTES + 1), "is larger than 8 MiB"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, document: Any, reason: str) -> None:
    """Whatever the file holds, there is one sentence about it."""
    with pytest.raises(ValueError, match=reason):
        load_ground(write(tmp_path, document))


def test_a_bad_map_is_a_fault_of_cloud_yaml(tmp_path: Path) -> None:
    """It is told when the configuration is read, with its place there, before anything listens."""
    config = tmp_path / "cloud.yaml"
    config.write_text("data_dir: data\nmap:\n  geojson: nowhere.geojson\n")
    with pytest.raises(ConfigError, match=r"cloud.yaml:3: map.geojson: cannot read .*nowhere.geojson: No such file"):
        load_cloud_config(config)
