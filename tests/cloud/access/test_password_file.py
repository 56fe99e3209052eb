"""Mosquitto's password file as we write it."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud.access.password_file import hash_password, remove_password, set_password, users_of
from tests.conftest import require
from tests.servers import Mosquitto

PASSWORD = re.compile(r"[a-z2-9]{5}(-[a-z2-9]{5}){4}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "passwords"


def test_our_hash_is_that_of_mosquitto(tmp_path: Path) -> None:
    """What mosquitto_passwd makes of a password and its salt, we make of them too."""
    require(Mosquitto)
    file = tmp_path / "theirs"
    subprocess.run(["mosquitto_passwd", "-c", "-b", file, "gw-1", "correct horse"], check=True, capture_output=True)
    _, _, theirs = file.read_text().strip().partition(":")
    assert hash_password("correct horse", base64.b64decode(theirs.split("$")[3])) == theirs
    assert hash_password("correct horse") != theirs


def test_a_password_is_long_and_kept_nowhere(file: Path) -> None:
    """25 characters that nobody confuses, another each time; the file has its hash alone."""
    passwords = [set_password(file, "gw-1"), set_password(file, "gw-1"), set_password(file, "gw-2")]
    assert len(set(passwords)) == 3
    assert all(PASSWORD.fullmatch(password) for password in passwords)
    text = file.read_text()
    assert not any(password in text for password in passwords)
    assert re.fullmatch(r"(gw-[12]:\$7\$101\$[\w+/]{16}\$[\w+/]{86}==\n){2}", text)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_lines_of_others_stay(file: Path) -> None:
    """A user that an operator added by hand stays where he is, whatever we set and remove."""
    file.write_text("monitor:$7$101$c2FsdA==$aGFzaA==\ngw-10:x\n")
    set_password(file, "gw-1")
    assert users_of(file) == {"monitor", "gw-10", "gw-1"}
    assert remove_password(file, "gw-1")
    assert not remove_password(file, "gw-1")
    assert file.read_text() == "monitor:$7$101$c2FsdA==$aGFzaA==\ngw-10:x\n"


def test_a_file_that_is_not_there(file: Path) -> None:
    """Nobody has a password then, and none can be removed."""
    assert users_of(file) == frozenset()
    assert not remove_password(file, "gw-1")


def test_two_commands_at_once(file: Path) -> None:
    """Commands that run at the same time lose none of each other's lines."""
    names = [f"gw-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: set_password(file, name), names))
    assert users_of(file) == set(names)
    assert [path.name for path in file.parent.iterdir()] == ["passwords"]
