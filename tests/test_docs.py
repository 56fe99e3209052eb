"""The pages: links lead somewhere, both READMEs say the same, every command is in them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import layout

LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)[^)]*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The names that the headings of a page can be linked by, as code hosts make them."""
    titles = (re.sub(r"[`*_]|\]\([^)]*\)|\[", "", title) for title in HEADING.findall(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(texts: Mapping[str, str], root: Path = layout.ROOT) -> list[str]:
    """Links of Markdown pages to a file or heading that is not there. Outside addresses are not asked."""
    findings = []
    for name, text in sorted(texts.items()):
        for link in LINK.findall(FENCE.sub("", text)) if name.endswith(".md") else ():
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = (root / name).parent / path if path else root / name
            if not target.exists():
                findings.append(f"{name}: {link}: no such file")
            elif anchor and anchor not in anchors(text if not path else target.read_text()):
                findings.append(f"{name}: {link}: no such heading")
    return findings


def test_every_link_leads_somewhere() -> None:
    """Files and headings that a page links to are there."""
    assert broken_links(layout.repository_texts()) == []


@pytest.mark.parametrize("link", ["gone.md", "#gone", "README.md#gone", "docs/gone/"])
def test_a_broken_link_is_found(link: str) -> None:
    """A link to a missing file or heading is a finding that names the page."""
    (finding,) = broken_links({"CHANGELOG.md": f"# Here\n[fine](#here) [fine](README.md) [x]({link})"})
    assert finding.startswith(f"CHANGELOG.md: {link}: no such ")


def commands() -> list[str]:
    """The words that ./anlan knows."""
    match = re.search(r'^commands="(.+)"$', (layout.ROOT / "anlan").read_text(), re.MULTILINE)
    assert match
    return match.group(1).split()


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_names_every_command(readme: str) -> None:
    """A command that is not in the README does not exist for its reader."""
    text = (layout.ROOT / readme).read_text()
    assert [word for word in commands() if f"./anlan {word}" not in text] == []


def test_both_readmes_have_the_same_parts() -> None:
    """The two languages have the same number of headings, links and code blocks, and the same code."""
    english, chinese = ((layout.ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
    for pattern in (re.compile(r"^(#+) ", re.MULTILINE), re.compile(r"^ *\./anlan .*?(?=  |$)", re.MULTILINE)):
        assert pattern.findall(english) == pattern.findall(chinese)
    other_page = {"README.md", "README.zh-CN.md"}
    assert [x for x in LINK.findall(english) if x not in other_page] == [
        x for x in LINK.findall(chinese) if x not in other_page
    ]


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example(command: str) -> None:
    """`./anlan COMMAND --help` says how to use it, on any machine, without set-up."""
    if command == "help":
        return
    done = subprocess.run(
        [layout.ROOT / "anlan", "help", command], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.startswith(f"usage: ./anlan {command}")
    assert f"example: ./anlan {command}" in done.stdout


def test_every_decision_is_in_the_index() -> None:
    """A page of docs/decisions/ that the index does not link to is not found by anybody."""
    folder = layout.ROOT / "docs" / "decisions"
    linked = set(LINK.findall((folder / "README.md").read_text()))
    assert {path.name for path in folder.glob("*.md")} - {"README.md"} <= linked
