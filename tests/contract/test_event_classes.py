"""Event classes: all of them are described, in both languages, with limits and rules that fit together."""

import pytest

from edge.contract.event_classes import (
    EventClass,
    SensingRule,
    Standard,
    check_class_code,
    clear_fault,
    event_classes,
)
from edge.contract.messages import Severity
from edge.contract.profile import load_profile, profile_names

CODES = """
WATERLOG.ROAD.1 WATERLOG.ROAD.2 WATERLOG.UNDER.CLOSE WATERLOG.SPACE RIVER.WARN RIVER.GUAR RIVER.RISE
RAIN.B RAIN.Y RAIN.O RAIN.R DRAIN.SURCHARGE COVER.OPEN WATER.BURST HOME.LEAK
CARE.NOWATER CARE.NOPOWER CARE.BOTH CARE.HIGH
CAM.GARBAGE CAM.BIN CAM.STALL CAM.SHOP CAM.VENDOR CAM.FIRELANE CAM.BURN CAM.BBQ CAM.BIKE CAM.DUST ROAD.ICE
DEV.GW_OFF DEV.CH_OFF DEV.STUCK DEV.SPIKE DEV.POWER DEV.BATT DEV.DOOR DEV.CLOCK DEV.CERT DEV.OUTBOX
DEV.CAM_OFF DEV.CAM_COVER DEV.CAM_VIEW DEV.CAM_CLOCK
"""


def test_every_class_is_there() -> None:
    """Every event class that a device can sense is in the file, once."""
    assert list(event_classes()) == CODES.split()


def test_words_in_both_languages() -> None:
    """Names and standards can be shown in Chinese and in English."""
    for event_class in event_classes().values():
        lines = [(line.zh, line.en) for line in (*event_class.opening, *event_class.closing)]
        for zh, en in [(event_class.zh, event_class.en), *lines]:
            assert zh, event_class.code
            assert en.replace("m³", "").isascii(), event_class.code


def test_road_waterlogging() -> None:
    """15 cm in two consecutive samples, over when below 10 cm for 30 minutes; 10 min to answer, 2 h to end it."""
    road = event_classes()["WATERLOG.ROAD.2"]
    (rule,) = road.rules
    assert (rule.comparison, rule.threshold, rule.clear, rule.samples) == ("at_least", 150, 100, 2)
    assert (rule.hold_s, rule.clear_hold_s) == (0, 1800)
    assert (road.severity, road.opens_order) == (Severity.ORANGE, True)
    assert road.acknowledge is not None
    assert road.handle is not None
    assert (road.acknowledge.amount, road.acknowledge.unit) == (10, "urgent_minute")
    assert (road.handle.amount, road.handle.unit) == (2, "urgent_hour")


def test_who_is_sent() -> None:
    """Watched classes send nobody; a camera class opens an order, which a person confirms."""
    watched = {code for code, event_class in event_classes().items() if not event_class.opens_order}
    assert watched == {"WATERLOG.ROAD.1", "RAIN.B", "RAIN.Y", "RAIN.O", "RAIN.R"}
    cameras = {code for code, event_class in event_classes().items() if event_class.camera}
    assert cameras == {code for code in event_classes() if code.startswith("CAM.")}


def test_values_of_the_site_have_no_default() -> None:
    """A river's levels are approved for one station; the product never brings numbers for them."""
    without = {code for code, known in event_classes().items() for rule in known.rules if rule.threshold is None}
    assert without == {"RIVER.WARN", "RIVER.GUAR", "RIVER.RISE", "DRAIN.SURCHARGE"}


def test_rules_fit_the_profiles() -> None:
    """For each kind of device that has a profile here, some profile of that kind measures what the rule needs."""
    by_kind: dict[str, set[str]] = {}
    for name in profile_names():
        profile = load_profile(name)
        by_kind.setdefault(profile.kind, set()).update(point.quantity_name for point in profile.points)
    for code in ("WATERLOG.ROAD.1", "WATERLOG.ROAD.2", "WATERLOG.UNDER.CLOSE", "WATERLOG.SPACE", "RIVER.WARN"):
        for rule in event_classes()[code].rules:
            for kind in rule.kinds:
                assert rule.quantity in by_kind[kind], code


@pytest.mark.parametrize(
    ("comparison", "threshold", "clear", "reason"),
    [
        ("at_least", 150, 100, ""),
        ("at_least", 150, 150, ""),
        ("at_least", 150, 151, "151 must not be above the threshold 150"),
        ("below", 20, 30, ""),
        ("below", 20, 19, "19 must not be below the threshold 20"),
        ("equals", 1, 0, "has no meaning for equals"),
        ("equals", 1, None, ""),
        ("at_least", None, 100, ""),
    ],
)
def test_hysteresis(comparison: str, threshold: float | None, clear: float | None, reason: str) -> None:
    """The clear value lies on the safe side of the threshold."""
    assert clear_fault(comparison, threshold, clear) == reason  # type: ignore[arg-type]  # parametrized words


def test_a_rule_names_a_quantity() -> None:
    """A rule for something that cannot be measured is refused with the nearest quantity."""
    with pytest.raises(ValueError, match=r'unknown quantity "dept" \(did you mean "depth"\?\)'):
        SensingRule(quantity="dept", kinds=("x",), comparison="at_least", version=1)


def test_a_camera_class_has_no_rule() -> None:
    """A class is raised by a camera or by a rule, not by both."""
    line = Standard(zh="某", en="some")
    rule = SensingRule(quantity="depth", kinds=("x",), comparison="at_least", version=1)
    with pytest.raises(ValueError, match="a camera class is raised by the camera, not by a rule"):
        EventClass(
            code="CAM.X",
            zh="某",
            en="some",
            severity=Severity.BLUE,
            opens_order=True,
            camera=True,
            opening=(line,),
            closing=(line,),
            rules=(rule,),
            basis="made for a test",
        )


def test_unknown_class() -> None:
    """An unknown code is answered with the nearest one."""
    assert check_class_code("RIVER.WARN") == "RIVER.WARN"
    with pytest.raises(ValueError, match=r'unknown event class "RIVER.WRAN" \(did you mean "RIVER.WARN"\?\)'):
        check_class_code("RIVER.WRAN")
