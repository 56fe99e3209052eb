"""What is said of how readings are judged: by quantity, by profile, by site."""

from __future__ import annotations

import pytest

from edge.contract.config_file import ConfigError, check_values
from edge.contract.profile import load_profile, profile_names
from edge.contract.quality_config import QualityChoice, line_for


def choice(**said: object) -> QualityChoice:
    return check_values(dict(said), QualityChoice, name="gateway.yaml")


def test_what_the_site_says_goes_before_the_profile() -> None:
    """Test by test: what it does not say is as below."""
    site, profile = choice(spike=False, rate={"per_min": 20}), choice(spike={"least": 3}, flat={"after_s": 60})
    both = site.over(profile)
    assert both.is_off("spike")
    assert not both.is_off("flat")
    assert both.rate is not None
    assert both.rate.per_min == 20
    assert both.flat is not None
    assert both.flat.after_s == 60
    assert both.drift is None


def test_who_said_it_stays_known() -> None:
    """Test by test, so that the page of a sensor can say where a limit comes from."""
    both = choice(spike=False).said_by("site").over(choice(spike={"least": 3}, flat={"after_s": 60}).said_by("profile"))
    assert both.spike is not None
    assert both.flat is not None
    assert (both.spike.source, both.flat.source) == ("site", "profile")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"spkie": False}, 'spkie: unknown key (did you mean "spike"?)'),
        ({"spike": {"lest": 3}}, 'spike.lest: unknown key (did you mean "least"?)'),
        ({"spike": 3}, "spike: expected keys and values, found 3"),
        ({"rate": {"per_min": 0}}, "rate.per_min: should be greater than 0, found 0"),
        ({"flat": {"after_s": "long"}}, 'flat.after_s: expected a number, found "long"'),
    ],
)
def test_a_mistake_is_told_with_its_place(said: dict[str, object], reason: str) -> None:
    """And with the nearest word."""
    with pytest.raises(ConfigError) as refused:
        choice(**said)
    assert reason in str(refused.value)


def test_every_quantity_has_at_most_the_judge_of_its_kind() -> None:
    """A probe in a river is judged as a river, one at the kerb as a road, a contact as a contact, a state by nobody."""
    found = {
        (profile.kind, point.quantity_name): line.judge if line else None
        for profile in map(load_profile, profile_names())
        for point in profile.points
        for line in [line_for(profile.kind, point.quantity_name)]
    }
    assert found["level_transmitter", "water_level"] == "level"
    assert found["waterlogging_sensor", "depth"] == "street"
    assert found["waterlogging_sensor", "wet_contact"] == "contact"
    assert found["electricity_meter", "energy_import"] == "meter"
    assert found["electricity_meter", "voltage"] == "power"
    assert found["rain_gauge", "rain_total"] == "rain"
    assert found["rain_gauge", "temperature"] is None
    assert found["gateway", "temperature"] == "health"
