"""``simulate camera`` says what is wrong with a command line, and serves what it says."""

from __future__ import annotations

from typer.testing import CliRunner

from simulators.cameras.cli import FAULTS
from simulators.cli import app


def test_an_unknown_fault_is_said_with_the_nearest() -> None:
    """A fault that there is none of ends with code 2, the nearest word and the whole list."""
    done = CliRunner().invoke(app, ["camera", "--brand", "dahua", "--fault", "strom"])
    assert done.exit_code == 2
    assert 'no fault "strom" (did you mean "storm"?)' in done.output


def test_help_lists_every_fault() -> None:
    """What can be typed is in the help, with what it does."""
    shown = " ".join(CliRunner().invoke(app, ["camera", "--help"]).output.split())
    assert all(f"{word} {fault.value}" in shown for word, fault in FAULTS.items())
