"""From one poll of a device to readings, revisions of events, and what is worth sending."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.contract.messages import EventState, Flag, Reading, Severity, Test
from edge.contract.profile import DeviceProfile, load_profile
from edge.contract.rules import DeviceRule
from edge.detect import Detector
from edge.drivers import Answer, Missing, Part, Snapshot
from edge.pipeline import Pipeline
from edge.quality.device import DeviceJudges
from edge.report import Reporter, ReportRule
from tests.edge.quality.holding import HoldingJudge

AT = 1_790_000_000_000
PROFILE = """
profile: probe
maker: Test
model: Probe
kind: waterlogging_sensor
protocol: modbus
source: {document: no document, origin: made for a test, checked: nothing at all}
points:
  - {name: depth, unit: cm, table: holding, address: 0, type: int16, scale: "0.1", span: [0, 2000], missing: [0x7FFF]}
  - {name: energy_import_total, unit: kWh, table: holding, address: 4, type: uint32, scale: "0.01", counter: true}
"""


@pytest.fixture
def profile(tmp_path: Path) -> DeviceProfile:
    path = tmp_path / "probe.yaml"
    path.write_text(PROFILE, encoding="utf-8")
    return load_profile(path)


def pipeline(profile: DeviceProfile, judges: DeviceJudges | None = None) -> Pipeline:
    rule = DeviceRule(
        name="flood", version=1, class_code="WATERLOG.ROAD.2", severity=Severity.ORANGE, point="depth", unit="mm",
        comparison="at_least", threshold=150.0, clear=100.0, samples=2, hold_s=0, clear_hold_s=0,
    )  # fmt: skip
    points = {p.name: ReportRule(heartbeat_ms=600_000, interval_ms=5_000) for p in profile.points}
    one = Detector([rule], gateway="gw", device="road", new_id=lambda: "0" * 32)
    return Pipeline("road", points=profile.points, detectors=[one], reporter=Reporter(points), judges=judges)


def poll(depth: Answer, energy: Answer = (0, 0), second: int = 0) -> Snapshot:
    return Snapshot((Part(AT + 1000 * second, {"depth": depth, "energy_import_total": energy}),))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((1523,), Reading("road", "depth", AT, 1523.0)),  # 152.3 cm
        ((0xFFFF,), Reading("road", "depth", AT, -1.0, Flag.FAIL, Test.SPAN)),
        ((0x7FFF,), Reading("road", "depth", AT, None, Flag.MISSING, Test.SENTINEL)),
        (Missing(Test.NO_ANSWER, "silent"), Reading("road", "depth", AT, None, Flag.MISSING, Test.NO_ANSWER)),
        (Missing(Test.REFUSED, "no"), Reading("road", "depth", AT, None, Flag.MISSING, Test.REFUSED)),
        (12.5, Reading("road", "depth", AT, 12.5)),
    ],
)
def test_an_answer_becomes_one_flagged_reading(profile: DeviceProfile, answer: Answer, expected: Reading) -> None:
    """Raw words are decoded into the quantity's unit and judged; the time is that of the poll."""
    assert pipeline(profile).take(poll(answer)).readings[0] == expected


def test_a_counter_stays_an_integer(profile: DeviceProfile) -> None:
    """Hundredths of a kWh become whole watt-hours, every digit of them."""
    counter = pipeline(profile).take(poll((0,), (0xFFFF, 0xFFFF))).readings[1]
    assert counter == Reading("road", "energy_import_total", AT, 42_949_672_950)
    assert isinstance(counter.value, int)


def test_detectors_see_every_reading_though_few_are_sent(profile: DeviceProfile) -> None:
    """Report by exception leaves out the second sample; the event is confirmed by it all the same."""
    line = pipeline(profile)
    assert line.take(poll((0,), second=-5)).states == {}
    first, second = line.take(poll((1500,))), line.take(poll((1500,), second=5))
    assert (len(first.to_send), first.unchanged) == (1, 1)
    assert (len(second.to_send), second.unchanged) == (0, 2)
    assert [event.state for event in first.revisions + second.revisions] == [
        EventState.SUSPECT,
        EventState.CONFIRMED,
    ]
    assert [list(taken.states) for taken in (first, second)] == [["road/flood"]] * 2


