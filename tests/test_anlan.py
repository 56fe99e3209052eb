"""The script ./anlan: set-up once, also when interrupted or started twice; then nothing but the command.

Set-up runs with a stand-in for Python, so no package is fetched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests import layout

STAND_IN = """\
#!/bin/sh
# Stands in for python3: makes a .venv of itself and notes what is asked of it.
case "$1 $2" in
"-V "*) echo "Python $STAND_IN_VERSION" ;;
"-m venv") mkdir -p "$3/bin" "$3/lib/python3.11/site-packages" && cp "$0" "$3/bin/python" ;;
"-m pip")
    case $3 in install) cp "$0" "${0%/*}/uv" ;; esac
    ;;
"-c "*) exec "$REAL_PYTHON" "$@" ;;
"--version "*) sed -n 's/^uv==\\([^ ]*\\).*/uv \\1/p' "$LOCKS/uv.txt" ;;
"pip sync")
    echo "sync $*" >>"$NOTES"
    if [ -n "${FAIL:-}" ]; then echo "no such package"; exit 1; fi
    sleep "${SLOW:-0}"
    ;;
*) echo "run $*"; echo "cwd $PWD" ;;
esac
"""


class Checkout:
    """A copy of ./anlan and the locks in a folder with spaces, and a stand-in python3 first on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.elsewhere = folder / "else where"
        self.notes = folder / "notes"
        self.elsewhere.mkdir()
        shutil.copytree(layout.ROOT / "deploy" / "locks", self.root / "deploy" / "locks")
        for name in ("anlan", "pyproject.toml"):
            shutil.copy(layout.ROOT / name, self.root)
        python = folder / "bin" / "python3"
        python.parent.mkdir()
        python.write_text(STAND_IN)
        python.chmod(0o755)
        real = shutil.which("python3")
        assert real
        self.environment = {
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "NOTES": str(self.notes),
            "LOCKS": str(self.root / "deploy" / "locks"),
            "REAL_PYTHON": real,
            "STAND_IN_VERSION": "3.11.9",
        }

    def start(self, *arguments: str, script: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [script or self.root / "anlan", *arguments],
            cwd=self.elsewhere,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, script: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, script=script, **environment)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def syncs(self) -> list[str]:
        """What uv was asked to install, one line each time."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_start_sets_up_and_the_second_does_not(checkout: Checkout) -> None:
    """Packages are installed once; each start runs the command in the caller's folder with the arguments as given."""
    first = checkout.run("edge", "run", "--config", "my gateway.yaml")
    second = checkout.run("edge", "run", "--config", "my gateway.yaml")
    assert first.stdout == second.stdout == f"run -m edge run --config my gateway.yaml\ncwd {checkout.elsewhere}\n"
    assert len(checkout.syncs()) == 1
    assert second.stderr == ""


def test_the_demo_installs_the_product_and_the_tests_install_more(checkout: Checkout) -> None:
    """A demo takes product.txt; a bench takes test.txt, and after it the demo has what it needs."""
    (checkout.root / "tests" / "bench").mkdir(parents=True)
    (checkout.root / "tests" / "bench" / "wire.py").touch()
    assert checkout.run("demo", "--check").stdout.startswith("run -m simulators demo --check\n")
    assert checkout.run("bench", "wire").stdout.startswith("run -m tests.bench.wire\n")
    assert checkout.run("demo").returncode == 0
    product, test = checkout.syncs()
    assert "product.txt" in product
    assert "test.txt" in test


def test_a_changed_lock_or_python_is_installed_again(checkout: Checkout) -> None:
    """A stamp fits only the locks and the Python it was made for."""
    checkout.run("edge")
    with (checkout.root / "deploy" / "locks" / "product.txt").open("a") as lock:
        lock.write("# another line\n")
    checkout.run("edge")
    checkout.run("edge", STAND_IN_VERSION="3.12.1")
    assert len(checkout.syncs()) == 3


def test_a_failed_set_up_shows_its_end_and_is_done_again(checkout: Checkout) -> None:
    """A failed install gives the tool's words and the log's place, and leaves no stamp."""
    failed = checkout.run("edge", FAIL="yes")
    assert failed.returncode != 0
    assert "no such package" in failed.stderr
    assert str(checkout.root / ".anlan" / "setup.log") in failed.stderr
    assert checkout.run("edge").returncode == 0
    assert len(checkout.syncs()) == 2


