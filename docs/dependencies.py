"""The page on dependencies: what is installed, in which version and under which licence, and why.

Reasons and dates are in dependencies.yaml, versions in the locks, licences in the metadata of what is installed.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import NamedTuple

from edge.contract.config_file import ConfigModel, load_yaml

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "deploy" / "locks"
PACKAGE = re.compile(r"[A-Za-z0-9._-]+")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)")
ELSEWHERE = "sys_platform == 'win32'"  # Anlan runs on Linux
OURS = "anlan (pyproject.toml)"

ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
    }
    | {"Zlib"}
)
"""Licences that ask for no more than that they are passed on, or (MPL-2.0) cover only changes of their own files."""
ALLOWED_FOR: Mapping[str, Sequence[str]] = {"LGPL-3.0-only": ("psycopg", "psycopg-binary")}
NAMES: Mapping[str, str] = {
    "Apache 2.0": "Apache-2.0",
    "Apache License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache-2.0 license": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages write instead of the names of the SPDX list."""
UNKNOWN = "unknown"

HEAD = """\
# Dependencies

Each package below is here for a reason, in one version, under a licence that fits Apache-2.0. The reasons were looked
at on {reviewed}; *newest release* is what its makers had released by then.

- Versions and the hash of every file are in [deploy/locks/](../deploy/locks/) and
  [package-lock.json](../cloud/web/package-lock.json): `./anlan` installs nothing else, and refuses a file that differs.
- A gateway installs *base* and *edge*, a cloud *base* and *cloud*; the rest is for demo and tests.
- `./anlan audit` asks whether one of them has a known weakness.
- Another one: [CONTRIBUTING](../CONTRIBUTING.md#add-a-package). A test fails when one has no reason here, or no licence
  that fits.

## Licences

Allowed are {allowed}.
MPL-2.0 asks for the source of its own files when they were changed; none is. Where a package offers a choice, we take
one of these.

psycopg is LGPL-3.0: it stays a package of its own, unchanged, that anybody may replace by another version, which is all
that its licence asks of a program that only uses it. Its wheel brings libpq and the libraries that this needs (OpenSSL,
Kerberos, LDAP, SASL), each a file of its own under a permissive licence or the LGPL; they get their corrections with
new versions of the wheel, not from Debian. A cloud with SQLite never loads them.
"""


class Entry(ConfigModel):
    """Why a dependency is there; `licence` only where its package names none."""

    newest: str
    released: str
    why: str
    licence: str | None = None


class DebianEntry(ConfigModel):
    """Why a package of Debian 12 is there."""

    version: str
    licence: str
    why: str


class Review(ConfigModel):
    """The whole of dependencies.yaml."""

    reviewed: str
    python: dict[str, Entry]
    tools: dict[str, Entry]
    pages: dict[str, Entry]
    debian: dict[str, DebianEntry]


class Locked(NamedTuple):
    """A package of a lock and what asks for it."""

    version: str
    asked_by: tuple[str, ...]


class NpmPackage(NamedTuple):
    """A package of package-lock.json."""

    version: str
    licence: str | None


def page() -> str:
    """Return the page."""
    review, asked, pinned = load_review(), asked_for(), locked("test")
    text = HEAD.format(reviewed=review.reviewed, allowed=", ".join(sorted(ALLOWED)))
    text += "\n## Python\n\n" + _table(
        ["package", "version", "licence", "for", "newest release", "why"],
        [
            [name, pinned[name].version, licence_of(name), ", ".join(asked[name]), _newest(entry), entry.why]
            for name, entry in sorted(review.python.items())
        ],
    )
    text += "\n## Tools that install\n\n" + _table(
        ["package", "version", "licence", "newest release", "why"],
        [
            [name, tools()[name].version, entry.licence or licence_of(name), _newest(entry), entry.why]
            for name, entry in sorted(review.tools.items())
        ],
    )
    text += "\n## Pages\n\n" + _table(
        ["package", "version", "licence", "newest release", "why"],
        [
            [name, npm_locked()[name].version, npm_licence(name, entry), _newest(entry), entry.why]
            for name, entry in sorted(review.pages.items())
        ],
    )
    text += "\n## Debian\n\nNone is needed for the demo but Python. Versions are those of Debian 12.\n\n" + _table(
        ["package", "version", "licence", "why"],
        [[name, entry.version, entry.licence, entry.why] for name, entry in sorted(review.debian.items())],
    )
    return text + "\n## What they bring\n\n" + _table(["package", "version", "licence", "asked for by"], _brought())


