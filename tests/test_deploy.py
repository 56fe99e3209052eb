"""What is put on machines that run Anlan for real: systemd takes the units, and they leave little to attack."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

import cloud.cli
import edge.cli
from deploy import wheel
from tests import layout

UNITS = sorted((layout.ROOT / "deploy" / "systemd").glob("*.service"))
MOST_EXPOSURE = 1.5  # of 10; systemd calls up to 2 "OK"
APPS = {"anlan-edge": edge.cli.app, "anlan-cloud": cloud.cli.app}


def systemd_analyze(*arguments: str | Path) -> str:
    """What systemd-analyze says; the test skips where there is none, and fails there with CI=true."""
    program = shutil.which("systemd-analyze")
    if program is None:
        reason = "systemd-analyze is not installed; on Debian type: apt-get install systemd"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def unit_text(unit: Path) -> configparser.RawConfigParser:
    """A unit, with the last of settings that stand twice."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit.read_text())
    return parser


def installed(folder: Path) -> list[Path]:
    """The units and timers in a folder, with programs that are there in place of ours."""
    for name in APPS:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    made = []
    for source in (layout.ROOT / "deploy" / "systemd").glob("*.*"):
        if source.suffix in {".service", ".timer"}:
            (folder / source.name).write_text(source.read_text().replace("/opt/anlan/bin/", f"{folder}/"))
            made.append(folder / source.name)
    return made


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """No setting is unknown to it or wrong."""
    assert systemd_analyze("verify", *installed(tmp_path)) == ""


def test_systemd_finds_a_wrong_setting(tmp_path: Path) -> None:
    """The check can fail."""
    wrong = tmp_path / "wrong.service"
    wrong.write_text("[Service]\nExecStart=/bin/true\nProtectSystem=somewhat\n")
    assert "protect system value" in systemd_analyze("verify", wrong)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.stem))
def test_a_unit_leaves_little_to_attack(unit: Path) -> None:
    """Its exposure as systemd rates it; nobody runs as root, and nothing but the state may be written."""
    said = systemd_analyze("security", "--offline=true", unit)
    (figure,) = re.findall(r"exposure level for \S+: ([0-9.]+)", said)
    assert float(figure) <= MOST_EXPOSURE
    service = unit_text(unit)["Service"]
    assert service["User"] == "anlan"
    assert (service["ProtectSystem"], service["PrivateTmp"], service["NoNewPrivileges"]) == ("strict", "yes", "yes")
    assert service["CapabilityBoundingSet"] == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.stem))
def test_a_unit_starts_a_command_that_there_is(unit: Path) -> None:
    """The words after our program are one of its commands, with options that it has."""
    line = unit_text(unit)["Service"]["ExecStart"].replace("$$(date +%%F)", "today")
    words = re.search(r"/opt/anlan/bin/(.+?)'?$", line)
    assert words
    program, name, *options = shlex.split(words[1])
    commands = typer.main.get_command(APPS[program])
    with commands.make_context(program, [name, *options], resilient_parsing=True) as context:
        taken = commands.get_command(context, name)  # type: ignore[attr-defined]
        known = {option for each in taken.params for option in each.opts}
    assert {option for option in options if option.startswith("--")} <= known


def test_the_wheel_comes_with_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`./anlan wheel` puts pinned packages, units and the broker's configuration beside it."""
    wheel.main(["--out", str(tmp_path)])
    (built,) = tmp_path.glob("anlan-*.whl")
    assert str(built) in capsys.readouterr().out
    assert {"edge.txt", "cloud.txt", "systemd", "mosquitto"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "systemd" / "anlan-edge.service").exists()


def test_the_wheel_says_where_it_cannot_be_put(tmp_path: Path) -> None:
    """A folder that cannot be made ends with the place and the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"file/dist: Not a directory"):
        wheel.main(["--out", str(tmp_path / "file" / "dist")])


CONTAINERS = sorted((layout.ROOT / "deploy" / "container").glob("Containerfile.*"))


@pytest.mark.parametrize("file", CONTAINERS, ids=lambda file: str(file.suffix[1:]))
def test_a_container_is_made_of_what_there_is(file: Path, tmp_path: Path) -> None:
    """What it copies is what `./anlan wheel` leaves; it runs one of our commands, and not as root."""
    text = file.read_text().replace("\\\n", " ")
    (copied,) = re.findall(r"^COPY (dist/\S+) (dist/\S+) /packages/$", text, re.MULTILINE)
    wheel.main(["--out", str(tmp_path / "dist")])
    assert all(len(list(tmp_path.glob(pattern))) == 1 for pattern in copied)
    assert re.findall(r"^USER (\w+)$", text, re.MULTILINE) == ["anlan"]
    (program,) = re.findall(r'^ENTRYPOINT \["/opt/anlan/bin/(\S+)"\]$', text, re.MULTILINE)
    assert program in APPS
    assert "--require-hashes" in text


def test_the_composition_opens_nothing_but_the_broker() -> None:
    """Pages are published on loopback, the database on no port; every file it mounts from the checkout is there."""
    folder = layout.ROOT / "deploy" / "container"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    published = {name: [port.rpartition(":")[0] for port in of.get("ports", ())] for name, of in services.items()}
    assert published == {"cloud": ["127.0.0.1:8000"], "database": [], "broker": ["8883", "8884"]}
    assert (folder / services["cloud"]["build"]["context"] / services["cloud"]["build"]["dockerfile"]).exists()
    mounted = [volume.partition(":")[0] for of in services.values() for volume in of["volumes"]]
    assert [path for path in mounted if path.startswith("../") and not (folder / path).exists()] == []
