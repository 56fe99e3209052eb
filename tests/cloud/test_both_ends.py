"""A day from both ends: outbox and ledger come to the same sum, and its head goes to the gateway and comes back."""

from pathlib import Path

from cloud.database import Database
from cloud.gateway_states import take_status
from cloud.series import RefusedError
from cloud.statements.closing import close_days, newest_head
from cloud.statements.figures import Figures
from cloud.statements.statement import Statement, read_statement
from cloud.statements.verify import verify
from edge.contract.clock import SteppedClock
from edge.contract.days import DAY_MS, bounds_of, day_of
from edge.contract.messages import ClockState, GiveUpReason, Lane, Reading, Receipt, Status
from edge.contract.rows import rows_of
from edge.outbox import Outbox
from edge.outbox_drafts import HOUR_MS, Draft, Origin
from tests.cloud.batches import NOON
from tests.cloud.test_replay import Cloud

DAY = day_of(NOON)
LATER = NOON + 13 * HOUR_MS  # after midnight


class Ends:
    """A gateway's outbox and a cloud, with nothing between them but what the test carries."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.cloud = Cloud(database, folder)
        self.outbox = Outbox.open(
            folder / "outbox.sqlite", max_bytes=10**7, max_age_ms=10 * DAY_MS, clock=SteppedClock(NOON), boot="b"
        )

    def take(self, *times: int, unchanged: int = 0, disk_full: int = 0) -> None:
        """Let the gateway take a reading at each time, and others that are not sent."""
        hour = times[0] - times[0] % HOUR_MS
        draft = Draft(
            origin=Origin("gw-1", "ab", ClockState.SYNCHRONISED),
            kinds={"road-1": "waterlogging_sensor"},
            rows=rows_of([Reading("road-1", "depth", at, 1.5) for at in times]),
            unchanged={hour: unchanged} if unchanged else {},
            disk_full={hour: disk_full} if disk_full else {},
        )
        self.outbox.append_all(draft=draft)
        while self.outbox.seal_drafts(Lane.LIVE):
            pass

    async def send(self) -> None:
        """Send the oldest message, and take the receipt."""
        waiting = self.outbox.next_waiting(Lane.LIVE)
        assert waiting is not None
        await self.cloud.take_batch(waiting.payload)
        receipt = Receipt.from_bytes(self.cloud.told[-1], "gw-1")
        self.outbox.forget(receipt)

    def say(self, at_ms: int) -> None:
        """Let the gateway say its status."""
        status = Status(
            gateway="gw-1", session="ab", online=True, sent_at=at_ms, clock=ClockState.SYNCHRONISED, config_hash="ab",
            epochs=self.outbox.states(), heads=self.outbox.heads(),
        )  # fmt: skip
        self.cloud.database.write_now(lambda c: take_status(c, status, retained=False, now_ms=at_ms))

    def statement(self, day: str) -> Statement:
        """Return the statement of a day."""
        found = self.cloud.database.read_now(lambda c: read_statement(c, "gw-1", day, now_ms=NOON + DAY_MS))
        assert found is not None
        return found


async def test_a_day_from_both_ends(neighbourhood: Database, tmp_path: Path) -> None:
    """Stored, refused and waiting of two days are where they are, by what the outbox says and what the ledger has."""
    ends = Ends(neighbourhood, tmp_path)
    ends.take(NOON, NOON + 1000, unchanged=5, disk_full=3)
    ends.take(NOON + 2000)
    midnight = bounds_of(DAY)[1]
    ends.take(midnight - 2000, midnight - 1000, midnight, midnight + 1000, midnight + 2000)
    await ends.cloud.clock.advance_to(LATER)
    await ends.send()
    ends.cloud.fault = RefusedError("odd")
    await ends.send()
    ends.say(LATER)
    one, other = ends.statement(DAY).figures, ends.statement(day_of(midnight)).figures
    assert one == Figures(taken=13, unchanged=5, stored=2, refused=1, pending=2, given_up=3, missing=0)
    assert ends.statement(DAY).reasons == {GiveUpReason.DISK_FULL: 3}
    assert (other.taken, other.pending) == (3, 3)
    ends.outbox.close()
    await ends.cloud.series.close()


async def test_a_head_goes_to_the_gateway_and_comes_back(neighbourhood: Database, tmp_path: Path) -> None:
    """What the gateway has kept of it is the witness by which the chain is verified."""
    ends = Ends(neighbourhood, tmp_path)
    ends.take(NOON)
    await ends.cloud.clock.advance_to(LATER)
    await ends.send()
    await close_days(neighbourhood, now_ms=NOON + 2 * DAY_MS)
    head = neighbourhood.read_now(newest_head)
    assert head is not None
    ends.outbox.keep_head(head)
    ends.say(NOON + 2 * DAY_MS)
    verified = neighbourhood.read_now(verify)
    assert (verified.days, verified.witnessed, verified.differences) == (1, 1, [])
    assert ends.statement(head.day).head == head.hash
    ends.outbox.close()
    await ends.cloud.series.close()
