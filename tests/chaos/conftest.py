"""Chance that can be had again: each test takes its moments from a seed, which a failure shows."""

from __future__ import annotations

import os
import secrets

import pytest


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The number in ANLAN_SEED, or a new one."""
    chosen = int(os.environ.get("ANLAN_SEED") or secrets.randbelow(1_000_000))
    request.node.add_report_section("setup", "seed", f"for the same moments again: ANLAN_SEED={chosen}")
    return chosen