def test_a_killed_set_up_is_done_again(checkout: Checkout) -> None:
    """Kill -9 in the middle of an install leaves nothing that the next start takes for done."""
    process = checkout.start("edge", SLOW="60")
    while not checkout.syncs():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert checkout.run("edge").returncode == 0
    assert len(checkout.syncs()) == 2


def test_two_starts_at_once_install_once(checkout: Checkout) -> None:
    """The second waits for the first and finds its work done."""
    both = [checkout.start("edge", SLOW="1") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.splitlines()[0]) == (0, "run -m edge"), err
    assert len(checkout.syncs()) == 1


def test_it_finds_its_folder_through_symlinks(checkout: Checkout) -> None:
    """A link to a relative link to the script works from any folder."""
    (checkout.root / "link").symlink_to("anlan")
    link = checkout.elsewhere / "anlan"
    link.symlink_to(checkout.root / "link")
    assert checkout.run("cloud", "init", script=link).stdout.startswith("run -m cloud init\n")
    assert (checkout.root / ".venv" / "anlan.stamp").exists()


def test_the_command_takes_the_place_of_the_script(checkout: Checkout) -> None:
    """What runs in the end has the process id that was started, so that signals reach it."""
    checkout.run("edge")
    python = checkout.root / ".venv" / "bin" / "python"
    python.write_text(python.read_text().replace('echo "run $*"', 'echo "pid $$"'))
    process = checkout.start("edge")
    out, _ = process.communicate(timeout=60)
    assert out.startswith(f"pid {process.pid}\n")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["tset"], '(did you mean "test"?)'),
        (["bench", "wires"], '(did you mean "wire"?)'),
        (["test", "egde"], '"edge"'),
    ],
)
def test_an_unknown_word_gets_the_nearest(arguments: list[str], hint: str) -> None:
    """A typing error ends with status 2 and the word that was meant, before any set-up."""
    done = subprocess.run([layout.ROOT / "anlan", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert hint in done.stderr


@pytest.mark.parametrize("arguments", [["check", "foo"], ["generate", "foo"], ["lock", "--bad"]])
def test_what_a_command_does_not_take_is_refused(arguments: list[str], checkout: Checkout) -> None:
    """Nothing is done, and the usage is in the script's own words."""
    checkout.run("edge")
    python = checkout.root / ".venv" / "bin" / "uv"
    python.write_text("#!/bin/sh\nexit 2\n")
    done = checkout.run(*arguments)
    command, argument = arguments
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f'anlan: {command}: does not take "{argument}"\nusage: ./anlan {command}')


def test_it_says_which_anlan_it_is(checkout: Checkout) -> None:
    """The version of pyproject.toml, and in a repository the commit; nothing is set up for that."""
    number = tomllib.loads((layout.ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert checkout.run("--version").stdout == f"anlan {number}\n"
    assert checkout.syncs() == []
    git = checkout.root.parent / "bin" / "git"
    git.write_text("#!/bin/sh\necho 0123abc\n")
    git.chmod(0o755)
    assert checkout.run("--version").stdout == f"anlan {number} (0123abc)\n"


def test_programs_know_how_the_script_was_typed(checkout: Checkout) -> None:
    """Their hints begin with it."""
    checkout.run("edge")
    python = checkout.root / ".venv" / "bin" / "python"
    python.write_text(python.read_text().replace('echo "run $*"', 'echo "typed $ANLAN_PROGRAM"'))
    assert checkout.run("edge").stdout.startswith(f"typed {checkout.root}/anlan\n")


def test_without_a_usable_python_it_says_what_to_type(checkout: Checkout) -> None:
    """A Python that is too old or lacks venv gives one line that helps, not a trace."""
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        python = checkout.root.parent / "bin" / name
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    others = {"id": "echo 1000", "apt-get": "exit 1", "dpkg-query": "exit 1"}
    for name, line in others.items():
        (checkout.root.parent / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
        (checkout.root.parent / "bin" / name).chmod(0o755)
    done = checkout.run("demo")
    assert done.returncode == 1
    assert done.stderr.endswith("type:  sudo apt-get install python3-venv\n")
