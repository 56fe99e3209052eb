"""What is said of points that are missing: each beginning and end, but no flood of them."""

from __future__ import annotations

from structlog.testing import capture_logs

from edge.contract.messages import Test
from edge.drivers import Answer, Missing, Part, Snapshot
from edge.missing_log import MOST_SAID, WITHIN_S, MissingLog

GONE = Missing(Test.NO_ANSWER, "meter-1: no answer")


def snapshot(**answers: Answer) -> Snapshot:
    return Snapshot((Part(0, answers),))


def test_a_beginning_and_an_end_are_said_once() -> None:
    """Not at every poll between, and the end when the last point is back."""
    log = MissingLog("meter-1")
    with capture_logs() as said:
        for one in (snapshot(a=(1,), b=(1,)), snapshot(a=GONE, b=GONE), snapshot(a=(1,), b=GONE), snapshot(b=GONE)):
            log.note(one, 0.0)
        log.note(snapshot(a=(1,), b=(1,)), 1.0)
    assert said == [
        {"event": "meter-1: no answer", "log_level": "warning", "device": "meter-1", "points_missing": 2},
        {"event": "all points read again", "log_level": "info", "device": "meter-1"},
    ]


def test_what_comes_and_goes_all_the_time_is_said_now_and_then() -> None:
    """A day of a device that fails at each second poll is some hundred lines, and each last one says so."""
    log, day_s = MissingLog("meter-1"), 86_400
    with capture_logs() as said:
        for second in range(day_s):
            log.note(snapshot(a=GONE if second % 2 else (1,)), float(second))
    assert len(said) <= MOST_SAID * (day_s / WITHIN_S + 1)
    assert said[MOST_SAID - 1]["note"] == f"comes and goes: not said again for {WITHIN_S - MOST_SAID + 1:.0f} s"
    assert [line for line in said[:MOST_SAID] if "note" in line] == [said[MOST_SAID - 1]]
