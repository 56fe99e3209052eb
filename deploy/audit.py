"""Asks whether anything that Anlan installs has a known weakness, and looks for some in our own code: `./anlan audit`.

    ok         code: bandit found nothing in 23,451 lines
    ok         Python: 109 packages, nothing known
    not asked  pages: 405 Method Not Allowed - POST …

A package that nobody could be asked about is never taken for a good one: pip-audit itself says "No known
vulnerabilities found" and exits 0 when its service knows none of the packages.

Exit codes: 0 all were asked, and nothing is known; 1 something is known or was found; 2 the command line is wrong;
3 could not ask about everything (what could be asked is well).
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
LOCKS = ("product", "test", "uv", "node")
CODE = ("edge", "cloud", "simulators", "deploy", "docs")
WELL, FOUND, WRONG_USE, NOT_ASKED = range(4)
STATES = {WELL: "ok", FOUND: "FOUND", NOT_ASKED: "not asked"}
LONGEST_S = 300


class Verdict(NamedTuple):
    """What is known of one part, WELL, FOUND or NOT_ASKED, in lines for a person."""

    part: str
    state: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """One line for each finding; they begin with the state."""
        return "\n".join(f"{STATES[self.state]:<9}  {self.part}: {line}" for line in self.lines)


def judge_python(report: str, errors: str) -> Verdict:
    """Read what `pip-audit --format json` printed; `errors` is its standard error."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Verdict("Python", NOT_ASKED, (_last_line(errors),))
    known = [line for package in packages for line in _weaknesses(package)]
    if known:
        return Verdict("Python", FOUND, tuple(known))
    skipped = [package for package in packages if "vulns" not in package]
    if skipped or not packages:
        reason = skipped[0]["skip_reason"] if skipped else "there is none in the locks"
        return Verdict("Python", NOT_ASKED, (f"{len(skipped)} of {len(packages)} packages: {reason}",))
    return Verdict("Python", WELL, (f"{len(packages)} packages, nothing known",))


def judge_pages(report: str) -> Verdict:
    """Read what `npm audit --json` printed."""
    try:
        document = json.loads(report)
        found, counts = document["vulnerabilities"], document["metadata"]["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Verdict("pages", NOT_ASKED, (_npm_error(report),))
    known = [f"{name}: {each['severity']}, versions {each['range']}" for name, each in sorted(found.items())]
    if known:
        return Verdict("pages", FOUND, tuple(known))
    return Verdict("pages", WELL, (f"{counts['total']} packages, nothing known",))


def judge_code(report: str, errors: str) -> Verdict:
    """Read what `bandit --format json` printed."""
    try:
        document = json.loads(report)
        found, lines = document["results"], document["metrics"]["_totals"]["loc"]
    except (ValueError, KeyError, TypeError):
        return Verdict("code", NOT_ASKED, (_last_line(errors),))
    if found:
        return Verdict("code", FOUND, tuple(_finding(each) for each in found))
    return Verdict("code", WELL, (f"bandit found nothing in {lines:,} lines",))


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """What is found counts more than what could not be asked."""
    states = {verdict.state for verdict in verdicts}
    return FOUND if FOUND in states else NOT_ASKED if NOT_ASKED in states else WELL


def _weaknesses(package: dict[str, Any]) -> Iterator[str]:
    for known in package.get("vulns", ()):
        mended = f"mended in {', '.join(known['fix_versions'])}" if known["fix_versions"] else "not mended yet"
        names = ", ".join([known["id"], *known.get("aliases", ())])
        yield f"{package['name']} {package['version']}: {names}: {mended}"


def _finding(each: dict[str, Any]) -> str:
    return f"{each['filename']}:{each['line_number']}: {each['test_id']} {each['issue_text']}"


def _npm_error(report: str) -> str:
    try:
        document = json.loads(report)
        return str(document.get("message") or document["error"]["summary"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return _last_line(report)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no answer"])[-1][:300]


def _run(*words: str) -> tuple[str, str]:
    command = [sys.executable, "-m", *words]
    try:
        done = subprocess.run(  # noqa: S603 -- our own words
            command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"{words[0]}: no end within {LONGEST_S} s"
    return done.stdout, done.stderr


def _ask_code(folders: Sequence[str]) -> Verdict:
    return judge_code(*_run("bandit", "--quiet", "--configfile", "pyproject.toml", "--format", "json", "-r", *folders))


def _ask_python(locks: Sequence[Path], osv_url: str | None) -> Verdict:
    files = [word for lock in locks for word in ("--requirement", str(lock))]
    service = ["--vulnerability-service", "osv", "--osv-url", osv_url] if osv_url else []
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
    return judge_python(*_run("pip_audit", *options, *service, *files))


def main() -> int:
    """Ask everything; return the exit code."""
    parser = argparse.ArgumentParser(prog="./anlan audit", description=__doc__.partition("\n")[0])
    parser.add_argument("--osv-url", metavar="URL", help="ask this copy of the OSV service instead of PyPI")
    parser.add_argument("--npm-report", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--lock", type=Path, action="append", help=argparse.SUPPRESS)
    parser.add_argument("--code", action="append", help=argparse.SUPPRESS)
    given = parser.parse_args()
    locks = given.lock or [ROOT / "deploy" / "locks" / f"{name}.txt" for name in LOCKS]
    verdicts = []
    for verdict in (
        _ask_code(given.code or CODE),
        _ask_python(locks, given.osv_url),
        judge_pages(given.npm_report.read_text(encoding="utf-8")),
    ):
        print(verdict, flush=True)
        verdicts.append(verdict)
    code = exit_code(verdicts)
    if code == NOT_ASKED:
        print("could not ask about everything: this says nothing of what was not asked", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
