"""The part of cloud.yaml that says where readings are kept, and the store that it names.

    series: {engine: influx, url: "https://influx.example.org:8086", database: anlan}

Without it they are kept in a file of data_dir.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cloud.series import SeriesStore
from cloud.series.influx_settings import InfluxSettings
from cloud.series.sqlite import SqliteStore
from edge.contract.config_file import ConfigModel, Key, Misfit, SecretPath, read_secret
from edge.contract.forms import HTTP_ADDRESS


class SeriesConfig(ConfigModel):
    """Where readings are kept: in a file of data_dir, or in a database of an InfluxDB server."""

    engine: Literal["sqlite", "influx"] = Field(default="sqlite", description="sqlite needs no server.")
    url: Annotated[str, HTTP_ADDRESS] | None = Field(default=None, description="influx: http://host:8086")
    database: str | None = Field(default=None, min_length=1, max_length=64, description="influx: database or bucket.")
    api: Literal["v1", "v2"] = Field(default="v1", description="influx: v1 for 1.x, v2 for 2.x and later.")
    username: str | None = Field(default=None, description="influx v1: who we are there.")
    password_file: SecretPath | None = Field(default=None, description="influx v1: its first line is the password.")
    token_file: SecretPath | None = Field(default=None, description="influx v2: its first line is the token.")
    org: str | None = Field(default=None, description="influx v2: the organisation.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise Misfit(problems)
        return self

    def _problems(self) -> Iterator[tuple[Key, str]]:
        if self.engine == "sqlite":
            given = [name for name in type(self).model_fields if name in self.model_fields_set and name != "engine"]
            yield from (((name,), "only for engine: influx") for name in given)
            return
        needed = ("url", "database") if self.api == "v1" else ("url", "database", "token_file", "org")
        missing = [name for name in needed if getattr(self, name) is None]
        yield from (((name,), f"missing: engine influx with api {self.api} needs it") for name in missing)
        if self.api == "v1" and (self.username is None) != (self.password_file is None):
            yield (), "username and password_file belong together: give both or none"


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
    )


def open_series(config: SeriesConfig, data_dir: Path) -> SeriesStore:
    """Return the series store. Raises MisconfiguredError when a file cannot be opened; a server is not asked yet."""
    if config.engine == "influx":
        from cloud.series.influx import InfluxStore  # noqa: PLC0415 -- no other engine waits a second for its client

        return InfluxStore(influx_settings(config))
    return SqliteStore(data_dir / "series.db")
