"""The proof itself: a bug in the outbox, the receipts or the ledger does not pass it."""

from __future__ import annotations

import asyncio
from pathlib import Path

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


async def test_bugs_are_caught(tmp_path: Path, mosquitto: Mosquitto, seed: int) -> None:
    """What a bug has lost is missing in the store, by the journal of the agent; without one, all is there."""
    for bug in (None, *BUGS):
        (tmp_path / str(bug)).mkdir()
    verdicts = await asyncio.gather(
        *(play(tmp_path / str(bug), mosquitto, seed, bug=bug) for bug in (None, *BUGS)), return_exceptions=True
    )
    for bug, verdict in zip(BUGS, verdicts[1:], strict=True):
        assert isinstance(verdict, AssertionError), bug
        assert "missing: Row" in str(verdict), bug
    assert verdicts[0] is None
