"""What an installer chooses from: models are found by any of their words, classes fit the model."""

import pytest

from cloud.registry.choices import rules_for, search_profiles
from edge.contract.profile import GatewayProfile, load_profile, profile_names


def found(words: str) -> list[str]:
    return [choice.profile for choice in search_profiles(words)]


@pytest.mark.parametrize(
    ("words", "profile"),
    [
        ("Eastron", "eastron_sdm630"),
        ("SDM630", "eastron_sdm630"),
        ("chint voltage", "chint_dtsu666"),
        ("CHINT  电压", "chint_dtsu666"),
        ("level_transmitter", "generic_qdy30a"),
        ("水位", "generic_qdy30a"),
        ("standing water", "moxa_e1242_depth"),
    ],
)
def test_a_model_is_found_by_any_of_its_words(words: str, profile: str) -> None:
    """Maker, model, kind and what it measures, in both languages; several words narrow the search."""
    assert profile in found(words)
    assert found(f"{words} nonsense") == []


def test_no_word_finds_every_model() -> None:
    """All but the gateway itself, which every gateway has."""
    every = [name for name in profile_names() if not isinstance(load_profile(name), GatewayProfile)]
    assert found(" ") == every


def test_a_kind_is_found_as_the_page_calls_it() -> None:
    """Names of kinds that the page gives are searched too."""
    names = {"electricity_meter": "电表"}
    meters = [name for name in profile_names() if load_profile(name).kind == "electricity_meter"]
    assert [choice.profile for choice in search_profiles("电表", kinds=names)] == meters
    assert search_profiles("电表") == []


def test_a_model_says_what_it_measures() -> None:
    """One line in each language: how many points, of which quantities in which units."""
    (level,) = search_profiles("qdy30a")
    assert (level.zh, level.en) == ("1 个测点：水位 (mm)", "1 point: water level (mm)")
    (meter,) = search_profiles("sdm630")
    assert meter.en == "17 points: voltage (V), current (A), active power (W), reactive power (var) and more"
    assert meter.zh == "17 个测点：电压 (V)、电流 (A)、有功功率 (W)、无功功率 (var) 等"


def test_a_model_asks_for_the_numbers_of_its_site() -> None:
    """What is usual is proposed; a number that only the site knows is asked for with an example and its unit."""
    (meter,) = search_profiles("dtsd1352")
    ratios = [(one.name, one.unit, one.default) for one in meter.settings]
    assert ratios == [("ct_ratio", "", "1"), ("pt_ratio", "", "1")]
    (level,) = search_profiles("apg_mnu")
    (height,) = level.settings
    assert (height.name, height.unit, height.default) == ("mounting_height", "mm", "")
    assert height.example


def test_classes_fit_the_model() -> None:
    """A depth sensor senses standing water with numbers of the class; a river's levels are the site's to give."""
    depth = {choice.event_class.code: choice for choice in rules_for("moxa_e1242_depth")}
    assert "WATERLOG.ROAD.2" in depth
    assert not any(choice.needs_threshold for choice in depth.values())
    assert [watched.point for watched in depth["WATERLOG.SPACE"].points] == ["wet_contact", "depth"]
    river = {choice.event_class.code: choice for choice in rules_for("generic_qdy30a")}
    assert river["RIVER.WARN"].needs_threshold
    assert river["RIVER.WARN"].points[0][:4] == ("water_level", "mm", "at_least", None)
    assert rules_for("eastron_sdm630") == []
