"""docs/security.md names only tests that exist, where it says they are."""

from __future__ import annotations

import re

import pytest

from tests import layout

PAGE = layout.ROOT / "docs" / "security.md"
NAME = re.compile(r"`(test_\w+)`")
FILE = re.compile(r"\]\(\.\./(tests/[\w/]+\.py)\)")


def named(page: str) -> list[tuple[str, str]]:
    """Return (file, test) for every test that a page names: those in backquotes before a link are in its file."""
    found, waiting = [], []
    for match in re.finditer(f"{NAME.pattern}|{FILE.pattern}", page):
        name, file = match.groups()
        if name:
            waiting.append(name)
        else:
            found += [(file, each) for each in waiting]
            waiting = []
    return found + [("no file", each) for each in waiting]


def missing(page: str) -> list[str]:
    """Return the tests of a page that are not where it says."""
    sources = {file: (layout.ROOT / file).read_text() for file, _ in named(page) if (layout.ROOT / file).is_file()}
    return [f"{file}: {name}" for file, name in named(page) if f"def {name}(" not in sources.get(file, "")]


def test_every_test_that_the_threat_model_names_is_there() -> None:
    """What is said to be tested is tested."""
    text = PAGE.read_text()
    assert len(named(text)) > 50
    assert missing(text) == []


@pytest.mark.parametrize("file", ["tests/test_security_page.py", "tests/gone.py"])
def test_a_test_that_is_not_there_is_found(file: str) -> None:
    """A renamed test, one in another file, and one without a file are findings."""
    page = f"`test_of_nothing` in [a](../{file}), `test_without_a_file`"
    assert missing(page) == [f"{file}: test_of_nothing", "no file: test_without_a_file"]


def test_every_claim_has_something_to_show() -> None:
    """Each row of a threat names a file or test."""
    rows = [line for line in PAGE.read_text().splitlines() if re.match(r"\| [STRIDE ]+ \| ", line)]
    assert len(rows) > 40
    assert [row for row in rows if not re.search(r"\]\(\.\./tests/", row)] == []
