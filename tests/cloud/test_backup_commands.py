"""`cloud backup` and `cloud restore` as a person types them: what they say, and with which code they end."""

import re
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud.backup import BackupError
from cloud.backup.progress import Progress
from cloud.cli import app
from cloud.cli.backup import _cleaned_up_when_terminated
from cloud.config import CloudConfig
from cloud.migrations import head
from tests.cloud import backups
from tests.servers import Postgres

HELD = r"0 rows in \d+ tables, 0 pictures \(0\.0 MiB\), 9 readings"


@pytest.fixture
def source(tmp_path: Path) -> CloudConfig:
    """A cloud with SQLite and a little history, to be typed at from its folder."""
    config = backups.make_config(tmp_path / "source", "sqlite", None)
    backups.make_tables(config)
    backups.write_history(config, 2)
    return config


def type_in(folder: Path, line: str) -> tuple[int, str, str]:
    """Type a command; return its code, what it said, and what it said on standard error."""
    done = CliRunner().invoke(app, [*line.split(), "--config", str(folder / "cloud.yaml")])
    return done.exit_code, done.stdout, done.stderr


def test_a_move_from_sqlite_to_postgresql(source: CloudConfig, tmp_path: Path, postgres: Postgres) -> None:
    """Back up, check, restore into the other database: each says what it did, and what to do next."""
    folder, file = tmp_path / "source", tmp_path / "b.tar"
    code, said, _ = type_in(folder, f"backup {file}")
    assert code == 0
    assert re.fullmatch(rf"{file}: {HELD}; 0\.0 MiB\n", said)
    code, said, _ = type_in(folder, f"backup {file} --check")
    assert code == 0
    assert re.match(rf"{file}: whole: {HELD}\nmade .* UTC by Anlan 0\..* of sqlite, revision {head()}\n", said)
    assert "  orders: 0\n" in said
    target = backups.make_config(tmp_path / "target", "postgresql", postgres)
    code, said, _ = type_in(tmp_path / "target", f"restore {file}")
    assert code == 0
    assert re.match(rf"restored: {HELD}\n", said)
    assert "./anlan cloud status names what is missing" in said
    assert "./anlan cloud user link LOGIN" in said
    assert backups.history_of(target) == backups.history_of(source)


def test_a_file_that_is_there_is_kept(source: CloudConfig, tmp_path: Path) -> None:
    """Only --overwrite replaces a file; what is no backup, or not there, is said in one line."""
    folder, file = source.data_dir.parent, tmp_path / "b.tar"
    file.write_text("precious")
    code, said, error = type_in(folder, f"backup {file}")
    assert (code, said, error) == (1, "", f"{file}: is there already: name another file, or add --overwrite\n")
    assert file.read_text() == "precious"
    assert type_in(folder, f"restore {file}")[::2] == (1, f"{file}: is not a backup of Anlan\n")
    assert type_in(folder, f"backup {file} --overwrite")[0] == 0
    assert type_in(folder, f"backup {tmp_path / 'gone' / 'b.tar'}")[2].endswith(
        "No such file or directory: no backup was made\n"
    )
    assert type_in(folder, f"restore {tmp_path / 'gone.tar'}")[::2] == (
        1,
        f"{tmp_path}/gone.tar: No such file or directory\n",
    )


def test_nothing_to_back_up_is_said(tmp_path: Path) -> None:
    """Without a database there is no backup, and none is made of nothing."""
    backups.make_config(tmp_path, "sqlite", None)
    code, _, error = type_in(tmp_path, f"backup {tmp_path / 'b.tar'}")
    assert code == 1
    assert error.endswith("cloud.db: not there, so there is nothing to back up\n")
    assert not (tmp_path / "b.tar").exists()


def test_a_history_elsewhere_is_named(source: CloudConfig, tmp_path: Path) -> None:
    """What an InfluxDB keeps is not in the backup, and the command says so."""
    folder = source.data_dir.parent
    config = folder / "cloud.yaml"
    config.write_text(config.read_text() + "series: {engine: influx, url: 'http://127.0.0.1:8086', database: anlan}\n")
    code, said, _ = type_in(folder, f"backup {tmp_path / 'b.tar'}")
    assert code == 0
    assert "history: not in it: back up the InfluxDB at http://127.0.0.1:8086 with its own tools\n" in said


def test_sigterm_cleans_up(source: CloudConfig, tmp_path: Path) -> None:
    """A backup that is ended by SIGTERM, as a service is, leaves nothing behind."""

    class Ending(Progress):
        """Ends the program at the first table."""

        def at(self, thing: str, number: int, of: str) -> None:
            super().at(thing, number, of)
            signal.raise_signal(signal.SIGTERM)

    backups.fill(source)
    with _cleaned_up_when_terminated(), pytest.raises(BackupError, match="ended by SIGTERM"):
        backups.back_up_to(source, tmp_path / "b.tar", progress=Ending(lambda _: None))
    assert list(tmp_path.glob("b.tar*")) == []
