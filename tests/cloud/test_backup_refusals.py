"""What is no whole backup, or would harm something, is refused; what fails leaves everything as it was."""

import random
import stat
from pathlib import Path

import msgspec
import pytest

from cloud.backup import ArchiveError, BackupError, RestoreRefusedError
from cloud.backup.archive import ArchiveWriter, Header, Part, open_archive, verify
from cloud.backup.history import RestoredHistory, series_file
from cloud.blobs import keep_picture
from cloud.config import CloudConfig
from cloud.start import StartError, lock_folder
from edge.contract.messages import MAX_BLOB
from tests.cloud import backups
from tests.servers import Postgres

FLIPS = 60
JPEG = b"\xff\xd8\xff"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> CloudConfig:
    """A cloud with SQLite and something in every table, to be copied."""
    config = backups.make_config(tmp_path_factory.mktemp("filled"), "sqlite", None)
    backups.make_tables(config)
    backups.fill(config)
    return config


@pytest.fixture(scope="module")
def file(filled: CloudConfig) -> Path:
    """Its backup."""
    return backups.back_up_to(filled, filled.data_dir.parent / "b.tar")


@pytest.fixture
def config(filled: CloudConfig, tmp_path: Path) -> CloudConfig:
    """The same cloud, for one test."""
    return backups.copy_of(filled, tmp_path / "cloud")


def parts_of(path: Path) -> tuple[Header, list[Part]]:
    """Read all of a backup."""
    with open_archive(path) as archive:
        return archive.header, list(archive.parts())


