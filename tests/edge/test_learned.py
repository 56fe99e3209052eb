"""What judges have learned is kept on disk: spread over the hour, at a stop, and by clocks that are set."""

from __future__ import annotations

import pytest

from edge.contract.readings import Flag, Reading
from edge.learned import KEEP_S, KEY, Learned, Learner
from edge.quality.device import DeviceJudges
from edge.timeline import Timeline
from tests.edge.hand_clock import HandClock
from tests.edge.quality.holding import HoldingJudge

AT = 1_790_000_000_000


def learned(kept: dict[str, str | None], clock: HandClock, *devices: str) -> tuple[Learned, dict[str, HoldingJudge]]:
    judges = {device: HoldingJudge() for device in devices}
    learners = [Learner(device, DeviceJudges({"depth": judge})) for device, judge in judges.items()]
    for learner in learners:
        learner.judges.take([Reading(learner.device, "depth", AT, 7.0, Flag.PASS)])
    return Learned(learners, Timeline(clock), keep=kept.__setitem__), judges


def test_each_device_has_its_turn_once_an_hour() -> None:
    """Spread, so that a gateway of 200 meters does not write all at once."""
    kept: dict[str, str | None] = {}
    turns: dict[str, list[int]] = {}
    part, _ = learned(kept, HandClock(AT), "road-1", "road-2", "road-3")
    for second in range(2 * KEEP_S):
        part.keep_due(second)
        for key in kept:
            turns.setdefault(key, []).append(second)
        kept.clear()
    assert turns == {
        f"{KEY}road-1": [KEEP_S],
        f"{KEY}road-2": [KEEP_S // 3, KEEP_S // 3 + KEEP_S],
        f"{KEY}road-3": [KEEP_S * 2 // 3, KEEP_S * 2 // 3 + KEEP_S],
    }


def test_a_restart_goes_on_and_forgets_devices_that_are_gone() -> None:
    """Their states are removed; other states of the outbox are left to others."""
    kept: dict[str, str | None] = {}
    learned(kept, HandClock(AT), "road-1", "road-2")[0].keep_all()
    states = {key: text for key, text in kept.items() if text is not None} | {"road-1/WATERLOG": "an open event"}
    again, judges = learned(kept, HandClock(AT), "road-1")
    judges["road-1"].last = None
    again.restore(states)
    assert judges["road-1"].last == 7.0
    assert states == {"road-1/WATERLOG": "an open event"}
    assert kept[f"{KEY}road-2"] is None


@pytest.mark.parametrize(("later_ms", "shift_ms"), [(3_600_000, 0), (-86_400_000, -86_400_000)])
def test_times_of_another_run_never_lie_ahead(later_ms: int, shift_ms: int) -> None:
    """A machine without a clock starts in the past: what judges remember moves there too."""
    kept: dict[str, str | None] = {}
    learned(kept, HandClock(AT), "road-1")[0].keep_all()
    states = {key: text.replace(Timeline(HandClock(AT)).boot, "another run") for key, text in kept.items() if text}
    again, judges = learned(kept, HandClock(AT + later_ms), "road-1")
    again.restore(states)
    assert judges["road-1"].shifted_ms == shift_ms


def test_a_state_that_cannot_be_read_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """And the sensor is learned anew."""
    again, judges = learned({}, HandClock(AT), "road-1")
    again.restore({f"{KEY}road-1": "{"})
    assert "learned anew" in capsys.readouterr().out
    assert judges["road-1"].last == 7.0
