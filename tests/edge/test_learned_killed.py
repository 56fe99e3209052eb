"""A gateway that is killed goes on judging as it did: no burst of false flags."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from edge.quality.kinds import JUDGES
from tests.bench.quality import MADE

POLLS = 1500
KILLED_AFTER = 1213  # between two commits


def run(folder: Path, series: Path, kind: str, *, polls: int) -> list[str]:
    """Judge so many polls in a process of its own, and kill it there; what it said."""
    command = [sys.executable, "-m", "tests.edge.judging", str(folder / "outbox.sqlite"), str(series), kind, str(polls)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = list(takewhile(lambda line: line != "still\n", process.stdout))
        assert process.poll() is None, "it ended by itself"
        process.kill()
    return [line.removeprefix("flag ").strip() for line in lines if line.startswith("flag ")]


@pytest.mark.parametrize("kind", sorted(MADE))
def test_a_kill_brings_no_false_flags(tmp_path: Path, kind: str) -> None:
    """The flags after a kill -9 are those of a gateway that ran through, but for two readings at most."""
    assert kind in JUDGES, "there is no such judge"
    make, _ = MADE[kind]
    series = tmp_path / "series.txt"
    samples = list(make(random.Random(3), POLLS))
    series.write_text("".join(f"{at_ms} {value}\n" for at_ms, value in samples), encoding="ascii")
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    whole = run(folders[0], series, kind, polls=POLLS)
    before = run(folders[1], series, kind, polls=KILLED_AFTER)
    after = run(folders[1], series, kind, polls=POLLS)
    killed_at = int(before[-1].split()[0])
    expected = {line for line in whole if int(line.split()[0]) > killed_at and line.split()[1] != "1"}
    flagged = {line for line in after if line.split()[1] != "1"}
    assert len(after) > POLLS - KILLED_AFTER - 60
    assert len(flagged - expected) <= 2
