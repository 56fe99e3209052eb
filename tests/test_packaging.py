"""The locks pin what pyproject.toml asks for, and the built package holds what a gateway needs."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cloud.web.assets import VENDOR
from deploy.wheel import build_wheel
from tests import layout

LOCKS = layout.ROOT / "deploy" / "locks"
MODULES = "cloud/web/node_modules/"
# What installs and checks the packages of the pages, and is of no use where they are served.
FOR_NPM = {f"cloud/web/{name}" for name in ("package.json", "package-lock.json", ".npmrc", ".oxlintrc.json")}


def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((layout.ROOT / "pyproject.toml").read_text())["project"]
    return table


def pins(lock: str) -> dict[str, str]:
    """Distribution name -> version."""
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock, re.MULTILINE)
    }


def unmet(requirements: Iterable[str], pinned: dict[str, str]) -> list[str]:
    """Requirements that no pin fulfils."""
    wanted = [(text, Requirement(text)) for text in requirements]
    return [
        text
        for text, each in wanted
        if (pin := pinned.get(canonicalize_name(each.name))) is None or not each.specifier.contains(pin)
    ]


PRODUCT = ("edge", "cloud", "simulate")


@pytest.mark.parametrize(("lock", "extras"), [("product.txt", PRODUCT), ("test.txt", (*PRODUCT, "test"))])
def test_a_lock_pins_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    """After a change of pyproject.toml somebody has typed `./anlan lock`."""
    table = project()
    of_extras = [each for extra in extras for each in table["optional-dependencies"][extra]]
    assert unmet([*table["dependencies"], *of_extras], pins((LOCKS / lock).read_text())) == []


@pytest.mark.parametrize("extra", ["edge", "cloud"])
def test_a_machine_installs_what_is_tested(extra: str) -> None:
    """The lock of a gateway or a cloud has what its extra asks for, as the product was tested."""
    table = project()
    here = pins((LOCKS / f"{extra}.txt").read_text())
    assert unmet([*table["dependencies"], *table["optional-dependencies"][extra]], here) == []
    assert here.items() - pins((LOCKS / "product.txt").read_text()).items() == set()


def test_a_missing_or_old_pin_is_found() -> None:
    """A requirement that the lock lacks or pins too low is named."""
    assert unmet(["typer>=2", "PyYAML>=6", "gone"], {"typer": "1.9", "pyyaml": "6.0.3"}) == ["typer>=2", "gone"]


def test_the_tests_run_what_the_product_runs() -> None:
    """Every product package has the same version in both locks."""
    product, test = (pins((LOCKS / name).read_text()).items() for name in ("product.txt", "test.txt"))
    assert product - test == set()


@pytest.mark.parametrize("lock", ["product.txt", "edge.txt", "cloud.txt", "test.txt", "uv.txt", "node.txt"])
def test_a_lock_has_hashes_and_no_addresses(lock: str) -> None:
    """Each pin is held to its files by hash, and the lock works with any index."""
    text = (LOCKS / lock).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|--index-url|--find-links", text) == []


def test_the_packages_of_the_pages_are_pinned() -> None:
    """After a change of package.json somebody has typed `./anlan lock`; each package has a hash and no address."""
    web = layout.ROOT / "cloud" / "web"
    wanted, lock = (json.loads((web / name).read_text()) for name in ("package.json", "package-lock.json"))
    kinds = ("dependencies", "devDependencies")
    pinned = lock["packages"].pop("")
    assert {kind: pinned[kind] for kind in kinds} == {kind: wanted[kind] for kind in kinds}
    assert [name for name, each in lock["packages"].items() if "integrity" not in each or "resolved" in each] == []
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of the present tree, as `./anlan wheel` builds it."""
    return zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel")))


def test_the_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    """Modules, profiles, migrations and pictures are all there: nothing works in the checkout only."""
    tree = {
        path.relative_to(layout.ROOT).as_posix()
        for name in layout.PACKAGES
        for path in (layout.ROOT / name).rglob("*")
        if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts)
    }
    assert tree - set(wheel.namelist()) == FOR_NPM


def test_the_wheel_holds_what_is_served_of_npm_packages(wheel: zipfile.ZipFile) -> None:
    """The files that a browser gets are there with the licences they come under, and nothing else of node_modules."""
    held = {name.removeprefix(MODULES) for name in wheel.namelist() if name.startswith(MODULES)}
    assert held == {*VENDOR, *(f"{file.partition('/')[0]}/LICENSE" for file in VENDOR)}


def test_the_wheel_gives_the_three_commands(wheel: zipfile.ZipFile) -> None:
    """An installed package has anlan-edge, anlan-cloud and anlan-simulate."""
    (name,) = (each for each in wheel.namelist() if each.endswith("entry_points.txt"))
    names = re.findall(r"^(anlan-\w+) =", wheel.read(name).decode(), re.MULTILINE)
    assert sorted(names) == ["anlan-cloud", "anlan-edge", "anlan-simulate"]


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_installs_the_wheel_of_this_version(wheel: zipfile.ZipFile, readme: str) -> None:
    """The file that the READMEs install is the one that is built."""
    assert wheel.filename
    assert f"dist/{Path(wheel.filename).name}[edge]" in (layout.ROOT / readme).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", sorted(project()["scripts"]))
def test_a_command_leads_to_a_function(command: str) -> None:
    """What an installed command calls is there, in a module that can be imported."""
    module, _, function = project()["scripts"][command].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_a_gateway_needs_nothing_of_the_cloud() -> None:
    """The base and the edge extra name no package that is the cloud's or the simulators' own."""
    table = project()
    on_a_gateway = {
        canonicalize_name(Requirement(each).name)
        for each in [*table["dependencies"], *table["optional-dependencies"]["edge"]]
    }
    assert on_a_gateway & (layout.NOT_ON_A_GATEWAY | {"influxdb-client", "alembic", "argon2-cffi"}) == set()


@pytest.mark.parametrize(
    ("program", "extra", "lost"),
    [("edge", "edge", "pymodbus"), ("cloud", "cloud", "sqlalchemy"), ("simulators", "simulate", "httpx")],
)
def test_a_missing_extra_is_said(program: str, extra: str, lost: str) -> None:
    """Where only a gateway's packages are installed, the other commands say what they need."""
    start = f"import sys, runpy; sys.modules['{lost}'] = None; runpy.run_module('{program}', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert re.fullmatch(rf".* Python package {lost}[.\w]*: install .*anlan\[{extra}\]\n", done.stderr)
