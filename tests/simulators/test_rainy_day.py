"""The rainy day: the same for the same seed, plausible for every seed, and playable."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cloud.registry.registry_file import RegistryFile
from edge.contract.config_file import load_yaml
from edge.contract.gateway_config import load_gateway_config
from edge.contract.profile import ModbusProfile, load_profile, profile_names
from simulators.plausible import Plausible
from simulators.scenarios.rainy_day import (
    CYCLE_S,
    DRY_S,
    FLOODED_ROAD,
    GULLY_FREE_S,
    HELD_SCENES,
    HOLD_LIMIT_S,
    METER_ANSWERS,
    METER_BACK_S,
    ROADS,
    SCENES,
    SEATS,
    SILENT_METER,
    RainyDay,
    Storm,
    Storms,
)
from simulators.scenarios.rainy_day_files import GATEWAYS, RIVER_WARNING_MM, Workspace
from simulators.scenarios.rainy_day_stage import Stage, Told

SECONDS = range(0, 200, 5)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "rainy day")


def test_a_day_is_its_seed() -> None:
    """The same seed shows the same values at the same seconds; another seed shows others."""
    shown = [[RainyDay(seed).at(second) for second in (0, 30, 31.5, 700)] for seed in (7, 7, 8)]
    assert shown[0] == shown[1]
    assert shown[0] != shown[2]


@pytest.mark.parametrize("seed", range(12))
def test_one_road_floods_and_drains(seed: int) -> None:
    """On every seed one road passes 15 cm within 30 s, falls below 10 cm and is dry; every other one stays under it."""
    day = RainyDay(seed)
    flood = [day.depth_mm(FLOODED_ROAD, second) for second in range(CYCLE_S)]
    over = [second for second, depth in enumerate(flood) if depth >= 150]
    assert over[0] <= 30
    assert len(over) >= 15
    assert 170 < max(flood) < 300
    assert next(second for second in range(over[-1], CYCLE_S) if flood[second] < 100) < 70
    assert flood[100] == 0
    for road in set(ROADS) - {FLOODED_ROAD}:
        assert max(day.sensed_mm(road, second) for second in SECONDS) < 140


def play(storms: Storms, first: int, last: int) -> list[tuple[int, str]]:
    """Each scene of these seconds with the second that it happens in."""
    return [
        (second, scene.text)
        for second in range(first, last)
        for scene in storms.at(second + 1).scenes(second, second + 1)
    ]


def test_every_scene_of_every_storm_happens_once() -> None:
    """Each at its second, storm after storm, when nothing is held."""
    expected = [(int(scene.second) + began, scene.text) for began in (0, CYCLE_S) for scene in SCENES]
    assert play(Storms(hold=False), 0, 2 * CYCLE_S) == expected


def test_a_held_flood_waits_for_a_person() -> None:
    """The road stays flooded until it is freed, then drains as ever; the other scenes keep their times."""
    day, storms, freed = RainyDay(1), Storms(hold=True), 300
    before = {text: second for second, text in play(storms, 0, freed)}
    assert before == {scene.text: scene.second for scene in HELD_SCENES if not scene.of_road}
    held = [day.depth_mm(FLOODED_ROAD, second, storms.at(second)) for second in (GULLY_FREE_S, freed)]
    assert held[0] == held[1] > 200
    storms.free(freed)
    storms.free(freed + 5)  # changes nothing
    late = freed - GULLY_FREE_S
    after = play(storms, freed, freed + CYCLE_S)
    gone_on = [(scene.second + late, scene.text) for scene in HELD_SCENES if scene.of_road]
    assert after[:3] == gone_on
    assert after[3] == (CYCLE_S + late + SCENES[0].second, SCENES[0].text)
    drained = Storm(freed_after_s=freed)
    for second in range(GULLY_FREE_S, CYCLE_S):
        assert day.depth_mm(FLOODED_ROAD, second + late, drained) == pytest.approx(day.depth_mm(FLOODED_ROAD, second))


def test_a_held_meter_is_silent_until_the_next_storm() -> None:
    """A person has at least three minutes to find it; each storm silences it, and it answers before the next one."""
    storms = Storms(hold=True)
    storms.free(0)
    silences = [second for second, text in play(storms, 0, CYCLE_S) if SILENT_METER in text]
    assert silences == [20, CYCLE_S - METER_BACK_S]
    storms = Storms(hold=True)
    texts = [text for _, text in play(storms, 0, 3 * (HOLD_LIMIT_S + CYCLE_S)) if SILENT_METER in text]
    assert texts[:4] == 2 * [f"meter {SILENT_METER} stops answering", METER_ANSWERS]


def test_a_held_flood_ends_by_itself() -> None:
    """Nobody comes: it drains after a generous time, and it rains again."""
    seconds = [second for second, text in play(Storms(hold=True), 0, HOLD_LIMIT_S + 2 * CYCLE_S) if "dry" in text]
    assert seconds == [DRY_S + HOLD_LIMIT_S]


def test_the_roads_differ() -> None:
    """One road is under light water, one is worth watching, the others and the underpass are dry but for the noise."""
    day = RainyDay(1)
    deepest = {road: max(day.depth_mm(road, second) for second in SECONDS) for road in ROADS}
    assert 60 < deepest["road-r1"] < 110
    assert 100 < deepest["road-r4"] < 140
    assert deepest["road-r2"] == deepest["road-r5"] == 0
    assert deepest["underpass-u1"] < 40
    noise = [day.sensed_mm("road-r2", second) for second in range(400)]
    assert 1.6 < (sum(value**2 for value in noise) / len(noise)) ** 0.5 < 2.4


def test_a_road_is_wet_when_there_is_water() -> None:
    """The wet contact closes with the water, whatever the noise of the depth."""
    day = RainyDay(1)
    for second in SECONDS:
        shown = day.at(second)
        for road in ROADS:
            assert shown[road]["wet_contact"] == float(day.depth_mm(road, second) >= 5)


def test_the_river_passes_its_warning_level() -> None:
    """The river rises over its warning level and the rise lasts longer than the rain."""
    day = RainyDay(1)
    levels = [day.at(second)["river-1"]["water_level"] or 0 for second in SECONDS]
    assert levels[0] < 1_820
    assert max(levels) > RIVER_WARNING_MM
    assert levels[-1] > 1_850


def test_meters_only_count_up() -> None:
    """Power moves, energy never falls, on into the next cycles."""
    day = RainyDay(1)
    shown = [day.at(second)["home-101"] for second in range(0, 2 * CYCLE_S, 30)]
    energies = [values["energy_import_total"] or 0 for values in shown]
    assert energies == sorted(energies)
    assert energies[-1] > energies[0]
    assert len({values["active_power_total"] for values in shown}) > len(shown) / 2


@pytest.mark.parametrize("name", [name for name in profile_names() if isinstance(load_profile(name), ModbusProfile)])
def test_every_profile_has_plausible_values(name: str) -> None:
    """Every point of every profile gets a value within its span, and a device that measures is never all zero."""
    profile = load_profile(name)
    assert isinstance(profile, ModbusProfile)
    profile = profile.installed({})
    plausible = Plausible(profile, "1")
    for second in range(0, 86_400, 3_600):
        values = plausible.at(second)
        assert set(values) == {point.name for point in profile.points}
        assert any(values.values()) or {point.quantity.type for point in profile.points} == {"contact"}
        for point in profile.points:
            value = values[point.name]
            assert value is not None
            assert point.span is None or point.span[0] <= value <= point.span[1]


def test_the_files_are_good(workspace: Workspace) -> None:
    """Gateways and registry pass their own loaders, agree on the devices, and secrets are for their owner only."""
    registry = load_yaml(workspace.registry_file, RegistryFile)
    read = 0
    for gateway, registered in zip(GATEWAYS, registry.gateways, strict=True):
        config = load_gateway_config(workspace.gateway_file(gateway))
        ids = [device.id for device in config.devices] + [camera.id for camera in config.cameras]
        assert sorted(ids) == sorted(device.id for device in registered.devices)
        read += len(ids) - 1  # the gateway's own health
    assert read == 20
    for path in (workspace.folder / "secrets").iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_a_folder_is_used_again(workspace: Workspace) -> None:
    """Opened again, a folder keeps its ports and passwords."""
    again = Workspace.open_or_create(workspace.folder)
    assert again.ports == workspace.ports
    assert len(set(again.ports.values())) == len(again.ports)


async def test_the_stage_serves_what_the_day_shows(workspace: Workspace) -> None:
    """When the stage says it is ready, every converter answers and the registers hold the first values."""
    told: list[Told] = []
    async with Stage(workspace, RainyDay(1), tell=told.append):
        assert [each.act for each in told] == ["ready"]
        for port in {workspace.bus_port(seat) for seat in SEATS}:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(bytes.fromhex("000100000006 01 04 00000001"))
            assert (await reader.readexactly(9))[:4] == bytes.fromhex("00010000")
            writer.close()
