"""Where an outbox of a test lies, and one that is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.outbox import Outbox
from tests.edge.outbox_parts import open_outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an outbox, which is not there yet."""
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    """An open outbox."""
    outbox = open_outbox(path)
    yield outbox
    outbox.close()
