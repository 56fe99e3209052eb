"""Whatever comes by the network, every parser of cameras gives sightings or refuses, in bounded memory."""

from __future__ import annotations

import pytest

from tests.edge.drivers.cameras.fuzzing import PARSERS, tried

ALL_S = 20.0  # of all parsers together; `./anlan bench fuzz` takes longer


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_nothing_gets_through(name: str) -> None:
    """Two seconds of torn, grown, nested and spliced input leave no error but Refused, and no great memory."""
    trial = tried(name, seed=1, seconds=ALL_S / len(PARSERS))
    assert trial.findings == []
    assert trial.inputs > 20
