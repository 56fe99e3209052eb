"""cloud.yaml: little is needed, and what is wrong is said with its place."""

from pathlib import Path

import pytest

from cloud.config import load_cloud_config
from cloud.database import Database
from cloud.series.config import influx_settings
from edge.contract.config_file import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "cloud.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_is_all_that_is_needed(tmp_path: Path) -> None:
    """Everything is embedded in data_dir, which counts from the file's folder."""
    config = load_cloud_config(write(tmp_path, "data_dir: data\n"))
    assert config.database == f"sqlite:///{tmp_path}/data/cloud.db"
    assert (config.series.engine, config.api.host, config.broker.address) == ("sqlite", "127.0.0.1", "127.0.0.1:1883")


def test_secrets_come_from_files(tmp_path: Path) -> None:
    """The first line of the password file, which only its owner may read, is the password."""
    secret = tmp_path / "influx.password"
    secret.write_text("right\n# comment\n")
    secret.chmod(0o600)
    series = (
        "{engine: influx, url: 'http://127.0.0.1:8086', database: anlan, username: a, password_file: influx.password}"
    )
    path = write(tmp_path, f"data_dir: data\nseries: {series}\n")
    settings = influx_settings(load_cloud_config(path).series)
    assert (settings.url, settings.database, settings.password) == ("http://127.0.0.1:8086", "anlan", "right")
    secret.write_bytes(b"\xef\xbb\xbfright\r\n\xff")
    assert influx_settings(load_cloud_config(path).series).password == "right"
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="everyone on this machine may read"):
        load_cloud_config(path)


def test_the_password_of_the_database_comes_from_a_file(tmp_path: Path) -> None:
    """It is put into the URL for the database alone, whatever characters it has, and is never shown."""
    secret = tmp_path / "database.password"
    secret.write_text("s3cret/@:%\n")
    secret.chmod(0o600)
    path = write(tmp_path, "data_dir: d\ndatabase_url: postgresql://anlan@127.0.0.1/anlan\n")
    with path.open("a") as text:
        text.write("database_password_file: database.password\n")
    with Database(load_cloud_config(path).database) as database:
        assert database.url.password == "s3cret/@:%"
        assert str(database) == "postgresql://anlan:***@127.0.0.1/anlan"


def test_a_secret_is_not_sent_readable_to_another_machine(tmp_path: Path) -> None:
    """With a password or a token, an InfluxDB beyond this machine is spoken to by https alone."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    users = ("username: a, password_file: secret", "api: v2, org: o, token_file: secret")
    for user in users:
        text = f"data_dir: d\nseries: {{engine: influx, database: a, {user}, url: 'URL'}}\n"
        for url in ("http://127.0.0.1:8086", "http://[::1]:8086", "http://localhost:8086", "https://10.0.0.3:8086"):
            load_cloud_config(write(tmp_path, text.replace("URL", url)))
        far = write(tmp_path, text.replace("URL", "http://10.0.0.3:8086"))
        with pytest.raises(ConfigError, match=r"series\.url: 10\.0\.0\.3 is not this machine, .*: use https"):
            load_cloud_config(far)


VERIFIED = "postgresql://anlan@db.example.org/anlan?sslmode=verify-full"


@pytest.mark.parametrize(
    "url", [VERIFIED, "postgresql:///anlan?host=/run/postgresql", "postgresql://anlan@localhost/anlan"]
)
def test_a_database_elsewhere_is_reached_encrypted(tmp_path: Path, url: str) -> None:
    """Clear text stays on this machine: a socket, loopback; beyond it the server has to prove who it is."""
    assert load_cloud_config(write(tmp_path, f"data_dir: d\ndatabase_url: {url}\n")).database == url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_dri: data", r'cloud\.yaml:1: data_dri: unknown key \(did you mean "data_dir"\?\)'),
        ("data_dir: data\nseries: {engine: influx}", r"cloud\.yaml:2: series\.url: missing: engine influx"),
        (
            "data_dir: d\nseries: {engine: inlux}",
            r'series\.engine: "inlux" is not one of sqlite, influx \(did you mean',
        ),
        ("data_dir: d\nseries: {url: 'http://x'}", r"series\.url: only for engine: influx"),
        ("data_dir: d\ndatabase_url: foo", r"cloud\.yaml:2: database_url: not a database URL such as sqlite:////"),
        ("data_dir: d\ndatabase_url: 'sqlite:'", r"database_url: not a database URL"),
        ("data_dir: d\ndatabase_url: 'sqlite://'", r"database_url: names no file"),
        ("data_dir: d\ndatabase_url: postgres://u:secret@h/d", r'did you mean "postgresql"\?\): use one of'),
        ("data_dir: d\ndatabase_url: mysql://u:secret@h/d", r"database_url: mysql is not supported: use one of sqlite"),
        ("data_dir: d\ndatabase_url: sqlite+none:///x", r"the driver is not chosen here: write only sqlite://"),
        ("data_dir: d\ndatabase_url: postgresql+psycopg2://u:secret@h/d", r"not chosen here: write only postgresql://"),
        ("data_dir: d\ndatabase_url: postgresql://u:secret@127.0.0.1/d", r"holds a password: .*database_password_file"),
        ("data_dir: d\ndatabase_url: postgresql://u@127.0.0.1/d?password=secret", r"holds a password: write that into"),
        ("data_dir: d\ndatabase_url: postgresql://u@10.0.0.7/d", r"10\.0\.0\.7 is not this machine, so .* encrypted"),
        ("data_dir: d\ndatabase_url: postgresql://u@10.0.0.7/d?sslmode=require", r"add \?sslmode=verify-full, and"),
        ("data_dir: d\ndatabase_url: postgresql:///d?host=/run,10.0.0.8", r"10\.0\.0\.8 is not this machine"),
        ("data_dir: d\ndatabase_password_file: /etc/hostname", r"database_password_file: "),
        (
            "data_dir: d\nseries: {engine: influx, url: 'http://u:secret@127.0.0.1:8086', database: a}",
            r"series\.url: expected an address without path and password, .* found \"http://\.\.\.@127\.0\.0\.1:8086\"",
        ),
        ("data_dir: d\napi: {port: 0}", r"cloud\.yaml:2: api\.port"),
        ("data_dir: d\nseries: {hourly_after_days: 30}", r"series\.hourly_after_days: .* 35"),
        (
            "data_dir: d\nseries: {hourly_after_days: 90, retention_days: 90}",
            r"series\.hourly_after_days: must be under retention_days, which is 90",
        ),
        (
            "data_dir: d\nseries: {engine: influx, url: 'http://x', database: a, hourly_after_days: 90}",
            r"series\.hourly_after_days: only for engine: sqlite; InfluxDB has",
        ),
        ("data_dir: d\nseries: {household: {database: a}}", r"series\.household\.database: only for engine: influx"),
        ("data_dir: d\nseries: {household: {retention_days: 0}}", r"series\.household\.retention_days"),
        (
            "data_dir: d\nseries: {engine: influx, url: 'http://x', database: a, household: {database: a}}",
            r"series\.household\.database: must be another than series\.database",
        ),
        (
            "data_dir: d\nseries: {engine: influx, api: v2, url: 'http://x', database: a}",
            r"series\.token_file: missing: engine influx with api v2 needs it",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    """File, line, key, reason and the nearest word."""
    with pytest.raises(ConfigError, match=message) as refused:
        load_cloud_config(write(tmp_path, text + "\n"))
    assert "secret" not in str(refused.value)