def test_a_single_zero_of_a_counter_is_flagged_and_kept(profile: DeviceProfile) -> None:
    """Nobody knows whether it begins again or was read wrong: suspect, unchanged, and sent; what follows passes."""
    line = pipeline(profile)
    counts = [line.take(poll((0,), (0, raw), second=raw)).to_send[-1] for raw in (900, 0, 901)]
    assert [(one.value, one.flag, one.tests) for one in counts] == [
        (9000, Flag.PASS, Test.NONE),
        (0, Flag.SUSPECT, Test.COUNTER),
        (9010, Flag.PASS, Test.NONE),
    ]


def test_a_counter_that_begins_again_is_told_once(profile: DeviceProfile, capsys: pytest.CaptureFixture[str]) -> None:
    """A new meter, say: its first count is suspect, the next ones pass, and the log says where it went on from."""
    line = pipeline(profile)
    flags = [line.take(poll((0,), (0, raw))).readings[-1].flag for raw in (900, 2, 3, 4)]
    assert flags == [Flag.PASS, Flag.SUSPECT, Flag.PASS, Flag.PASS]
    assert capsys.readouterr().out.count("counter reset or replaced after 9000, goes on from 20") == 1


def test_a_missing_count_is_no_fall(profile: DeviceProfile) -> None:
    """A silent meter that answers again goes on where it was."""
    line = pipeline(profile)
    line.take(poll((0,), (0, 900)))
    gone = line.take(poll((0,), Missing(Test.NO_ANSWER, "silent"))).readings[-1]
    assert (gone.flag, gone.tests) == (Flag.MISSING, Test.NO_ANSWER)
    assert line.take(poll((0,), (0, 900))).readings[-1].flag is Flag.PASS


def test_a_reading_that_is_lost_is_sent_again_by_the_next_poll(profile: DeviceProfile) -> None:
    """Its point alone; the others stay unchanged."""
    line = pipeline(profile)
    lost = line.take(poll((1500,), (0, 900))).to_send[0]
    line.forget(lost)
    again = line.take(poll((1500,), (0, 900), second=5))
    assert ([one.point for one in again.to_send], again.unchanged) == (["depth"], 1)


def test_an_event_does_not_wait_for_what_is_held_back(profile: DeviceProfile) -> None:
    """The first sample of a flood raises a suspect at once, the second confirms; the series gets both then."""
    line = pipeline(profile, DeviceJudges({"depth": HoldingJudge()}))
    line.take(poll((0,), second=-5))
    first, second = line.take(poll((1500,))), line.take(poll((1505,), second=5))
    assert [event.state for event in first.revisions + second.revisions] == [EventState.SUSPECT, EventState.CONFIRMED]
    assert [one.point for one in first.readings] == ["energy_import_total"]
    assert [(one.value, one.flag) for one in second.to_send] == [(1500, Flag.PASS), (1505, Flag.PASS)]


def test_a_clock_that_is_set_lets_go_of_what_is_held_back(profile: DeviceProfile) -> None:
    """It was taken by another clock: what comes after does not decide it."""
    judge = HoldingJudge()
    line = pipeline(profile, DeviceJudges({"depth": judge}))
    line.take(poll((0,), second=-5))
    line.take(poll((1500,)))
    part = poll((1500,), second=5).parts[0]
    set_on = line.take(Snapshot((part._replace(taken_at=part.taken_at + 60_000, offset_ms=60_000),)))
    assert next((one.value, one.flag) for one in set_on.to_send if one.point == "depth") == (1500, Flag.SUSPECT)
    assert judge.shifted_ms == 60_000
