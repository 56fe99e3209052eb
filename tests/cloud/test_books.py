"""The books of the cloud, model-based: whatever happens in whatever order, sums add up and the chain verifies.

Messages come in any order, again, and with other content; some are refused and settled later; statuses of any age
arrive; days end, are closed and compacted; and each of these may be broken off before it commits, as a crash does.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection

from cloud.database import Database
from cloud.gateway_states import find_state, take_status
from cloud.ledger import Entry, Name, hash_of, known, record, settle
from cloud.losses import LossWatch
from cloud.migrations import migrate
from cloud.statements.accounts import account
from cloud.statements.chain import sum_up
from cloud.statements.closing import gateways_of, mark, seal
from cloud.statements.compaction import compactable, let_go, old_days
from cloud.statements.figures import Figures
from cloud.statements.statement import read_statement
from cloud.statements.verify import verify
from edge.contract.days import DAY_MS, bounds_of, day_of
from edge.contract.messages import ClockState, Counts, DayCounts, EpochState, GiveUpReason, Lane, LaneState, Status
from tests.cloud.databases import add_neighbourhood, new_postgres, new_sqlite
from tests.servers import Postgres

START = bounds_of("2026-11-20")[0] + DAY_MS // 2
EPOCHS = ("0" * 16, "1" * 16)
HOUR = 3_600_000
FULL = GiveUpReason.OUTBOX_FULL
SELDOM = st.sampled_from([False, False, False, True])


class CrashError(Exception):
    """The process was killed before it committed."""


class Gateway:
    """What one epoch of an outbox knows: the size, day and fate of each batch that it numbered."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, str]] = []  # readings and day, by seq
        self.gone: set[int] = set()  # has a receipt, or was given up
        self.given_up: set[int] = set()
        self.set_aside: set[int] = set()

    def days(self) -> list[DayCounts]:
        """Return the counts of its days as a status tells them."""
        found = []
        for day in sorted({day for _, day in self.batches}):
            mine = [seq for seq, (_, its) in enumerate(self.batches, 1) if its == day]
            found.append(
                DayCounts(
                    day,
                    taken=self.readings(mine),
                    refused=self.readings(seq for seq in mine if seq in self.set_aside),
                    waiting=self.readings(seq for seq in mine if seq not in self.gone),
                    given_up={FULL: self.readings(seq for seq in mine if seq in self.given_up)},
                )
            )
        return found

    def readings(self, seqs: object) -> int:
        """Return how many readings these messages hold."""
        return sum(self.batches[seq - 1][0] for seq in seqs)  # type: ignore[attr-defined]

    def state(self, epoch: str) -> EpochState:
        """Return its part of a status."""
        ends = len(self.batches) + 1
        oldest = next((seq for seq in range(1, ends) if seq not in self.gone), ends)
        counts = Counts(
            taken=self.readings(range(1, ends)),
            given_up=self.readings(self.given_up),
            refused=self.readings(self.set_aside),
        )
        return EpochState(epoch, {"live": LaneState(oldest, ends)}, counts, self.days())