def test_a_file_that_was_cut_off_is_refused(file: Path, tmp_path: Path) -> None:
    """Wherever it ends too early; only the zeros at the end of every tar may be missing."""
    whole = file.read_bytes()
    end = len(whole.rstrip(b"\0"))
    cut = tmp_path / "cut.tar"
    for length in (0, 1, 511, 512, 600, 1024, *range(2000, end, end // 40), end - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(ArchiveError, match=r"is not a backup|is cut off|is damaged"):
            verify(cut)


def test_a_file_that_was_changed_is_refused(file: Path, tmp_path: Path) -> None:
    """A byte that is another one is noticed, or is one of those that mean nothing."""
    whole, read = file.read_bytes(), parts_of(file)
    chance, changed, noticed = random.Random(4), tmp_path / "changed.tar", 0
    for _ in range(FLIPS):
        place = chance.randrange(len(whole))
        changed.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        try:
            assert parts_of(changed) == read
        except ArchiveError:
            noticed += 1
    assert noticed > FLIPS // 4  # most of a small tar is padding


@pytest.mark.parametrize("content", [b"", b"hello\n", b"SQLite format 3\0" + bytes(5000)])
def test_another_file_is_no_backup(content: bytes, tmp_path: Path) -> None:
    """What is something else is said to be."""
    other = tmp_path / "other"
    other.write_bytes(content)
    with pytest.raises(ArchiveError, match="is not a backup of Anlan"):
        verify(other)


def rewritten(file: Path, target: Path, header: Header, change: dict[str, bytes] | None = None) -> Path:
    """Write a backup again with another header, and other lines for some tables; whole by its SHA-256."""
    with open_archive(file) as archive, target.open("wb") as output:
        writer = ArchiveWriter(output, header)
        for part in archive.parts():
            lines = (change or {}).get(part.name, part.data)
            list(writer.add_lines(f"tables/{part.name}", lines.splitlines()))
        writer.close(archive.contents)
    return target


def test_a_newer_backup_is_refused(file: Path, config: CloudConfig, tmp_path: Path) -> None:
    """A format or a revision that this program does not know is named, with what to do."""
    header = verify(file)[0]
    newer = rewritten(file, tmp_path / "newer.tar", msgspec.structs.replace(header, revision="9999", program="7.0"))
    with pytest.raises(RestoreRefusedError, match=r"made by Anlan 7\.0, which is newer: .* install that one first"):
        backups.restore_from(newer, config, replace=True)
    other = rewritten(file, tmp_path / "other.tar", msgspec.structs.replace(header, format=2))
    with pytest.raises(ArchiveError, match="has format 2, this program knows 1"):
        verify(other)


def test_what_is_there_is_kept(file: Path, config: CloudConfig, tmp_path: Path) -> None:
    """A database with rows, and a history with readings, are replaced only by those who say so."""
    before = backups.content_of(config)
    with pytest.raises(RestoreRefusedError, match=r"has rows in .* more: add --replace to lose what is there"):
        backups.restore_from(file, config)
    fresh = backups.make_config(tmp_path / "fresh", "sqlite", None)
    backups.make_tables(fresh)  # as `cloud init` leaves it: nothing is lost
    backups.write_history(fresh, 10)
    with pytest.raises(RestoreRefusedError, match=r"history .*series\.db: has readings: add --replace"):
        backups.restore_from(file, fresh)
    backups.restore_from(file, fresh, replace=True)
    assert backups.history_of(fresh) == []
    assert backups.content_of(config) == before


def test_a_running_cloud_is_left_alone(file: Path, config: CloudConfig) -> None:
    """While a cloud runs on data_dir nothing is restored into it."""
    with lock_folder(config.data_dir, shared=True), pytest.raises(StartError, match="another cloud runs"):
        backups.restore_from(file, config, replace=True)


def test_a_cloud_elsewhere_is_left_alone(file: Path, tmp_path: Path, postgres: Postgres) -> None:
    """While somebody else is connected to the PostgreSQL database it is not replaced."""
    shared = backups.make_config(tmp_path / "shared", "postgresql", postgres)
    backups.restore_from(file, shared)
    before = backups.content_of(shared)
    with backups.database_of(shared) as elsewhere:
        elsewhere.read_now(lambda connection: connection.exec_driver_sql("SELECT 1"))
        with pytest.raises(RestoreRefusedError, match=r"is in use \(.* from 127\.0\.0\.1\): stop every cloud"):
            backups.restore_from(file, shared, replace=True)
    assert backups.content_of(shared) == before


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_restore_that_fails_changes_nothing(
    engine: str, file: Path, config: CloudConfig, tmp_path: Path, postgres: Postgres
) -> None:
    """Neither the database nor the history, however late it fails."""
    target = backups.make_config(tmp_path / "target", engine, postgres)
    backups.restore_from(file, target)
    backups.write_history(target, 10)
    before = backups.content_of(target), backups.history_of(target)
    header, parts = parts_of(file)
    last = [part for part in parts if part.name == "devices"]
    orphan = last[0].data.replace(b'["0 ', b'["nowhere ')
    bad = rewritten(file, tmp_path / "bad.tar", header, {"devices": orphan})
    with pytest.raises(BackupError, match=r"(?s)table devices: .*(?i:foreign key).*: nothing was changed"):
        backups.restore_from(bad, target, replace=True)
    assert (backups.content_of(target), backups.history_of(target)) == before
    assert [path.name for path in target.data_dir.iterdir() if "restor" in path.name or "replaced" in path.name] == []


def test_the_history_gets_its_place_back(config: CloudConfig) -> None:
    """When the database cannot be committed after all, the history is the one from before."""
    backups.write_history(config, 10)
    before = backups.history_of(config)

    def fail_late() -> None:
        with RestoredHistory(series_file(config)) as history:
            history.take_place()
            assert backups.history_of(config) == []
            raise BackupError("no commit")

    with pytest.raises(BackupError, match="no commit"):
        fail_late()
    assert backups.history_of(config) == before


def test_a_full_disk_is_said(config: CloudConfig, small_disk: Path) -> None:
    """A backup for which there is no room says so, and leaves no file."""
    picture = JPEG + random.Random(1).randbytes(MAX_BLOB - 3)
    with backups.database_of(config) as database:
        database.write_now(lambda c: keep_picture(c, picture, "image/jpeg", config.blobs_folder, now_ms=1))
    with pytest.raises(BackupError, match=r"b\.tar\.partial: No space left on device: no backup was made"):
        backups.back_up_to(config, small_disk / "b.tar")
    assert list(small_disk.iterdir()) == []


def test_only_its_owner_can_read_a_backup(config: CloudConfig, tmp_path: Path) -> None:
    """A backup holds names, telephone numbers and hashes of passwords: nobody else may open it, nor what it was."""
    (tmp_path / "b.tar.partial").write_bytes(b"left by one that was killed")
    (tmp_path / "b.tar.partial").chmod(0o644)
    file = backups.back_up_to(config, tmp_path / "b.tar")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.glob("*.partial")) == []
    verify(file)
