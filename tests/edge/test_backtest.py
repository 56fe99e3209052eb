"""Backtests: the events that a gateway would have made, in a table and a picture."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from edge.backtest import Backtest, Found
from edge.backtest_picture import MOST_MARKS, picture
from edge.cli import app
from edge.contract.config_file import load_yaml
from edge.contract.event_steps import StepKind
from edge.contract.gateway_config import RulesFile
from edge.contract.messages import EventState

AT, QUARTER = 1_790_000_000_000, 900_000
RULES = """\
profile: generic_qdy30a
poll_s: 900
rules:
  - {class: RIVER.WARN, threshold: 1300, clear: 1250}
  - {class: RIVER.GUAR, threshold: 1500}
"""
RIVER = [1000 + 700 * math.exp(-(((n - 60) / 18) ** 2)) for n in range(160)]
RUN = CliRunner()


def run(rules: Path, values: list[float]) -> Found:
    device = load_yaml(rules, RulesFile)
    [point] = [one for one in device.device_profile.points if one.name == "water_level"]
    one = Backtest(device, point)
    for place, value in enumerate(values):
        one.feed(AT + place * QUARTER, value)
    return one.end()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "river.csv"
    lines = [
        f"2026-09-{1 + n // 96:02}T{n % 96 // 4:02}:{n % 4 * 15:02}:00,{value / 10:.1f}"
        for n, value in enumerate(RIVER)
    ]
    path.write_text("\n".join(["timestamp,stage_cm", *lines]) + "\n", encoding="utf-8")
    return path


def test_a_flood_is_one_event_of_two_levels(rules: Path) -> None:
    """The river rises over both levels and falls: reached, reached, stepped down, ended, and every reading is there."""
    found = run(rules, RIVER)
    [event] = found.events
    assert [step.kind for step in event.steps if step.kind is not StepKind.SUSPECTED] == [
        StepKind.REACHED, StepKind.REACHED, StepKind.STEPPED_DOWN, StepKind.ENDED,
    ]  # fmt: skip
    assert [one.class_code for _, _, one in event.levels] == ["RIVER.WARN", "RIVER.GUAR", "RIVER.WARN"]
    assert event.last.state is EventState.ENDED
    assert event.last.value == pytest.approx(1700, abs=1)
    assert len(found.readings) == len(RIVER)


def test_the_picture_is_small_and_well_formed_however_long_the_series(rules: Path) -> None:
    """Of 20,000 samples the line has a few points for each column, marks are bounded, and all of it is XML."""
    found = run(rules, RIVER * 125)
    drawn = picture(found, load_yaml(rules, RulesFile).device_rules, title='a <river> & "its" rules')
    ElementTree.fromstring(drawn)  # noqa: S314 -- made here
    assert "a &lt;river&gt; &amp;" in drawn
    assert "prefers-color-scheme: dark" in drawn
    for word in ("超警戒水位", "river above warning level", "水位", "water level"):
        assert word in drawn
    assert drawn.count("L") < 3000
    assert drawn.count("<circle") <= MOST_MARKS + 1


def test_the_command_prints_a_table_and_writes_a_picture(rules: Path, data: Path, tmp_path: Path) -> None:
    """Levels, times, peak and counts on the terminal; the picture where it was asked for."""
    drawn = tmp_path / "river.svg"
    said = RUN.invoke(
        app,
        ["backtest", str(rules), "--data", str(data), "--column", "stage_cm", "--unit", "cm", "--picture", str(drawn)],
    )
    assert said.exit_code == 0, said.output
    assert "1 event; 0 suspicions withdrawn" in said.output
    assert "reached         RIVER.GUAR           红 超保证水位" in said.output
    assert "stepped down to RIVER.WARN           橙 超警戒水位" in said.output
    assert drawn.read_text(encoding="utf-8").startswith("<svg")


def test_the_command_gives_every_revision_as_json(rules: Path, data: Path) -> None:
    """For programs: flags, tests and the revisions as they would have been sent."""
    said = RUN.invoke(
        app, ["backtest", str(rules), "--data", str(data), "--column", "stage_cm", "--unit", "cm", "--json"]
    )
    document = json.loads(said.stdout)
    assert document["samples"] == len(RIVER)
    assert [revision["revision"] for revision in document["events"][0]] == list(
        range(1, len(document["events"][0]) + 1)
    )


@pytest.mark.parametrize(
    ("changed", "more", "reason"),
    [
        ("threshold: 1200", [], "rules.yaml:5: rules.1.threshold: 1200 must not be below the 1300 of RIVER.WARN"),
        ("treshold: 1500", [], 'rules.yaml:5: rules.1.treshold: unknown key (did you mean "threshold"?)'),
        ("threshold: 1500", ["--unit", "km"], '--unit "km": water_level can be given in mm, cm, m (did you mean "m"?)'),
        ("threshold: 1500", ["--column", "stage"], "no column 'stage'; it has timestamp, stage_cm"),
        ("threshold: 1500", ["--device", "river-1"], "the rules of one device, not a gateway.yaml: leave out --device"),
        ("threshold: 1500", ["--point", "water_lvl"], 'no rule watches "water_lvl" (did you mean "water_level"?)'),
    ],
)
def test_mistakes_are_told_and_end_with_2(rules: Path, data: Path, changed: str, more: list[str], reason: str) -> None:
    """What is wrong, in which line or option, and the nearest word."""
    rules.write_text(RULES.replace("threshold: 1500", changed), encoding="utf-8")
    said = RUN.invoke(app, ["backtest", str(rules), "--data", str(data), "--column", "stage_cm", *more])
    assert said.exit_code == 2
    assert reason in said.output
