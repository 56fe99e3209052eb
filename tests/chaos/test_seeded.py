"""The proof itself: a bug in the outbox, the receipts or the ledger does not pass it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.neighbourhood import alive, profiles
from tests.chaos.seeded import BUGS
from tests.e2e.line import Line
from tests.e2e.waiting import kill
from tests.servers import Mosquitto

OFTEN: dict[str, object] = {"batch_s": 0.2}
MANY = 1500  # readings, most of them unchanged: in more batches than may be on their way without a receipt


async def play(folder: Path, mosquitto: Mosquitto, seed: int, *, bug: str | None) -> None:
    """Let the cloud be away until more waits than may be on its way, and kill the agent; then prove what is stored."""
    by = () if bug is None else ("tests.chaos.seeded", bug)
    async with Line(
        folder,
        broker_port=mosquitto.port,
        profiles=profiles(roads=0),
        poll_s=0.2,
        agent_options=OFTEN,
        started_by=by,
    ) as line:
        [gateway] = line.gateways
        async with alive(gateway, seed):
            await kill(line.cloud)
            await gateway.take_more(MANY)
            await kill(gateway.agent)
            await gateway.start()
            await line.start_cloud()
        await line.settle()
        await line.prove()


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_is_caught(tmp_path: Path, mosquitto: Mosquitto, seed: int, bug: str) -> None:
    """What the bug has lost is missing in the store, by the journal of the agent."""
    with pytest.raises(AssertionError, match="missing: Row"):
        await play(tmp_path, mosquitto, seed, bug=bug)


async def test_without_a_bug_nothing_is_found(tmp_path: Path, mosquitto: Mosquitto, seed: int) -> None:
    """The same scene passes when there is no bug."""
    await play(tmp_path, mosquitto, seed, bug=None)