def load_review() -> Review:
    """Return dependencies.yaml."""
    return load_yaml(ROOT / "docs" / "dependencies.yaml", Review)


@cache
def asked_for() -> Mapping[str, Sequence[str]]:
    """Return what pyproject.toml asks for: package -> groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: dict[str, list[str]] = {}
    for group, wanted in {"base": project["dependencies"], **project["optional-dependencies"]}.items():
        for line in wanted:
            match = PACKAGE.match(line)
            assert match is not None  # noqa: S101 -- what pip would not take is not in pyproject.toml
            found.setdefault(normal(match.group()), []).append(group)
    return found


@cache
def locked(lock: str) -> Mapping[str, Locked]:
    """Return the packages of deploy/locks/{lock}.txt by name."""
    found: dict[str, Locked] = {}
    name, is_via = "", False
    for line in (LOCKS / f"{lock}.txt").read_text().splitlines():
        if match := PINNED.match(line):
            name, is_via = "" if ELSEWHERE in line else normal(match[1]), False
            if name:
                found[name] = Locked(match[2], ())
            continue
        is_via = is_via or line.startswith("    # via")
        asker = line.removeprefix("    # via").lstrip(" #")
        if is_via and name and asker and not asker.startswith("-c "):
            found[name] = found[name]._replace(asked_by=(*found[name].asked_by, asker))
    return found


@cache
def tools() -> Mapping[str, Locked]:
    """Return the packages that the set-up installs with and for."""
    return {**locked("uv"), **locked("node")}


@cache
def npm_locked() -> Mapping[str, NpmPackage]:
    """Return every package of package-lock.json by name."""
    packages = json.loads((ROOT / "cloud" / "web" / "package-lock.json").read_text())["packages"]
    return {
        path.removeprefix("node_modules/"): NpmPackage(package["version"], package.get("license"))
        for path, package in packages.items()
        if path
    }


def npm_asked_for() -> set[str]:
    """Return what package.json asks for."""
    document = json.loads((ROOT / "cloud" / "web" / "package.json").read_text())
    return {*document["dependencies"], *document["devDependencies"]}


def npm_licence(name: str, entry: Entry) -> str:
    """Return the licence of a package of the pages."""
    return npm_locked()[name].licence or entry.licence or UNKNOWN


@cache
def licence_of(name: str) -> str:
    """Return the licence of an installed package by its SPDX name, "unknown" where it names none that we know."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return UNKNOWN
    classifiers = [text.rpartition(" :: ")[2] for text in told.get_all("Classifier") or [] if text.startswith("Lic")]
    if "License-Expression" in told:
        return told["License-Expression"]
    # Some put the whole text there: its first line is its name.
    named = [text.strip().partition("\n")[0] for text in told.get_all("License") or []]
    choices = [NAMES.get(choice, choice) for choice in (*named, *classifiers)]
    return next((choice for choice in choices if fits(name, choice)), UNKNOWN)


def fits(name: str, licence: str) -> bool:
    """Whether a package may be used under a licence, an SPDX expression such as "MIT OR GPL-2.0"."""
    return any(
        all(part in ALLOWED or name in ALLOWED_FOR.get(part, ()) for part in choice.strip("() ").split(" AND "))
        for choice in licence.split(" OR ")
    )


def normal(name: str) -> str:
    """Return a package's name as all spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _brought() -> Iterator[list[str]]:
    for name, package in sorted(locked("test").items()):
        if OURS not in package.asked_by:
            yield [name, package.version, licence_of(name), ", ".join(package.asked_by)]


def _newest(entry: Entry) -> str:
    return f"{entry.newest} of {entry.released}"


def _table(headings: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
