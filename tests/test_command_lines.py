"""Every command line that pages, help and hints show can be typed: the programs' own parsers take it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.exceptions import TyperException
from typer.testing import CliRunner

import cloud.cli
import edge.cli
import simulators.cli
from edge.contract.program import command
from tests import layout

APPS = {"edge": edge.cli.app, "cloud": cloud.cli.app, "simulate": simulators.cli.app}
PAGES = (
    *("README.md", "README.zh-CN.md", "CONTRIBUTING.md"),
    *("docs/api.md", "docs/backup.md", "docs/broker.md", "docs/bus-load.md", "docs/cameras.md", "docs/influxdb.md"),
    *("docs/installing.md",),
    *(
        "docs/moving-to-influxdb.md",
        "docs/postgresql.md",
        "docs/reading.md",
        "docs/rules.md",
        "docs/running.md",
        "docs/scanning.md",
    ),
    *("docs/simulators.md", "docs/troubleshooting.md", "docs/writing-profiles.md"),
)
SHOWN = re.compile(r"`(\./anlan [^`]+)`|^ *(?:example: )?(\./anlan .+?)(?:  +.*| +#.*)?$", re.MULTILINE)


def of_texts() -> Iterator[str]:
    """Command lines in inline code, in code blocks, and in the script's help."""
    for name in (*PAGES, "anlan"):
        for inline, line in SHOWN.findall((layout.ROOT / name).read_text(encoding="utf-8")):
            yield from (part.strip() for part in " ".join((inline or line).split()).split("&&"))


def of_help() -> Iterator[str]:
    """The examples of the programs' own help."""
    for program in APPS.values():
        commands = [*program.registered_commands]
        for group in program.registered_groups:
            assert group.typer_instance is not None
            commands += group.typer_instance.registered_commands
        for each in commands:
            assert each.epilog, each
            yield each.epilog.removeprefix("Example: ")


def is_of_a_program(line: str) -> bool:
    """Whether one of the programs takes it; `…` and `...` stand for what is left out."""
    return line.split()[1] in (*APPS, "demo") and not re.search(r"…|\.\.\.|/anlan \w+$", line.replace("demo", "demo "))


LINES = sorted({line for line in (*of_texts(), *of_help()) if is_of_a_program(line)})


def parse(line: str) -> None:
    """Parse a command line as its program does, and do nothing. Raises TyperException, or KeyError for no command."""
    _, name, *words = shlex.split(line)
    if name == "demo":
        name, words = "simulate", ["demo", *words]
    found = typer.main.get_command(APPS[name])
    while hasattr(found, "commands"):
        found = found.commands[words.pop(0)]
    found.make_context(line, words)


@pytest.mark.parametrize("line", LINES)
def test_a_shown_line_can_be_typed(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser takes every command line that is shown anywhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.txt").touch()  # an option of the broker wants the file to be there
    parse(line)


def test_there_are_lines_of_every_program() -> None:
    """The lines above are found at all, those of the READMEs too."""
    assert {line.split()[1] for line in LINES} == {*APPS, "demo"}
    assert "./anlan simulate scenario rainy-day --seed 1" in LINES


@pytest.mark.parametrize(
    "line", ["./anlan simulate scenario rainy-day --sed 1", "./anlan edge accept", "./anlan cloud rn"]
)
def test_a_wrong_line_is_found(line: str) -> None:
    """A wrong option, a missing argument and an unknown command do not pass."""
    with pytest.raises((TyperException, KeyError)):
        parse(line)


@pytest.mark.parametrize("name", APPS)
def test_lists_of_commands_are_not_cut(name: str) -> None:
    """On a terminal of 80 columns the first sentence of every command is there as a whole."""
    shown = CliRunner().invoke(APPS[name], ["--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    assert "..." not in shown.output.partition("Commands:")[2]


def test_a_line_is_what_is_typed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout the script with the program's name, elsewhere the installed command."""
    assert command("edge", "check") == "./anlan edge check"
    monkeypatch.delenv("ANLAN_PROGRAM")
    assert command("edge", "check") == "anlan-edge check"