class Books(RuleBasedStateMachine):
    """Gateway, cloud and clock; `open_database` gives each run a database of its own."""

    open_database: Callable[[], Database]

    def __init__(self) -> None:
        super().__init__()
        self.database = type(self).open_database()
        self.database.write_now(add_neighbourhood)
        self.now = START
        self.gateways = {epoch: Gateway() for epoch in EPOCHS}
        self.first: dict[Name, bytes] = {}
        self.outcomes: dict[Name, str] = {}
        self.told: list[Status] = []

    def teardown(self) -> None:
        """Let the database go."""
        self.database.close()

    def write(self, work: Callable[[Connection], object], *, crashes: bool) -> None:
        """Do something in one transaction, which a crash undoes."""

        def or_crash(connection: Connection) -> None:
            work(connection)
            if crashes:
                raise CrashError

        with suppress(CrashError):
            self.database.write_now(or_crash)

    @initialize()
    def begin(self) -> None:
        """Say hello, so that the gateway is known."""
        self.say(crashes=False)

    @rule(epoch=st.sampled_from(EPOCHS), readings=st.integers(1, 9), late_h=st.integers(0, 50))
    def take(self, epoch: str, readings: int, late_h: int) -> None:
        """Number another batch, of now or of backlog."""
        self.gateways[epoch].batches.append((readings, day_of(self.now - late_h * HOUR)))

    @rule(
        epoch=st.sampled_from(EPOCHS),
        fates=st.lists(st.sampled_from(["stored", "stored", "refused", "waits", "lost"]), min_size=1, max_size=6),
        says=st.booleans(),
    )
    def live_a_day(self, epoch: str, fates: list[str], *, says: bool) -> None:
        """Take some batches, let most of them come, and a day pass and be closed."""
        gateway = self.gateways[epoch]
        for fate in fates:
            self.take(epoch, 3, 0)
            seq = len(gateway.batches)
            if fate in {"stored", "refused"}:
                self.enter(epoch, seq, b"a", refused=fate == "refused", delay_h=0, crashes=False)
            elif fate == "lost":
                gateway.gone.add(seq)
        if says:
            self.say(crashes=False)
        self.wait(30)
        self.close(4)

    @rule(hours=st.sampled_from([5, 24, 60]))
    def wait(self, hours: int) -> None:
        """Let time pass."""
        self.now += hours * HOUR

    @rule(
        data=st.data(), content=st.sampled_from([b"a", b"a", b"b"]), refused=SELDOM,
        delay_h=st.sampled_from([0, 20, 40, 60]), crashes=SELDOM,
    )  # fmt: skip
    def come(self, data: st.DataObject, content: bytes, *, refused: bool, delay_h: int, crashes: bool) -> None:
        """Let a batch come, perhaps again; it may have waited for the store since days ago."""
        self.enter(*self.one_of(data), content, refused=refused, delay_h=delay_h, crashes=crashes)

    def enter(self, epoch: str, seq: int, content: bytes, *, refused: bool, delay_h: int, crashes: bool) -> None:
        """Let a batch be taken."""
        name = Name("gw-1", epoch, Lane.LIVE, seq)
        readings, day = self.gateways[epoch].batches[seq - 1]
        entry = Entry(
            name, hash_of(content), readings, "refused" if refused else "stored", "odd" if refused else "",
            self.now - delay_h * HOUR, day,
        )  # fmt: skip

        def take(connection: Connection) -> None:
            if name not in known(connection, [name]):
                record(connection, [entry])

        self.write(take, crashes=crashes)
        if not crashes:
            self.first.setdefault(name, entry.hash)
            self.outcomes.setdefault(name, entry.outcome)

    @rule(data=st.data(), heard=st.booleans())
    def receipt(self, data: st.DataObject, *, heard: bool) -> None:
        """Let the gateway hear what became of a batch, or give it up because it never did."""
        epoch, seq = self.one_of(data)
        gateway, name = self.gateways[epoch], Name("gw-1", epoch, Lane.LIVE, seq)
        if seq in gateway.gone:
            return
        if heard and name not in self.outcomes:
            return
        gateway.gone.add(seq)
        if not heard:
            gateway.given_up.add(seq)
        elif self.outcomes[name] == "refused":
            gateway.set_aside.add(seq)

    @rule(data=st.data(), crashes=SELDOM)
    def settle(self, data: st.DataObject, *, crashes: bool) -> None:
        """Store what was refused."""
        refused = sorted(name for name, outcome in self.outcomes.items() if outcome == "refused")
        if not refused:
            return
        name = data.draw(st.sampled_from(refused))
        readings, day = self.gateways[name.epoch].batches[name.seq - 1]
        entry = Entry(name, self.first[name], readings, "stored", "", self.now, day)
        self.write(lambda connection: settle(connection, entry), crashes=crashes)
        if not crashes:
            self.outcomes[name] = "stored"

    @rule(crashes=SELDOM)
    def say(self, *, crashes: bool) -> None:
        """Let the gateway say how it is."""
        epochs = [gateway.state(epoch) for epoch, gateway in self.gateways.items()]
        self.told.append(
            Status(
                gateway="gw-1", session="aa", online=True, sent_at=self.now, clock=ClockState.SYNCHRONISED,
                config_hash="ab", epochs=epochs,
            )
        )  # fmt: skip
        self.hear(self.told[-1], crashes=crashes)

    @rule(data=st.data())
    def say_again(self, data: st.DataObject) -> None:
        """Let an older status come again."""
        if self.told:
            self.hear(data.draw(st.sampled_from(self.told)), crashes=False)

    def hear(self, status: Status, *, crashes: bool) -> None:
        """Let a status arrive."""
        self.write(lambda c: take_status(c, status, retained=False, now_ms=self.now), crashes=crashes)

    @rule(step=st.sampled_from([4, 4, 4, 4, 3, 2, 1]))
    def close(self, step: int) -> None:
        """Close a day, or die after so many of the steps."""
        marked: list[str | None] = []
        self.write(lambda connection: marked.append(mark(connection, now_ms=self.now)), crashes=step == 1)
        day = marked[0]
        if day is None or step <= 2:
            return
        sums = self.database.read_now(lambda c: [sum_up(c, gateway, day) for gateway in gateways_of(c)])
        self.write(lambda connection: seal(connection, day=day, sums=sums, now_ms=self.now), crashes=step == 3)

    @rule(days=st.integers(0, 3), crashes=SELDOM)
    def compact(self, days: int, *, crashes: bool) -> None:
        """Compact what was closed so many days ago."""
        before = day_of(self.now - days * DAY_MS)
        for gateway, day in self.database.read_now(lambda connection: old_days(connection, before=before)):
            self.write(
                lambda c, g=gateway, d=day: let_go(c, g, compactable(c, g, d)),  # type: ignore[misc]
                crashes=crashes,
            )

    def one_of(self, data: st.DataObject) -> tuple[str, int]:
        """Draw a batch that was numbered; number one where there is none."""
        if not any(gateway.batches for gateway in self.gateways.values()):
            self.take(EPOCHS[0], 5, 0)
        epoch = data.draw(st.sampled_from([epoch for epoch in EPOCHS if self.gateways[epoch].batches]))
        return epoch, data.draw(st.integers(1, len(self.gateways[epoch].batches)))

    @invariant()
    def sums_add_up(self) -> None:
        """Each reading is in one line of its day and of its epoch, and what came counts as it came."""
        days = sorted({day for gateway in self.gateways.values() for _, day in gateway.batches})
        total = 0
        for day in days:
            statement = self.database.read_now(lambda c, d=day: read_statement(c, "gw-1", d, now_ms=self.now))  # type: ignore[misc]
            if statement is not None:
                check(statement.figures)
                assert sum(statement.reasons.values()) == statement.figures.given_up
                total += statement.figures.stored
        told = self.newest_heard()
        counted = [
            name for name, outcome in self.outcomes.items() if outcome == "stored" and name.seq < told[name.epoch]
        ]
        assert total == sum(self.gateways[name.epoch].batches[name.seq - 1][0] for name in counted)

    @invariant()
    def accounts_and_losses_agree(self) -> None:
        """What the accounts of epochs name as lost is what is counted without reading everything."""

        def look(connection: Connection) -> None:
            status = self.status_of(connection)
            if status is None:
                return
            accounts = account(connection, status)
            for one in accounts:
                assert one.taken == (
                    one.unchanged + one.stored + one.refused + one.pending + one.given_up + one.missing
                )
                assert min(one.stored, one.refused, one.pending, one.given_up, one.missing) >= 0
            lost = LossWatch().look(connection).get("gw-1", 0)
            assert lost == sum(one.lost_messages for one in accounts if one.reported)

        self.database.read_now(look)

    @invariant()
    def the_chain_verifies(self) -> None:
        """Nothing that is allowed to happen looks like a change."""
        assert self.database.read_now(verify).differences == []

    @invariant()
    def a_name_has_one_content(self) -> None:
        """The first content of a name stays, and what was stored stays stored."""
        entries = self.database.read_now(lambda connection: known(connection, list(self.first)))
        assert entries.keys() == self.first.keys()
        for name, entry in entries.items():
            assert entry.is_of(self.first[name])
            assert entry.outcome == self.outcomes[name]

    def status_of(self, connection: Connection) -> Status | None:
        """Return the newest status that the cloud has."""
        state = find_state(connection, "gw-1")
        return state.status if state else None

    def newest_heard(self) -> dict[str, int]:
        """Return where each epoch ended when the cloud last heard of it; everything counts where it never did."""
        status = self.database.read_now(self.status_of)
        ends = {epoch.epoch: epoch.lanes["live"].next_seq for epoch in (status.epochs if status else ())}
        return {epoch: ends.get(epoch, 2**62) for epoch in EPOCHS}


def check(figures: Figures) -> None:
    """Assert that the sum adds up and that nothing is negative."""
    parts = (figures.unchanged, figures.stored, figures.refused, figures.pending, figures.given_up, figures.missing)
    assert min(parts) >= 0
    assert sum(parts) == figures.taken


def run(open_database: Callable[[], Database], *, examples: int, steps: int) -> None:
    """Try so many runs."""
    machine = type("BooksHere", (Books,), {"open_database": staticmethod(open_database)})
    few = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(machine, settings=few)


def test_books_hold_on_sqlite(tmp_path: Path) -> None:
    """Whatever happens, in any order."""
    run(lambda: new_sqlite(Path(tempfile.mkdtemp(dir=tmp_path)) / "cloud.db"), examples=6, steps=25)


def test_books_hold_on_postgresql(postgres: Postgres) -> None:
    """The same, for fewer runs."""

    def fresh() -> Database:
        database = Database(new_postgres(postgres))
        database.write_now(migrate)
        return database

    run(fresh, examples=2, steps=20)
