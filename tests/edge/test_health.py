"""The gateway's own health, and how far its clock can be trusted."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import structlog

from edge import clock_state
from edge.clock_state import ClockWatch, KernelClock, is_made_up
from edge.contract import log
from edge.contract.clock import SteppedClock
from edge.contract.messages import ClockState, Test
from edge.drivers import Missing
from edge.health import BusyShare, GatewayHealth, disk_used_percent, memory_used_percent, temperature_celsius
from edge.timeline import Timeline
from tests.edge.hand_clock import Machine

AT = 1_790_000_000_000


async def test_one_poll_answers_every_point_at_one_time(tmp_path: Path) -> None:
    """Each point of the profile has an answer; what this machine cannot measure is missing with its reason."""
    points = [
        "cpu_load",
        "memory_used",
        "disk_used",
        "temperature",
        "uptime",
        "outbox_waiting",
        "polls_skipped",
        "clock_offset",
        "fan",
    ]
    health = GatewayHealth(
        "gw",
        points=points,
        clock=SteppedClock(AT),
        folder=tmp_path,
        agent={"outbox_waiting": lambda: 7, "polls_skipped": lambda: 3},
    )
    first, second = await health.read(), await health.read()
    assert (first.parts[0].taken_at, second.parts[0].taken_at) == (AT, AT + 1)
    assert list(first.answers) == points
    assert (first.answers["outbox_waiting"], first.answers["polls_skipped"]) == (7.0, 3.0)
    for name in ("cpu_load", "memory_used", "disk_used"):
        answer = first.answers[name]
        assert isinstance(answer, float)
        assert 0 <= answer <= 100
    assert first.answers["fan"] == Missing(Test.REFUSED, "gw: this gateway cannot measure that point")


def test_processor_load_is_the_share_since_the_last_question(tmp_path: Path) -> None:
    """Idle and waiting for a disk are not busy; the first answer is since boot; twice in one tick gives 0."""
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 100 700 100 0 0 0 5 5\ncpu0 1 1\n", encoding="ascii")
    busy = BusyShare(tmp_path)
    assert busy.percent() == 20.0
    stat.write_text("cpu  140 0 110 720 130 0 0 0 5 5\ncpu0 1 1\n", encoding="ascii")
    assert busy.percent() == 50.0
    assert busy.percent() == 0.0


def test_memory_and_disk_are_shares(tmp_path: Path) -> None:
    """Memory counts what is not available; the disk is that of the given folder."""
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\n", encoding="ascii")
    assert memory_used_percent(tmp_path) == 75.0
    assert 0 < disk_used_percent(tmp_path / "not" / "yet") <= 100


def test_a_machine_without_a_thermometer_says_so(tmp_path: Path) -> None:
    """No file, or no number in it, is missing; thousandths of a degree become degrees."""
    assert isinstance(temperature_celsius(tmp_path / "temp"), Missing)
    (tmp_path / "temp").write_text("48250\n", encoding="ascii")
    assert temperature_celsius(tmp_path / "temp") == 48.25


def test_the_clock_is_unknown_until_it_was_synchronised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown, synchronised, then free-running since it was last seen synchronised."""
    answers = iter([False, True, False])
    monkeypatch.setattr(clock_state, "read_kernel_clock", lambda: KernelClock(next(answers), 0.0))
    watch = ClockWatch(Timeline(SteppedClock(AT)), tmp_path / "synchronized")
    assert watch.state() == (ClockState.UNKNOWN, None)
    assert watch.state() == (ClockState.SYNCHRONISED, None)
    assert watch.state() == (ClockState.FREE_RUNNING, AT)


def test_a_synchronisation_before_the_agent_started_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark that systemd-timesyncd leaves at each synchronisation outlives a restart of the agent."""
    monkeypatch.setattr(clock_state, "read_kernel_clock", lambda: KernelClock(is_synchronised=False, offset_ms=0.0))
    mark = tmp_path / "synchronized"
    mark.touch()
    watch = ClockWatch(Timeline(SteppedClock(AT)), mark)
    assert watch.state() == (ClockState.FREE_RUNNING, mark.stat().st_mtime_ns // 1_000_000)


def test_a_clock_that_was_set_runs_free_since_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a person, or a time server that does not tell the kernel; before it, nothing is known of it."""
    monkeypatch.setattr(clock_state, "read_kernel_clock", lambda: KernelClock(is_synchronised=False, offset_ms=0.0))
    machine = Machine(0)
    timeline = Timeline(machine)
    watch = ClockWatch(timeline, tmp_path / "synchronized")
    assert watch.state() == (ClockState.UNKNOWN, None)
    machine.offset = AT
    timeline.look()
    assert watch.state() == (ClockState.FREE_RUNNING, AT + 5_000)


@pytest.mark.parametrize(
    ("there", "since_start_ms", "made_up"),
    [
        (["systemd"], 20_000, True),
        (["systemd"], 601_000, False),  # nobody sets it: better than no time
        (["systemd", "synchronized"], 20_000, False),
        (["systemd", "rtc"], 20_000, False),
        ([], 20_000, False),
    ],
)
def test_a_time_that_systemd_has_put_in_place_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], since_start_ms: int, *, made_up: bool
) -> None:
    """Where there is no hardware clock, what the machine shows in its first minutes is where it stopped last."""
    monkeypatch.setattr(clock_state, "read_kernel_clock", lambda: KernelClock(is_synchronised=False, offset_ms=0.0))
    for name in there:
        (tmp_path / name / "rtc0").mkdir(parents=True)
    paths = {"mark": tmp_path / "synchronized", "systemd": tmp_path / "systemd", "rtc": tmp_path / "rtc"}
    assert is_made_up(since_start_ms, **paths) is made_up


def test_the_kernel_answers_without_privilege() -> None:
    """Whatever this machine's clock is, asking is possible and its offset is a number."""
    clock = clock_state.read_kernel_clock()
    assert abs(clock.offset_ms) < 1_000_000


@pytest.fixture
def _plain_logging() -> object:
    yield
    structlog.reset_defaults()
    logging.basicConfig(force=True)


@pytest.mark.usefixtures("_plain_logging")
def test_a_log_line_is_for_people_or_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """The same event in both forms, on standard error only; libraries speak through the same lines."""
    log.configure(as_json=False)
    structlog.get_logger().warning("meter-3: no answer", place="10.0.0.7:502")
    log.configure(as_json=True)
    structlog.get_logger().warning("meter-3: 无应答", place="10.0.0.7:502")
    logging.getLogger("some.library").error("it broke")
    out, err = capsys.readouterr()
    human, machine, library = err.splitlines()
    assert out == ""
    assert human.endswith("[warning] meter-3: no answer place=10.0.0.7:502")
    assert json.loads(machine).items() >= {"event": "meter-3: 无应答", "place": "10.0.0.7:502"}.items()
    assert json.loads(library)["event"] == "it broke"
