"""A backup holds everything, and restoring it into either database brings it back row by row."""

from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from cloud.backup.archive import verify
from cloud.backup.progress import Progress
from cloud.backup.rows import LEFT_OUT
from cloud.blobs import keep_picture, path_of
from cloud.config import CloudConfig
from cloud.ledger import record
from cloud.migrations import differences, head, revisions
from cloud.statements.accounts import Gap
from cloud.workorders.tables import alerts, orders
from edge.contract.messages import Counts, EpochState, Lane, LaneState
from tests.cloud import backups
from tests.cloud.test_ledger import EPOCH, entry, settle_of
from tests.servers import Postgres

ENGINES = ("sqlite", "postgresql")
OLDER = sorted(revisions() - {head()})
JPEG = b"\xff\xd8\xff"


@pytest.fixture(params=ENGINES)
def source(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> CloudConfig:
    """A cloud of either engine with something in every table."""
    config = backups.make_config(tmp_path / "source", request.param, postgres)
    backups.make_tables(config)
    backups.fill(config)
    return config


@pytest.fixture(params=ENGINES)
def target(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> CloudConfig:
    """A cloud of either engine on a fresh machine."""
    return backups.make_config(tmp_path / "target", request.param, postgres)


@pytest.fixture
def fresh(tmp_path: Path) -> CloudConfig:
    """A cloud with SQLite on a fresh machine."""
    return backups.make_config(tmp_path / "fresh", "sqlite", None)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> CloudConfig:
    """A cloud with SQLite and something in every table, to be copied."""
    config = backups.make_config(tmp_path_factory.mktemp("filled"), "sqlite", None)
    backups.make_tables(config)
    backups.fill(config)
    return config


@pytest.fixture
def small(filled: CloudConfig, tmp_path: Path) -> CloudConfig:
    """A cloud with SQLite and something in every table."""
    return backups.copy_of(filled, tmp_path / "small")


def without(content: backups.Content, left_out: frozenset[str] = LEFT_OUT) -> backups.Content:
    """Return the content with these tables empty."""
    return {name: [] if name in left_out else rows for name, rows in content.items()}


def test_every_row_comes_back(source: CloudConfig, target: CloudConfig, tmp_path: Path) -> None:
    """From either database into either, every row of every table is the same; but nobody is signed in."""
    before = backups.content_of(source)
    assert all(len(rows) == backups.ROWS for rows in before.values())
    backups.restore_from(backups.back_up_to(source, tmp_path / "b.tar"), target)
    assert backups.content_of(target) == without(before)
    with backups.database_of(target) as database:
        assert database.read_now(differences) == []


def test_numbers_go_on(target: CloudConfig, small: CloudConfig, tmp_path: Path) -> None:
    """After a restore the next alert and order have the numbers after the last ones."""
    backups.restore_from(backups.back_up_to(small, tmp_path / "b.tar"), target)
    alert = dict.fromkeys(("gateway", "device", "class_code", "severity"), "x")
    with backups.database_of(target) as database:
        last = database.read_now(lambda connection: connection.scalar(select(func.max(alerts.c.id))))
        number = database.write_now(
            lambda connection: connection.scalar(
                insert(alerts).values(**alert, exercise=False, started_at=1).returning(alerts.c.id)
            )
        )
    assert last is not None
    assert number == last + 1


@pytest.mark.parametrize(("revision", "engine"), [(OLDER[0], "postgresql"), (OLDER[-1], "sqlite")])
def test_an_older_backup_is_brought_up_to_date(revision: str, engine: str, tmp_path: Path, postgres: Postgres) -> None:
    """A backup of an earlier revision becomes what migrating that database itself would have made of it."""
    old = backups.make_config(tmp_path / "old", "sqlite", None)
    backups.make_tables(old, revision)
    backups.fill(old)
    file = backups.back_up_to(old, tmp_path / "b.tar")
    assert verify(file)[0].revision == revision
    target = backups.make_config(tmp_path / "target", engine, postgres)
    backups.restore_from(file, target)
    backups.make_tables(old)
    assert counts_of(target) == {name: 0 if name in LEFT_OUT else n for name, n in counts_of(old).items()}
    assert backups.content_of(target)["ledger"] == backups.content_of(old)["ledger"]
    with backups.database_of(target) as database:
        assert database.read_now(differences) == []


def counts_of(config: CloudConfig) -> dict[str, int]:
    """Return how many rows each table has."""
    return {name: len(rows) for name, rows in backups.content_of(config).items()}


def test_a_backup_is_of_one_moment(source: CloudConfig, fresh: CloudConfig, tmp_path: Path) -> None:
    """What is written while a backup is made is in none of its tables."""
    before = backups.content_of(source)

    class Interfering(Progress):
        """Writes into the database at the first table."""

        is_done = False

        def at(self, thing: str, number: int, of: str) -> None:
            super().at(thing, number, of)
            if not self.is_done:
                self.is_done = True
                with backups.database_of(source) as database:
                    database.write_now(lambda connection: connection.execute(orders.update().values(state="void")))
                    database.write_now(lambda connection: connection.execute(alerts.update().values(severity="red")))

    progress = Interfering(lambda _: None)
    backups.restore_from(backups.back_up_to(source, tmp_path / "b.tar", progress=progress), fresh)
    assert progress.is_done
    assert backups.content_of(source) != before
    assert backups.content_of(fresh) == without(before)


def test_the_history_comes_back_bit_by_bit(small: CloudConfig, fresh: CloudConfig, tmp_path: Path) -> None:
    """Readings of every sort come back exactly, in the file that the cloud reads."""
    backups.write_history(small, 1000)
    before = backups.history_of(small)
    file = backups.back_up_to(small, tmp_path / "b.tar")
    assert verify(file)[1].readings == len(before) == 3003
    backups.restore_from(file, fresh)
    assert backups.history_of(fresh) == before


def test_pictures_come_back(small: CloudConfig, fresh: CloudConfig, tmp_path: Path) -> None:
    """Pictures are in the folder again; one that is gone or damaged is named, and holds up nothing."""
    names = [keep(small, JPEG + bytes([number])) for number in range(4)]
    path_of(small.blobs_folder, names[0]).unlink()
    path_of(small.blobs_folder, names[1]).write_bytes(b"damaged")
    said: list[str] = []
    file = backups.back_up_to(small, tmp_path / "b.tar", progress=Progress(said.append))
    absent = [line for line in said if line.startswith("a picture is left out: ")]
    assert len(absent) == 2 + backups.ROWS  # the filled table names pictures that never were
    assert [name for name in names[:2] if any(name in line for line in absent)] == names[:2]
    contents = verify(file)[1]
    assert (contents.pictures, contents.picture_bytes, contents.absent_pictures) == (2, 8, len(absent))
    backups.restore_from(file, fresh)
    for name in names[2:]:
        assert path_of(fresh.blobs_folder, name).read_bytes() == path_of(small.blobs_folder, name).read_bytes()
    assert not path_of(fresh.blobs_folder, names[1]).exists()


def keep(config: CloudConfig, data: bytes) -> str:
    """Keep a picture as the cloud does; return its name."""
    with backups.database_of(config) as database:
        return database.write_now(lambda c: keep_picture(c, data, "image/jpeg", config.blobs_folder, now_ms=1))


def test_pictures_and_history_may_stay_out(small: CloudConfig, fresh: CloudConfig, tmp_path: Path) -> None:
    """Without them a backup is small, says so, and restoring it leaves those that are there alone."""
    name = keep(small, JPEG)
    backups.write_history(small, 10)
    file = backups.back_up_to(small, tmp_path / "b.tar", pictures=False, history=False)
    assert (verify(file)[1].pictures, verify(file)[1].readings) == (None, None)
    backups.write_history(fresh, 20)
    before = backups.history_of(fresh)
    backups.restore_from(file, fresh)
    assert backups.history_of(fresh) == before
    assert not path_of(fresh.blobs_folder, name).exists()


def test_the_ledger_names_what_came_after(small: CloudConfig, tmp_path: Path) -> None:
    """Messages that were receipted after the backup are named as lost by the restored ledger, not hidden."""
    with backups.database_of(small) as database:
        database.write_now(lambda connection: record(connection, [entry(seq) for seq in (1, 2, 3)]))
    file = backups.back_up_to(small, tmp_path / "b.tar")
    with backups.database_of(small) as database:
        database.write_now(lambda connection: record(connection, [entry(seq) for seq in (4, 5)]))
    backups.restore_from(file, small, replace=True)
    epoch = EpochState(EPOCH, {"live": LaneState(oldest_kept=6, next_seq=7)}, Counts(taken=60))
    with backups.database_of(small) as database:
        settled = settle_of("gw-1", database, epoch)
        assert (settled.stored, settled.pending, settled.gaps) == (30, 30, [Gap(Lane.LIVE, 4, 5)])
        database.write_now(lambda connection: record(connection, [entry(6)]))
        settled = settle_of("gw-1", database, epoch)
        assert (settled.stored, settled.missing, settled.lost_messages) == (40, 20, 2)
