"""Every dependency has a reason, a version of the lock, and a licence that fits."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date

import pytest

from docs import dependencies
from tests import layout

REVIEW = dependencies.load_review()


def test_each_python_package_that_we_ask_for_has_its_reason() -> None:
    """What pyproject.toml asks for is in dependencies.yaml, and nothing else."""
    assert sorted(REVIEW.python) == sorted(dependencies.asked_for())


def test_each_tool_has_its_reason() -> None:
    """So has what the set-up installs before them."""
    assert sorted(REVIEW.tools) == sorted(dependencies.tools())


def test_each_package_of_the_pages_has_its_reason() -> None:
    """What package.json asks for is in dependencies.yaml, and nothing else."""
    assert sorted(REVIEW.pages) == sorted(dependencies.npm_asked_for())


def test_each_debian_package_has_its_reason() -> None:
    """So has each server and program that the set-up installs, and Python itself."""
    script = (layout.ROOT / "deploy" / "set_up.sh").read_text()
    match = re.search(r'^servers="(.+)"$', script, re.MULTILINE)
    assert match is not None
    assert sorted(REVIEW.debian) == sorted([*match[1].split(), "python3-venv"])


def test_a_page_shows_the_version_of_the_lock() -> None:
    """Each of our own dependencies is in the lock, whose version the page shows."""
    page, locked = dependencies.page(), dependencies.locked("test")
    for name in REVIEW.python:
        assert f"| {name} | {locked[name].version} |" in page
    for name in REVIEW.pages:
        assert f"| {name} | {dependencies.npm_locked()[name].version} |" in page


def test_both_locks_have_the_same_versions() -> None:
    """What is tested is what is installed."""
    product, test = dependencies.locked("product"), dependencies.locked("test")
    assert product
    assert {name: package.version for name, package in product.items()} == {
        name: package.version for name, package in test.items() if name in product
    }


def test_every_package_has_a_licence_that_fits() -> None:
    """Also those that others bring: none is unknown, and none asks for more than Apache-2.0 allows."""
    licences = {name: dependencies.licence_of(name) for name in dependencies.locked("test")}
    assert {name: each for name, each in licences.items() if not dependencies.fits(name, each)} == {}


def test_every_package_of_the_pages_has_a_licence_that_fits() -> None:
    """Those that npm installs too."""
    told = {name: package.licence for name, package in dependencies.npm_locked().items()}
    licences = told | {name: dependencies.npm_licence(name, entry) for name, entry in REVIEW.pages.items()}
    assert {name: each for name, each in licences.items() if not dependencies.fits(name, each or "")} == {}


@pytest.mark.parametrize(
    ("licence", "is_fit"),
    [
        ("MIT", True),
        ("EPL-2.0 OR BSD-3-Clause", True),
        ("MIT AND PSF-2.0", True),
        ("GPL-3.0-only", False),
        ("LGPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_a_licence_that_asks_for_more_is_found(licence: str, *, is_fit: bool) -> None:
    """Of a choice one is enough, of several at once all must fit; LGPL is for psycopg alone."""
    assert dependencies.fits("some-package", licence) is is_fit
    assert dependencies.fits("psycopg", "LGPL-3.0-only")


def test_the_dates_are_dates_before_the_review() -> None:
    """Nothing was released after it was looked at."""
    reviewed = date.fromisoformat(REVIEW.reviewed)
    for entry in (*REVIEW.python.values(), *REVIEW.tools.values(), *REVIEW.pages.values()):
        assert date.fromisoformat(entry.released) <= reviewed


def test_a_cloud_on_sqlite_does_not_load_psycopg() -> None:
    """The LGPL library is loaded by those alone who use PostgreSQL."""
    program = """
import sys
from cloud.cli import app
from cloud.database import Database
with Database("sqlite:////dev/null"):
    print("psycopg" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False"]
