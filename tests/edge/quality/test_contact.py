"""A water switch: chatter and days of water are suspect, floods are not; and what it says against the depth."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.profile import load_profile
from edge.contract.quality_config import FlatChoice, GapChoice, QualityChoice, SanityChoice, SpikeChoice
from edge.contract.readings import Flag, Test
from edge.quality import PASS, Verdict
from edge.quality.checks import checks_for
from edge.quality.checks.wet import WetContact
from edge.quality.contact import ContactJudge
from tests.edge.quality.streets import MINUTE_MS, START_MS

DAY = 24 * 60


def judge(values: list[int], one: ContactJudge | None = None) -> list[Verdict]:
    """What is said of samples a minute apart."""
    one = one or ContactJudge(interval_ms=MINUTE_MS)
    steps = [one.feed(START_MS + minute * MINUTE_MS, value) for minute, value in enumerate(values)]
    assert all(step.held is None and one.miss(0) is None and one.doubt == PASS for step in steps)
    return [step.now or PASS for step in steps]


def test_a_flood_and_a_dry_year_pass() -> None:
    """One change to wet, waves at its edges, and dry for as long as it likes."""
    assert set(judge([0] * 60 + [1, 0] + [1] * 300 + [0] * 3 * DAY)) == {PASS}


def test_chatter_is_suspect_until_it_is_quiet_for_ten_minutes() -> None:
    """From the fourth change in ten minutes on."""
    said = judge([0, 1, 0, 1, 0, *[0] * 20])
    assert [verdict.tests for verdict in said[:4]] == [0] * 4
    assert [verdict == Verdict(Flag.SUSPECT, Test.SPIKE) for verdict in said[4:]] == [True] * 10 + [False] * 11
    assert set(judge([*[0] * 30, *[1] * 30] * 5)) == {PASS}


def test_wet_for_three_days_is_stuck() -> None:
    """Suspect, and never failed: whoever floods a cellar for three days has an event all the same."""
    said = judge([0, *[1] * (3 * DAY + 5)])
    assert said[3 * DAY] == PASS
    assert said[-1] == Verdict(Flag.SUSPECT, Test.FLAT)


def test_a_gap_and_what_a_site_says() -> None:
    """The first sample after a gap is not evaluated; each test can be switched off."""
    one = ContactJudge(interval_ms=MINUTE_MS)
    one.feed(START_MS, 0)
    assert one.feed(START_MS + 9 * MINUTE_MS, 0).now == Verdict(Flag.NOT_EVALUATED, Test.GAP)
    off = QualityChoice(spike=SpikeChoice(off=True), flat=FlatChoice(off=True), gap=GapChoice(off=True))
    silent = ContactJudge(interval_ms=MINUTE_MS, choice=off)
    assert set(judge([0, 1] * 50 + [1] * 4 * DAY, silent)) == {PASS}
    assert silent.limits() == []
    soon = ContactJudge(interval_ms=MINUTE_MS, choice=QualityChoice(flat=FlatChoice(after_s=600)))
    assert judge([1] * 20, soon)[-1].tests == Test.FLAT
    assert [(limit.high, limit.source) for limit in soon.limits()] == [(600, "site")]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1), max_size=60), st.integers(0, 60), st.integers(-(10**9), 10**9))
def test_a_contact_goes_on_as_if_nothing_had_been(values: list[int], cut: int, by_ms: int) -> None:
    """Restored at any sample, and with a clock that was set meanwhile, it says the same as one that ran through."""
    through = judge(values)
    one, shift = ContactJudge(interval_ms=MINUTE_MS), 0
    for minute, value in enumerate(values):
        if minute == cut:
            state, one = one.state(), ContactJudge(interval_ms=MINUTE_MS)
            one.restore(state)
            one.shift(by_ms)
            shift = by_ms
        assert one.feed(START_MS + minute * MINUTE_MS + shift, value).now == through[minute]


def checked(polls: list[tuple[int, float]], check: WetContact | None = None) -> list[set[str]]:
    """The points that are flagged in each poll, a minute apart."""
    check = check or WetContact("wet_contact", "depth")
    return [
        set(check.feed(START_MS + minute * MINUTE_MS, {"wet_contact": contact, "depth": depth}))
        for minute, (contact, depth) in enumerate(polls)
    ]


def test_wet_on_a_dry_road_is_a_contradiction_after_half_an_hour() -> None:
    """Both are suspect; a puddle at the contact dries up sooner."""
    said = checked([(0, 0.0), *[(1, 2.0)] * 60, (0, 1.0)])
    assert said.index({"wet_contact", "depth"}) == 31
    assert said[-1] == set()
    assert not any(checked([*[(1, 2.0)] * 25, *[(0, 2.0)] * 25]))


def test_dry_in_deep_water_speaks_against_a_contact_that_never_worked() -> None:
    """The depth is suspect too once the contact has shown that it works, and not before its event was raised."""
    assert checked([*[(0, 0.0)] * 5, *[(0, 400.0)] * 10])[-1] == {"wet_contact"}
    worked = [*[(0, 20.0)] * 3, *[(1, 40.0)] * 5, *[(0, 5.0)] * 5]
    said = checked([*worked, *[(0, 400.0)] * 10])
    assert said[-1] == {"wet_contact", "depth"}
    assert not any(said[: len(worked) + 3])
    check = WetContact("wet_contact", "depth")
    checked(worked, check)
    assert [(limit.high, limit.source) for limit in check.limits()["depth"]] == [(70.0, "learned")]


def test_a_flood_that_both_see_passes() -> None:
    """Rising and falling through the height of the contact, and a poll without one of them says nothing."""
    rise = [float(depth) for depth in [*range(0, 300, 10), *range(300, 0, -10)]]
    assert not any(checked([(depth >= 60, depth) for depth in rise]))
    assert WetContact("wet_contact", "depth").feed(START_MS, {"wet_contact": 1}) == {}


def test_the_check_goes_on_after_a_restart() -> None:
    """With its contact's height, and by a clock that was set on."""
    check, later = WetContact("wet_contact", "depth"), WetContact("wet_contact", "depth")
    checked([(1, 40.0), *[(0, 400.0)] * 3], check)
    later.restore(check.state())
    later.shift(1000)
    again = later.feed(START_MS + 4 * MINUTE_MS + 1000, {"wet_contact": 0, "depth": 400.0})
    assert set(again) == {"wet_contact", "depth"}


def test_a_model_with_both_points_has_the_check() -> None:
    """Unless a site has switched it off."""
    points = load_profile("moxa_e1242_depth").points
    assert "wet/wet_contact" in {check.name for check in checks_for(points, lambda _: QualityChoice())}
    off = QualityChoice(sanity=SanityChoice(off=True))
    assert not list(checks_for(points, lambda _: off))
