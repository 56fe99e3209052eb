"""A gateway's judging as a process that can be killed: ``python -m tests.edge.judging OUTBOX SERIES KIND POLLS``.

Judges a series (lines of ``at_ms value``) from where the outbox file says that it was, a poll a line, and keeps what
was learned as the agent does, in a real outbox. Each poll prints ``flag at_ms flag tests`` for every reading that was
decided. The clock is the series' own. After ``POLLS`` polls in all it says ``still`` and stays as it is, nothing more
committed, until its input ends: to be killed there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge.contract.readings import Reading
from edge.learned import KEEP_S, Learned, Learner
from edge.quality.device import DeviceJudges
from edge.quality.kinds import Setting, judge_for
from edge.timeline import Timeline
from tests.bench.quality import MADE
from tests.edge.hand_clock import HandClock
from tests.edge.outbox_parts import open_outbox

DONE = "test/done"  # how many polls are behind us
COMMIT_EVERY = 20  # polls


def judge_series(outbox_file: Path, series: Path, kind: str, polls: int) -> None:
    """Judge from where an earlier run was stopped, up to so many polls in all."""
    samples = [line.split() for line in series.read_text(encoding="ascii").splitlines()]
    clock = HandClock(int(samples[0][0]))
    outbox = open_outbox(outbox_file, clock=clock)
    setting: Setting = MADE[kind][1]
    judge = judge_for(setting)
    assert judge is not None
    judges = DeviceJudges({"point": judge})
    states: dict[str, str | None] = {}
    learned = Learned([Learner("device", judges)], Timeline(clock), keep=states.__setitem__)
    kept = outbox.open_events()
    done = int(kept.pop(DONE, "0"))
    clock.now = int(samples[min(done, len(samples) - 1)][0])
    learned.restore(kept)
    kept_at = clock.now
    for number, (at, value) in enumerate(samples[done:polls], done + 1):
        clock.now = int(at)
        for one in judges.take([Reading("device", "point", clock.now, float(value))]).decided:
            sys.stdout.write(f"flag {one.taken_at} {int(one.flag)} {one.tests}\n")
        if clock.now - kept_at >= 1000 * KEEP_S:
            learned.keep_all()
            kept_at = clock.now
        if number % COMMIT_EVERY == 0:
            outbox.append_all(open_events=states | {DONE: str(number)})
            states.clear()
    sys.stdout.write("still\n")
    sys.stdout.flush()
    sys.stdin.read()
    outbox.close()


if __name__ == "__main__":
    judge_series(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
