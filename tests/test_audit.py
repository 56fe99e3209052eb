"""`./anlan audit`: what is known is found, and what could not be asked is never taken for well."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deploy.audit import FOUND, LOCKS, NOT_ASKED, WELL, exit_code, judge_code, judge_pages, judge_python
from tests import layout

LOCK = layout.ROOT / "deploy" / "locks" / "uv.txt"
PAGES_WELL = {"vulnerabilities": {}, "metadata": {"dependencies": {"total": 7}}}
KNOWN = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-4711"],
    "summary": "made up",
    "published": "2026-01-02T03:04:05Z",
    "affected": [
        {
            "package": {"name": "uv", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


class _Advisories(BaseHTTPRequestHandler):
    """Stands in for the OSV service; `known` is what it knows of every package."""

    known: list[dict[str, Any]]

    def do_POST(self) -> None:
        """Answer one question."""
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"vulns": self.known}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def advisories() -> Iterator[tuple[str, type[_Advisories]]]:
    """The address of a service of advisories, and the class whose `known` says what it answers."""

    class Advisories(_Advisories):
        known: list[dict[str, Any]] = []  # noqa: RUF012 -- set by the test

    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query", Advisories
    server.shutdown()
    thread.join()
    server.server_close()


def audit(url: str, pages: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the real program on one lock, asking `url`; `pages` is what npm said."""
    report = folder / "npm.json"
    report.write_text(json.dumps(pages))
    options = ["--osv-url", url, "--npm-report", str(report), "--lock", str(LOCK), "--code", "deploy"]
    command = [sys.executable, "deploy/audit.py", *options]
    return subprocess.run(command, cwd=layout.ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_it_says_when_nothing_is_known(advisories: tuple[str, type[_Advisories]], tmp_path: Path) -> None:
    """All were asked and nothing is known: exit code 0."""
    done = audit(advisories[0], PAGES_WELL, tmp_path)
    assert done.stdout.splitlines()[1:] == [
        "ok         Python: 1 packages, nothing known",
        "ok         pages: 7 packages, nothing known",
    ]
    assert (done.returncode, done.stderr) == (0, "")


def test_it_names_what_is_known(advisories: tuple[str, type[_Advisories]], tmp_path: Path) -> None:
    """A known weakness is exit code 1 and a line with package, version, names, and where it is mended."""
    url, service = advisories
    service.known = [KNOWN]
    done = audit(url, {"message": "405 Method Not Allowed"}, tmp_path)
    assert "FOUND      Python: uv " in done.stdout
    assert "PYSEC-2026-1, CVE-2026-4711: mended in 99.0" in done.stdout
    assert "not asked  pages: 405 Method Not Allowed" in done.stdout
    assert done.returncode == 1


def test_it_says_when_it_could_not_ask(tmp_path: Path) -> None:
    """A service that does not answer is exit code 3 and one line with the reason, not a traceback."""
    done = audit("http://127.0.0.1:1/v1/query", PAGES_WELL, tmp_path)
    (line,) = [line for line in done.stdout.splitlines() if "Python" in line]
    assert line.startswith("not asked  Python: ")
    assert "127.0.0.1" in line
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)


def test_a_package_that_the_service_does_not_know_is_not_well() -> None:
    """pip-audit ends with 0 and "No known vulnerabilities found" when it skipped every package; we do not."""
    skipped = {"name": "uv", "skip_reason": "Dependency not found on PyPI and could not be audited: uv (0.13.9)"}
    asked = {"name": "typer", "version": "0.29.2", "vulns": []}
    verdict = judge_python(
        json.dumps({"dependencies": [skipped, asked], "fixes": []}), "No known vulnerabilities found"
    )
    assert verdict.state == NOT_ASKED
    assert "1 of 2 packages: Dependency not found" in str(verdict)


@pytest.mark.parametrize("report", ["", "null", "[]", "{}", '{"dependencies": []}', "Traceback"])
def test_an_answer_that_is_none_is_not_well(report: str) -> None:
    """Whatever a tool prints instead of a report, nothing is taken for well."""
    assert judge_python(report, "odd").state == NOT_ASKED
    assert judge_pages(report).state == NOT_ASKED
    assert judge_code(report, "odd").state == NOT_ASKED


def test_a_weak_package_of_the_pages_is_named() -> None:
    """A line says which package, how bad, and in which versions."""
    found = {"leaflet": {"severity": "high", "range": "<=1.9.4"}}
    verdict = judge_pages(json.dumps({**PAGES_WELL, "vulnerabilities": found}))
    assert verdict.state == FOUND
    assert str(verdict) == "FOUND      pages: leaflet: high, versions <=1.9.4"


def test_what_is_found_counts_more_than_what_could_not_be_asked() -> None:
    """1 before 3 before 0."""
    well, found, unasked = (judge_pages(json.dumps(report)) for report in (PAGES_WELL, _weak_pages(), {}))
    assert [v.state for v in (well, found, unasked)] == [WELL, FOUND, NOT_ASKED]
    assert exit_code([well, unasked, found]) == FOUND
    assert exit_code([unasked, well]) == NOT_ASKED
    assert exit_code([well]) == WELL


def test_every_lock_is_asked_about() -> None:
    """No lock of the repository is left out; those of gateway and cloud are parts of the product's."""
    parts = {"edge.txt", "cloud.txt"}
    assert {f"{name}.txt" for name in LOCKS} | parts == {path.name for path in LOCK.parent.glob("*.txt")}


def test_bandit_finds_something(tmp_path: Path) -> None:
    """The check of our code can fail: code that runs what it is given is a finding under our own settings."""
    bad = tmp_path / "bad.py"
    bad.write_text("import pickle\nimport sys\n\nprint(pickle.load(sys.stdin.buffer))\n")
    command = [
        sys.executable,
        "-m",
        "bandit",
        "--quiet",
        "--configfile",
        "pyproject.toml",
        "--format",
        "json",
        str(bad),
    ]
    done = subprocess.run(command, cwd=layout.ROOT, capture_output=True, text=True, timeout=60, check=False)
    verdict = judge_code(done.stdout, done.stderr)
    assert verdict.state == FOUND
    assert "bad.py:4: B301" in str(verdict)


def _weak_pages() -> dict[str, Any]:
    return {**PAGES_WELL, "vulnerabilities": {"uplot": {"severity": "low", "range": "*"}}}
