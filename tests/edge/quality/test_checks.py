"""The checks that look at several points of one device together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.profile import load_profile
from edge.contract.quality_config import QualityChoice, SanityChoice
from edge.contract.readings import Test
from edge.quality.checks import checks_for
from edge.quality.checks.counting import Counting
from edge.quality.checks.no_signal import NoSignal
from edge.quality.checks.phases import Phases, Reversed
from edge.quality.checks.triangle import Triangle
from edge.quality.device import Check
from simulators.plausible import Plausible
from tests.edge.quality.homes import MONDAY_MS

MINUTE_MS = 60_000
PARTS = ("active_power_l1", "active_power_l2", "active_power_l3")
MAKERS: Mapping[str, Callable[[], Check]] = {
    "triangle": lambda: Triangle("active_power", voltage="voltage", current="current", power_factor="power_factor"),
    "phases": lambda: Phases(PARTS, "active_power_total"),
    "reversed": lambda: Reversed(PARTS),
    "counting": lambda: Counting("energy_import", "active_power"),
    "no signal": lambda: NoSignal("flow", ["pipe_empty"]),
}


def fed(check: Check, polls: Iterable[Mapping[str, float]], *, every_ms: int = MINUTE_MS) -> list[Mapping[str, Test]]:
    """What is said of each poll."""
    return [check.feed(MONDAY_MS + number * every_ms, values) for number, values in enumerate(polls)]


def checks_of(profile: str, choice: QualityChoice | None = None) -> list[Check]:
    """The checks of a device model."""
    return list(checks_for(load_profile(profile).points, lambda _: choice or QualityChoice()))


def test_a_model_gets_the_checks_that_its_points_allow() -> None:
    """Phases, total, counters and power factor are found by their names; what has none of them has no check."""
    assert {check.name for check in checks_of("eastron_sdm630")} == {
        "triangle/active_power_l1",
        "triangle/active_power_l2",
        "triangle/active_power_l3",
        "counting/energy_import_total",
        "counting/energy_export_total",
        "phases/active_power_total",
        "reversed/active_power_l1",
    }
    assert {check.name for check in checks_of("eastron_sdm120")} == {
        "triangle/active_power",
        "counting/energy_import",
        "counting/energy_export",
    }
    assert {check.name for check in checks_of("generic_tuf2000m")} == {
        "counting/water_volume",
        "counting/water_reverse",
        "no-signal/flow",
    }
    assert not checks_of("anlan_gateway")


def test_checks_can_be_switched_off() -> None:
    """Where somebody says so, no check looks at a point."""
    assert not checks_of("eastron_sdm630", QualityChoice.model_validate({"sanity": False}))


@pytest.mark.parametrize(
    "profile", ["eastron_sdm630", "peacefair_pzem016", "sunspec_meter_int", "generic_tuf2000m", "generic_tuf2000m_heat"]
)
def test_a_device_that_has_nothing_wrong_passes(profile: str) -> None:
    """None of the checks says anything of a simulated device, through a night and a morning."""
    device = Plausible(load_profile(profile), profile)
    polls = [
        {name: value for name, value in device.at(60.0 * minute).items() if value is not None} for minute in range(600)
    ]
    for check in checks_of(profile):
        assert not any(fed(check, polls)), check.name


def triangle(power: float, *, amperes: float = 5.0, factor: float = 0.9) -> dict[str, float]:
    """One poll of one phase at 230 V."""
    return {"active_power": power, "voltage": 230.0, "current": amperes, "power_factor": factor}


@pytest.mark.parametrize("power", [1500.0, -1500.0, 500.0])
def test_a_power_that_does_not_go_with_volts_and_amperes_is_found(power: float) -> None:
    """After some polls all points that contradict each other are suspect, and no more once they agree."""
    polls = [triangle(1035)] * 5 + [triangle(power)] * 5 + [triangle(-1035)] * 5
    found = fed(MAKERS["triangle"](), polls)
    wrong = dict.fromkeys(("active_power", "voltage", "current", "power_factor"), Test.SANITY)
    assert found == [{}] * 7 + [wrong] * 3 + [{}] * 5


def test_no_power_factor_allows_any_less() -> None:
    """Without a power factor only a power of more than volts times amperes is wrong."""
    check = Triangle("active_power", voltage="voltage", current="current")
    assert not any(fed(check, [triangle(200)] * 9))
    assert any(fed(check, [triangle(1400)] * 9))


def test_small_powers_and_single_polls_say_nothing() -> None:
    """Neither a few watts nor a load that is switched between two registers are a contradiction."""
    check = MAKERS["triangle"]()
    assert not any(fed(check, [triangle(4600, amperes=22), triangle(20, amperes=0.3), triangle(2000)] * 9))
    assert not any(fed(MAKERS["triangle"](), [triangle(1035), triangle(3000)] * 9))


def test_an_apparent_power_stands_for_volts_and_amperes() -> None:
    """A power factor in per cent is one too."""
    check = Triangle("active_power", apparent_power="apparent_power", power_factor="power_factor")
    good = {"active_power": -900.0, "apparent_power": 1000.0, "power_factor": -90.0}
    assert not any(fed(check, [good] * 9))
    assert fed(check, [{**good, "apparent_power": 500.0}] * 9)[-1] == dict.fromkeys(good, Test.SANITY)


def phases(one: float, two: float, three: float, total: float | None = None) -> dict[str, float]:
    """One poll of three phases."""
    whole = one + two + three if total is None else total
    return {**dict(zip(PARTS, (one, two, three), strict=True)), "active_power_total": whole}


def test_phases_that_do_not_make_the_total_are_found() -> None:
    """A total without one of the phases is suspect, and so are they; one without a sign is not."""
    found = fed(MAKERS["phases"](), [phases(500, 300, 200)] * 3 + [phases(500, 300, 200, 700)] * 5)
    assert found[-1] == dict.fromkeys((*PARTS, "active_power_total"), Test.SANITY)
    assert not any(fed(MAKERS["phases"](), [phases(-500, -300, -200, 1000)] * 9))
    assert not any(fed(MAKERS["phases"](), [phases(-500, 300, 200, 0)] * 9))


def test_a_poll_without_all_points_says_nothing() -> None:
    """What was not read cannot contradict."""
    for maker in MAKERS.values():
        assert not any(fed(maker(), [{}, {"active_power": 5000.0}, {PARTS[0]: -900.0}] * 9))


def test_a_reversed_phase_is_found_within_a_day_and_a_half() -> None:
    """One phase that is negative by day and night while the others import is reversed; it alone is suspect."""
    polls = [phases(-300, 400, 100)] * 36
    found = fed(MAKERS["reversed"](), polls, every_ms=60 * MINUTE_MS)
    assert not any(found[:24])
    assert found[24:] == [{PARTS[0]: Test.REVERSED}] * 12


@pytest.mark.parametrize("night", [0.0, 250.0])
def test_a_solar_roof_on_one_phase_is_not_reversed(night: float) -> None:
    """What is negative by day and small or positive at night is no mistake."""
    polls = [phases(-900 if 6 <= hour % 24 < 18 else night, 400, 100) for hour in range(240)]
    assert not any(fed(MAKERS["reversed"](), polls, every_ms=60 * MINUTE_MS))


def use(minutes: int, *, watts: float = 1200.0, counted: float = 1.0, digit: int = 1) -> list[dict[str, float]]:
    """A poll a minute of a counter that counts a part of what flows."""
    rng, total, found = random.Random(1), 5_000_000.0, []
    for _ in range(minutes):
        now = watts * rng.uniform(0.9, 1.1)
        total += now / 60 * counted
        found.append({"active_power": now, "energy_import": float(int(total) // digit * digit)})
    return found


@pytest.mark.parametrize("digit", [1, 10, 100, 1000])
def test_a_stuck_counter_is_found_while_power_flows(digit: int) -> None:
    """A counter that gains nothing is found within six of its digits, and passes once it gains again."""
    polls = use(600, digit=digit)
    stuck = [{**poll, "energy_import": polls[-1]["energy_import"]} for poll in polls]
    found = fed(Counting("energy_import", "active_power", digit=float(digit)), [*polls, *stuck])
    assert not any(found[: len(polls)])
    after = next(number for number, said in enumerate(found) if said) - len(polls)
    assert after <= max(11, 6 * digit / 20)
    assert found[-1] == {"energy_import": Test.STUCK}


def test_a_counter_that_was_never_seen_to_gain_is_found_stuck() -> None:
    """Without any known digit a counter is stuck once some kWh have flowed."""
    polls = [{"active_power": 3000.0, "energy_import": 7.0}] * 200
    assert fed(MAKERS["counting"](), polls)[-1] == {"energy_import": Test.STUCK}


@pytest.mark.parametrize("counted", [0.3, 0.6, 2.0])
def test_a_counter_that_counts_another_amount_is_found(counted: float) -> None:
    """By how much it is wrong shows within two windows; both are suspect."""
    found = fed(MAKERS["counting"](), use(120) + use(120, counted=counted))
    assert not any(found[:120])
    assert found[-1] == {"energy_import": Test.SANITY, "active_power": Test.SANITY}


def test_loads_that_switch_between_polls_are_no_contradiction() -> None:
    """Where power jumps from poll to poll nobody knows what flowed between them."""
    rng, total, polls = random.Random(2), 0.0, []
    for _ in range(3000):
        seconds = [2000.0 if rng.random() < 0.3 else 100.0 for _ in range(6)]
        total += sum(seconds) * 10 / 3600
        polls.append({"active_power": seconds[-1], "energy_import": float(int(total))})
    assert not any(fed(MAKERS["counting"](), polls))


def test_short_draws_of_water_between_polls_are_no_contradiction() -> None:
    """A counter of water may gain what no poll saw; it is wrong where it does not gain what they saw."""
    check = Counting("water_volume", "flow", is_seen=False, digit=1.0)
    assert not any(fed(check, [{"flow": 0.0, "water_volume": 5.0 * number} for number in range(200)]))
    running = [{"flow": 600.0, "water_volume": 2000.0 + number} for number in range(200)]
    assert fed(check, running)[-1] == {"water_volume": Test.SANITY, "flow": Test.SANITY}


@pytest.mark.parametrize("fault", ["gap", "reset", "export"])
def test_windows_in_which_something_else_happened_are_left_out(fault: str) -> None:
    """A pause of the gateway, a counter that begins again and an export tell nothing."""
    check, at_ms = Counting("energy_import", "active_power", digit=1.0), MONDAY_MS
    for number in range(400):
        at_ms += 40 * MINUTE_MS if fault == "gap" else MINUTE_MS
        count = float(number % 25) if fault == "reset" else 5.0
        power = -800.0 if fault == "export" and number % 20 == 0 else 800.0
        said = check.feed(at_ms, {"active_power": power, "energy_import": count})
        assert fault == "export" or not said


def test_what_flows_back_is_counted_by_the_other_counter() -> None:
    """A counter of exported energy goes with negative power, and stands still without being stuck."""
    check = Counting("energy_export", "active_power", sign=-1, digit=1.0)
    assert not any(fed(check, [{"active_power": 3000.0, "energy_export": 0.0}] * 200))
    assert fed(check, [{"active_power": -3000.0, "energy_export": 0.0}] * 200)[-1] == {"energy_export": Test.STUCK}


def test_a_flow_of_nothing_without_a_signal_is_suspect() -> None:
    """A 0 is not believed while the meter says that its pipe is empty."""
    check = NoSignal("flow", ["pipe_empty", "measuring_fault"])
    polls: list[Mapping[str, float]] = [{"flow": 0.0}, {"flow": 0.0, "pipe_empty": 1.0}, {"flow": 9.0, "pipe_empty": 1}]
    assert fed(check, polls) == [{}, {"flow": Test.SANITY}, {}]


def test_limits_say_the_share_and_who_chose_it() -> None:
    """Each comparison shows by how much figures may differ."""
    said = SanityChoice(share=0.5).said_by("site")
    for check in (Triangle("active_power", apparent_power="a", choice=said), Phases(PARTS, "t", choice=said)):
        (limits,) = check.limits().values()
        assert [(limit.high, limit.unit, limit.source) for limit in limits] == [(50, "%", "site")]
    ((limit,),) = MAKERS["counting"]().limits().values()
    assert limit.source == "default"


POLL = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        (*PARTS, "active_power_total", "active_power", "voltage", "current", "power_factor", "energy_import", "flow"),
        st.floats(-1e6, 1e6, allow_nan=False) | st.sampled_from([0.0, 1.0, 230.0]),
    ),
)


@settings(max_examples=25, deadline=None)
@given(polls=st.lists(POLL, max_size=80), cut=st.integers(0, 80))
@pytest.mark.parametrize("name", list(MAKERS))
def test_a_restored_check_goes_on_exactly(name: str, polls: list[dict[str, float]], cut: int) -> None:
    """Whatever is polled, a check that was saved and restored says of all that follows what the first one says."""
    first, second = MAKERS[name](), MAKERS[name]()
    fed(first, polls[:cut])
    second.restore(first.state())
    for check in (first, second):
        check.shift(5 * MINUTE_MS)
    assert fed(first, polls[cut:]) == fed(second, polls[cut:])
    assert first.state() == second.state()
