"""The part of cloud.yaml that says where readings are kept, and the store that it names.

    series: {engine: influx, url: "https://influx.example.org:8086", database: anlan}

Without it they are kept in a file of data_dir.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec.structs import replace
from pydantic import Field

from cloud.series import SeriesStore
from cloud.series.influx_settings import InfluxSettings
from cloud.series.retention import Retention
from cloud.series.routed import RoutedStore
from cloud.series.sqlite import SqliteStore
from edge.contract.broker_config import is_loopback
from edge.contract.clock import Clock, SystemClock
from edge.contract.config_file import CheckedModel, ConfigModel, Key, ReadablePath, SecretPath, read_secret
from edge.contract.forms import HTTP_ADDRESS

LEAST_SINGLE_DAYS = 35  # pages look at every reading of the last 30 days
SERIES_FILE, HOUSEHOLD_FILE = "series.db", "households.db"


OF_SQLITE = frozenset({"engine", "household", "retention_days", "hourly_after_days"})


class HouseholdConfig(ConfigModel):
    """Readings of households, whose devices have ids that begin with hh-: kept apart, and for a short time."""

    database: str | None = Field(
        default=None, min_length=1, max_length=64, description="influx; default: series.database with _households."
    )
    retention_days: int = Field(default=90, ge=1, le=36_500, description="How long they are kept.")


class SeriesConfig(CheckedModel):
    """Where readings are kept: in a file of data_dir, or in a database of an InfluxDB server."""

    engine: Literal["sqlite", "influx"] = Field(default="sqlite", description="sqlite needs no server.")
    url: Annotated[str, HTTP_ADDRESS] | None = Field(default=None, description="influx: http://host:8086")
    database: str | None = Field(default=None, min_length=1, max_length=64, description="influx: database or bucket.")
    api: Literal["v1", "v2"] = Field(default="v1", description="influx: v1 for 1.x, v2 for 2.x and later.")
    username: str | None = Field(default=None, description="influx v1: who we are there.")
    password_file: SecretPath | None = Field(default=None, description="influx v1: its first line is the password.")
    token_file: SecretPath | None = Field(default=None, description="influx v2: its first line is the token.")
    org: str | None = Field(default=None, description="influx v2: the organisation.")
    ca_file: ReadablePath | None = Field(
        default=None, description="influx, https: authorities it is verified by; default: those this machine trusts."
    )
    retention_days: int | None = Field(
        default=None, ge=1, le=36_500, description="How long the history is kept; default: for ever."
    )
    hourly_after_days: int | None = Field(
        default=None,
        ge=LEAST_SINGLE_DAYS,
        le=36_500,
        description="sqlite: older readings are kept as extremes and counts of each hour; default: none are.",
    )
    household: HouseholdConfig = HouseholdConfig()

    @property
    def household_database(self) -> str:
        """The InfluxDB database or bucket of the readings of households."""
        return self.household.database or f"{self.database}_households"

    def _problems(self) -> Iterator[tuple[Key, str]]:
        if self.engine == "sqlite":
            given = [name for name in self.model_fields_set if name not in OF_SQLITE]
            yield from (((name,), "only for engine: influx") for name in sorted(given))
            if self.household.database is not None:
                yield ("household", "database"), "only for engine: influx"
            if self.hourly_after_days and self.retention_days and self.hourly_after_days >= self.retention_days:
                yield ("hourly_after_days",), f"must be under retention_days, which is {self.retention_days}"
            return
        if self.hourly_after_days is not None:
            yield ("hourly_after_days",), "only for engine: sqlite; InfluxDB has continuous queries and tasks for it"
        needed = ("url", "database") if self.api == "v1" else ("url", "database", "token_file", "org")
        missing = [name for name in needed if getattr(self, name) is None]
        yield from (((name,), f"missing: engine influx with api {self.api} needs it") for name in missing)
        if self.api == "v1" and (self.username is None) != (self.password_file is None):
            yield (), "username and password_file belong together: give both or none"
        if self.database is not None and self.household_database == self.database:
            yield ("household", "database"), "must be another than series.database: what is in it is kept apart"
        if self.url is not None and (fault := _clear_text_fault(self)):
            yield ("url",), fault


def _clear_text_fault(config: SeriesConfig) -> str | None:
    host = urlsplit(config.url or "").hostname or ""
    is_secret = config.password_file is not None or config.token_file is not None
    if (config.url or "").startswith("https:") or not is_secret or is_loopback(host):
        return None
    return f"{host} is not this machine, so the password or token would travel readable: use https"


def influx_settings(config: SeriesConfig) -> InfluxSettings:
    """Return the settings of engine influx, with its secrets read from their files."""
    return InfluxSettings(
        url=config.url or "",
        database=config.database or "",
        api=config.api,
        username=config.username or "",
        password=read_secret(config.password_file),
        token=read_secret(config.token_file),
        org=config.org or "",
        ca_file=config.ca_file,
        retention_days=config.retention_days,
    )


def household_settings(config: SeriesConfig) -> InfluxSettings:
    """Return the settings of engine influx for the database of the readings of households."""
    apart = {"database": config.household_database, "retention_days": config.household.retention_days}
    return replace(influx_settings(config), **apart)


def open_series(config: SeriesConfig, data_dir: Path, clock: Clock | None = None) -> SeriesStore:
    """Return the series store. Raises MisconfiguredError when a file cannot be opened; a server is not asked yet.

    The clock tells what is past its time in a file; without one it is the machine's.
    """
    if config.engine == "influx":
        from cloud.series.influx import InfluxStore  # noqa: PLC0415 -- no other engine waits a second for its client

        return RoutedStore(InfluxStore(influx_settings(config)), InfluxStore(household_settings(config)))
    clock = clock or SystemClock()
    spans = (config.retention_days, config.hourly_after_days)
    kept, singles = (Retention(days, clock) if days is not None else None for days in spans)
    households = SqliteStore(data_dir / HOUSEHOLD_FILE, Retention(config.household.retention_days, clock))
    return RoutedStore(SqliteStore(data_dir / SERIES_FILE, kept, singles), households)
