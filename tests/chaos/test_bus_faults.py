"""Everything that lines and devices can do wrong, all the time: no wrong value is kept."""

from __future__ import annotations

from pathlib import Path

from simulators.faults import FaultKind
from tests.chaos.bus_faults import run

SECONDS = 20.0
MOST_S = 60.0  # where the machine is so slow that a kind of fault has not been drawn by then


async def test_no_wrong_value_reaches_the_outbox(tmp_path: Path, seed: int) -> None:
    """Over Modbus TCP with and without ids, on a serial port and through a converter, with every fault at random."""
    verdict = await run(tmp_path, seconds=SECONDS, most_s=MOST_S, seed=seed)
    assert verdict.wrong == []
    assert verdict.values > 1000
    assert verdict.missing > 100
    assert set(verdict.faults) == set(FaultKind)
