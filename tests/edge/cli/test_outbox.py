"""`edge outbox`: what a person sees of an outbox, and what not while the agent has it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.contract.messages import Head, Lane
from tests.edge.outbox_parts import NOW, body, draft, kill, open_outbox, receipt

CONFIG = """
gateway: gw-1
broker: {host: 127.0.0.1, port: 1883}
data_dir: data
devices: [{id: health, profile: anlan_gateway}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    (tmp_path / "data").mkdir()
    return tmp_path


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["outbox", "-c", str(folder / "gateway.yaml"), *words])
    return result.exit_code, result.stdout, result.stderr


def fill(folder: Path) -> None:
    """An outbox with one of everything."""
    outbox = open_outbox(folder / "data" / "outbox.sqlite")
    outbox.append_all(draft=draft(*range(NOW, NOW + 5), unchanged=7, disk_full=2))
    outbox.seal_drafts(Lane.LIVE)
    refused = outbox.append(Lane.BACKLOG, body(3))
    outbox.forget(receipt(refused, "refused", reason="in the future"))
    outbox.append(Lane.EVENTS, body(0))
    outbox.append_all(draft=draft(NOW + 10))
    outbox.keep_head(Head("2026-09-20", "ab" * 32))
    kill(outbox)


def test_what_is_in_an_outbox_is_shown(folder: Path) -> None:
    """Lanes, days with reasons, refusals with theirs, drafts and heads; and nothing is changed by looking."""
    fill(folder)
    code, text, _ = run(folder)
    assert code == 0
    lines = text.splitlines()
    assert lines[0].endswith("outbox.sqlite: 2 messages wait, " + lines[0].split("wait, ")[1])
    assert [line.split()[0] for line in lines[1:4]] == ["events", "live", "drafts"]
    assert "the oldest of 2026-09-21 22:13:20 UTC+8" in lines[2]
    assert "    2026-09-21        17         7         5         3  2 disk_full" in lines
    assert "in the future" in text
    assert f"    2026-09-20 {'ab' * 32}" in lines
    assert run(folder)[1] == text


def test_programs_can_read_it(folder: Path) -> None:
    """--json gives the same as one document."""
    fill(folder)
    document = json.loads(run(folder, "--json")[1])
    assert (document["drafted"], document["undated"]) == (1, 0)
    assert [(lane["lane"], lane["messages"]) for lane in document["lanes"]] == [
        ("events", 1),
        ("live", 1),
        ("blobs", 0),
        ("backlog", 0),
    ]
    assert [(one["reason"], one["lane"]) for one in document["refused"]] == [("in the future", "backlog")]


def test_a_running_agent_is_named(folder: Path) -> None:
    """Only one process may have the file open: the command says which it is, and ends with 1."""
    outbox = open_outbox(folder / "data" / "outbox.sqlite")
    code, _, error = run(folder)
    assert (code, f"process {os.getpid()} has this outbox open" in error) == (1, True)
    outbox.close()


def test_no_outbox_yet(folder: Path) -> None:
    """Before the agent has run there is nothing to show, and nothing is made."""
    code, _, error = run(folder)
    assert (code, "there is no outbox yet: start the agent once" in error) == (1, True)
    assert list((folder / "data").iterdir()) == []
